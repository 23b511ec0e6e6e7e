"""The plan of a scene: its text, and how it is read from a prompt."""
