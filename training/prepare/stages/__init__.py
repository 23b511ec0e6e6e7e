"""The stages, one module each: what becomes of one video or one clip."""
