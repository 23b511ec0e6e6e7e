"""Weight files of LumosX: what a file contains, loading, conversion, download."""
