"""The networks that read photos, and their files."""
