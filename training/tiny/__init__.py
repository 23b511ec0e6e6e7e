"""How lumosx-tiny was made: its VAE, its text encoder, the config of its transformer."""
