"""The networks that read photographs, and their files."""
