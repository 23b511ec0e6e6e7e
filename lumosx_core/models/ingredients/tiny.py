"""ingredients-tiny: the whole model family in miniature, trained, in the released formats; it comes with the program.

It knows one small world, that of glyph people, and shows there what Ingredients does. Its README describes how it was
trained.
"""

from __future__ import annotations

from pathlib import Path
from types import MappingProxyType

TINY_DIRECTORY = Path(__file__).parent / "ingredients_tiny"
TINY_SETTINGS = MappingProxyType(
    {"width": 80, "height": 64, "frames": 9, "steps": 16, "cfg": 1.0, "face_crops": "as given"}
)
"""Size and length as it was trained; glyph people have drawn faces, which no detector finds."""
