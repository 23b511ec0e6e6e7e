"""Wan2.1's own networks: VAE and umT5 text encoder."""
