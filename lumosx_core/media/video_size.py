"""Video sizes in words."""

from __future__ import annotations

from ..errors import LumosXError


def parse_size(text: str) -> tuple[int, int]:
    """(width, height) of a text such as 832x480.

    Raises:
        LumosXError: the text is something else.
    """
    width, _, height = text.lower().partition("x")
    if not (width.isdecimal() and height.isdecimal()):
        raise LumosXError(f"{text!r} is not a size. Write WIDTHxHEIGHT, such as 640x480.")
    return int(width), int(height)
