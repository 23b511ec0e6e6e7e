"""The one font of everything that is drawn: Pillow's own, so that pictures look the same on every machine."""

from __future__ import annotations

from functools import cache

from PIL import ImageFont


@cache
def font(size: int) -> ImageFont.FreeTypeFont:
    """The font at a size in pixels."""
    return ImageFont.load_default(size)
