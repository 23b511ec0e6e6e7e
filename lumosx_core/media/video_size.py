"""Video sizes in words, and which of them fit the network: Wan's VAE and patches divide width and height by 16, and
time by 4.
"""

from __future__ import annotations

from ..errors import LumosXError


def parse_size(text: str) -> tuple[int, int]:
    """(width, height) of a text such as 832x480.

    Raises:
        LumosXError: the text is something else.
    """
    width, _, height = text.lower().partition("x")
    if not (width.isdecimal() and height.isdecimal()):
        raise LumosXError(f"{text!r} is no size. Write WIDTHxHEIGHT, such as 832x480.")
    return int(width), int(height)


def check_video_size(width: int, height: int, frames: int) -> None:
    """Raise LumosXError unless width and height are multiples of 16 and frames is one more than a multiple of 4."""
    for name, value in (("width", width), ("height", height)):
        if value < 16 or value % 16:
            below = max(16, value // 16 * 16)
            raise LumosXError(f"{name} {value} does not fit: it must be a multiple of 16. Use {_nearest(below, 16)}.")
    if frames < 1 or frames % 4 != 1:
        below = max(1, (frames - 1) // 4 * 4 + 1)
        raise LumosXError(f"A length of {frames} frames does not fit: it must be 4n + 1. Use {_nearest(below, 4)}.")


def _nearest(below: int, step: int) -> str:
    return f"{below} or {below + step}"
