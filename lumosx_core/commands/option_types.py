"""Numbers as options of the command line: with limits, and a message that says them."""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable

from ..errors import shown

MOST_WORKERS = 1024


def whole(low: int | None = None, high: int | None = None) -> Callable[[str], int]:
    """The type of an option that takes a whole number from `low` to `high`, for `add_argument(type=...)`."""

    def read(text: str) -> int:
        # Python refuses to read a number of more than some thousand digits, and any of thirty is too large here.
        if not re.fullmatch(r"\s*[+-]?\d{1,30}\s*", text):
            raise argparse.ArgumentTypeError(f"{shown(text, 40)!r} is not a whole number{_of(low, high)}.")
        value = int(text)
        if (low is not None and value < low) or (high is not None and value > high):
            raise argparse.ArgumentTypeError(f"{value} is outside of what is possible: a whole number{_of(low, high)}.")
        return value

    return read


def _of(low: int | None, high: int | None) -> str:
    if low is None and high is None:
        return ""
    if high is None:
        return f" of {low} or more"
    return f" from {low} to {high}" if low is not None else f" up to {high}"
