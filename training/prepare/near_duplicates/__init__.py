"""By what clips that show the same are found: indices of hashes and of embeddings, and the colours of key frames."""
