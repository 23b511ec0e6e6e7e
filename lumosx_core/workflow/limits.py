"""Limits of what a workflow may ask for before anything runs: a small file can describe endless work.

All are far above what people build; a message names the limit.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from ..errors import LumosXError
from ..scene.scene import MOST_IMAGES as MOST_REFERENCES

MOST_LETTERS = 1_000_000  # of one text
MOST_IMAGES = 1000  # of one batch
MOST_PIXELS = 2**26  # of all images of one batch: 800 MB as float32
DEEPEST = 100  # nodes behind one another that have to be evaluated for one input


class Depth:
    """Counts nodes whose evaluation waits for another one's."""

    def __init__(self) -> None:
        self._depth = 0

    @contextmanager
    def deeper(self, what: str) -> Iterator[None]:
        """One node more, for the block.

        Raises:
            LumosXError: too many wait already.
        """
        if self._depth >= DEEPEST:
            raise LumosXError(
                f"{what} is made by a chain of more than {DEEPEST} nodes, and no more are read. Build it from fewer."
            )
        self._depth += 1
        try:
            yield
        finally:
            self._depth -= 1


def check_letters(count: int, what: str) -> None:
    """Raise LumosXError for a text that is too long."""
    if count > MOST_LETTERS:
        raise LumosXError(f"{what} would have {count} letters, but at most {MOST_LETTERS} are read. Shorten it.")


def check_batch(images: int, pixels: int, what: str) -> None:
    """Raise LumosXError for a batch of too many images, or of too many pixels in all."""
    if images > MOST_IMAGES:
        raise LumosXError(f"{what} has {images} images, but at most {MOST_IMAGES} are read. Use fewer.")
    if pixels > MOST_PIXELS:
        raise LumosXError(
            f"{what} has {pixels / 1e6:.0f} million pixels in {images} images, but at most {MOST_PIXELS / 1e6:.0f} "
            f"million are read. Use smaller or fewer images; a video needs far less."
        )


def check_references(count: int, what: str) -> None:
    """Raise LumosXError for a scene of too many reference images."""
    if count > MOST_REFERENCES:
        raise LumosXError(
            f"{what} would have {count} reference images, but at most {MOST_REFERENCES} are possible. Use fewer."
        )
