"""T5 encoders: the network, read from its file block by block. Each family has its own tokens and padding."""
