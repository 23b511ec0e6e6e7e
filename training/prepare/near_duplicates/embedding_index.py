"""An exact search for embeddings that are near each other, with bounded memory.

Clips are asked about in an order that is known beforehand, so cosines are computed for a block of them at once: a
block against the entries so far, some thousands at a time, and against itself.
"""

from __future__ import annotations

import base64

import numpy as np

_BLOCK, _ENTRIES = 256, 8192  # clips that are compared at once, and entries that they are compared with
_LARGEST = 127


def packed(vector: np.ndarray) -> str:
    """A (d,) vector as text: one signed byte for each value, in base64. Its length is lost; of 512 values, a cosine of
    .99 changes by some 1e-4, one of 0 by 1e-3.
    """
    largest = float(np.abs(vector).max())
    scaled = np.rint(vector / largest * _LARGEST) if largest > 0 else np.zeros(len(vector))
    return base64.b64encode(scaled.astype(np.int8).tobytes()).decode("ascii")


def unpacked(text: str) -> np.ndarray:
    """(d,) int8 of `packed`.

    Raises:
        ValueError: it is not base64, or empty, or of a vector without a direction.
    """
    vector = np.frombuffer(base64.b64decode(text, validate=True), np.int8)
    if not vector.any():
        raise ValueError("no vector")
    return vector


def cosine_of(first: np.ndarray, second: np.ndarray) -> float:
    """Of two (d,) int8 vectors."""
    one, other = _unit(np.stack([first, second]))
    return float(one @ other)


class EmbeddingIndex:
    """Entries that are near none of the earlier ones, usually.

    Args:
        vectors: (N, d) int8, none of them zero, in the order in which they are asked about.
        similarity: a cosine above this is near.
    """

    def __init__(self, vectors: np.ndarray, similarity: float):
        self._vectors, self._similarity = vectors, similarity
        self._positions: list[int] = []  # of the entries
        self._block = self._last = -1
        self._earlier: list[list[int]] = []
        self._within = np.zeros((0, 0), bool)
        self._before = 0  # entries that are older than the block

    def add(self) -> int:
        """Take the clip that was asked about last in; its number, counted from 0."""
        self._positions.append(self._last)
        return len(self._positions) - 1

    def near(self, position: int) -> list[int]:
        """The numbers of all entries that are near the clip at a position, ascending; positions must not descend."""
        self._last = position
        if position // _BLOCK != self._block:
            self._open(position // _BLOCK)
        row = position - self._block * _BLOCK
        own = [
            number
            for number, entry in enumerate(self._positions[self._before :], self._before)
            if self._within[row, entry - self._block * _BLOCK]
        ]
        return self._earlier[row] + own

    def first_near(self, position: int) -> tuple[int, float] | None:
        """The first of `near` with its cosine."""
        numbers = self.near(position)
        if not numbers:
            return None
        return numbers[0], cosine_of(self._vectors[self._positions[numbers[0]]], self._vectors[position])

    def _open(self, block: int) -> None:
        rows = _unit(self._vectors[block * _BLOCK : (block + 1) * _BLOCK])
        self._block, self._before = block, len(self._positions)
        self._earlier = [[] for _ in rows]
        for start in range(0, self._before, _ENTRIES):
            entries = _unit(self._vectors[self._positions[start : start + _ENTRIES]])
            for row, number in zip(*np.nonzero(rows @ entries.T > self._similarity), strict=True):
                self._earlier[row].append(start + int(number))
        self._within = rows @ rows.T > self._similarity


def _unit(vectors: np.ndarray) -> np.ndarray:
    floats = vectors.astype(np.float32)
    return floats / np.linalg.norm(floats, axis=1, keepdims=True)
