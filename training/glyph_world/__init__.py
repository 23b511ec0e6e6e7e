"""A small world of glyph people, in which one can measure whether everybody wears what is theirs.

`appearance.py` says what a person, a garment or a thing looks like, `drawing.py` draws it, `casting.py` makes up
scenes, `caption.py` puts them into words, `clip.py` films them, and `source.py` hands them to training.
"""

from .casting import CASTINGS, Casting, GlyphScene
from .clip import GlyphClip
from .source import GlyphSource

__all__ = ["CASTINGS", "Casting", "GlyphClip", "GlyphScene", "GlyphSource"]
