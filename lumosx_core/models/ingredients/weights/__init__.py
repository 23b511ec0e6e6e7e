"""Weight files of Ingredients (CogVideoX): what a file contains, loading, conversion, download."""
