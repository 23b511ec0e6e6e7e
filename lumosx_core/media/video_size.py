"""Video sizes in words."""

from __future__ import annotations

from ..errors import LumosXError, shown


def parse_size(text: str) -> tuple[int, int]:
    """(width, height) of a text such as 832x480.

    Raises:
        LumosXError: the text is something else.
    """
    width, _, height = text.lower().partition("x")
    if not all(side.isdecimal() and len(side) <= 6 for side in (width, height)):
        raise LumosXError(f"{shown(text, 40)!r} is not a size. Write WIDTHxHEIGHT, such as 640x480.")
    return int(width), int(height)
