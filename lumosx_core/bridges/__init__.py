"""A scene for models that are not ours: the ordered images and the prompt that each of them wants."""
