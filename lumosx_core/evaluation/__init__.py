"""Scores of videos: identity, attributes, and who wears what."""
