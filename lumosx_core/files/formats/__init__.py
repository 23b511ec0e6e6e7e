"""Formats of weight files other than safetensors, and weights in several files or few bits."""
