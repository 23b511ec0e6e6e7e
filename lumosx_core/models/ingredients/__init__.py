"""Ingredients: faces that an ID router gives their regions of a video, in CogVideoX (arXiv 2501.01790)."""
