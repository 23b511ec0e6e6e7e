"""Who wears what: scenes, their layout, and the folders that hold them."""
