"""CogVideoX-5B-I2V: its transformer, noise schedule and solver, T5 text encoder and VAE."""
