"""What perceptual hashes do not see: the colours of a key frame, as the means of 8 x 8 cells.

A perceptual hash is of the grey image. People who stand alike before a plain background have near hashes whatever they
wear, and their clips are different data.
"""

from __future__ import annotations

import numpy as np
from PIL import Image

CELLS = 8


def cell_colours(image: Image.Image) -> str:
    """The mean colour of each cell of an RGB image: 384 hexadecimal digits, row by row."""
    return image.resize((CELLS, CELLS), Image.Resampling.BOX).tobytes().hex()


def read_colours(text: str) -> np.ndarray:
    """(8, 8, 3) uint8 of `cell_colours`.

    Raises:
        ValueError: that many digits are not there.
    """
    return np.frombuffer(bytes.fromhex(text), np.uint8).reshape(CELLS, CELLS, 3)


def levels_apart(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """How different the colours of clips are, whatever their brightness, contrast and tint.

    Args:
        first: (N, K, 8, 8, 3), the colours of K key frames of N clips, 0..255.
        second: (K, 8, 8, 3), of one clip.

    Returns:
        (N,): of the key frame that differs most, the root mean square of what is left of `second` once the mean of
        each channel and the contrast are those of `first`.
    """
    one, other = (each.astype(np.float32) - each.mean(axis=(-3, -2), keepdims=True) for each in (first, second))
    cells = (-3, -2, -1)
    contrast = (one * other).sum(axis=cells, keepdims=True) / np.maximum((other**2).sum(axis=cells, keepdims=True), 1)
    return np.sqrt(((one - contrast * other) ** 2).mean(axis=cells)).max(axis=-1)
