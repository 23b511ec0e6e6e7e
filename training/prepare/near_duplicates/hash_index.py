"""An exact search for hashes that are near each other, in memory and time that grow with the number of entries.

An entry is three 64-bit hashes. Two entries are near if each of the three differs in at most `distance` bits. If 64
bits are divided into distance + 1 bands, two hashes that near agree in one whole band at least (pigeonhole), so for the
first and the last hash of near entries there is a pair of bands in which they agree. There is one table for each pair
of bands; what a table finds is compared in full, so nothing is missed and nothing false is found.
"""

from __future__ import annotations

import numpy as np

HASHES, BITS = 3, 64
_ODD = np.uint64(0x9E3779B97F4A7C15)  # spreads keys over buckets: 2**64 divided by the golden ratio
_ONES = np.array([bin(value).count("1") for value in range(2**16)], np.uint8)


def bits_apart(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """In how many bits uint64 hashes differ, elementwise."""
    different = np.ascontiguousarray(np.bitwise_xor(first, second))
    return _ONES[different.view(np.uint16).reshape(*different.shape, 4)].sum(axis=-1, dtype=np.int64)


def scattered(hashes: np.ndarray) -> np.ndarray:
    """(..., 3) uint64 hashes with their bits in another order, one for each of the three; distances stay.

    Neighbouring bits of a perceptual hash are alike in many images, such as the high frequencies of flat ones, and
    clips with little motion have the same hash three times. Bands of different bits from everywhere differ more, so
    that fewer entries meet in a table.
    """
    chance = np.random.default_rng(0)
    bits = np.unpackbits(np.ascontiguousarray(hashes).view(np.uint8), axis=None).reshape(*hashes.shape, BITS)
    mixed = np.stack([bits[..., number, chance.permutation(BITS)] for number in range(HASHES)], axis=-2)
    return np.packbits(mixed, axis=None).view(np.uint64).reshape(hashes.shape)


class HashIndex:
    """Entries that are near none of the earlier ones, usually; grows up to `capacity`.

    Args:
        distance: 0..10 bits; hashes are `scattered` ones.
        capacity: most entries. Memory is about 8 * (distance + 1)**2 bytes for each.
    """

    def __init__(self, distance: int, capacity: int):
        self._distance = distance
        bands = distance + 1
        self._width = np.uint64(BITS // bands)
        self._shifts = np.arange(bands, dtype=np.uint64) * self._width
        # Shifts of 64 bits are undefined: a single band is the hash itself.
        self._mask = np.uint64(2**64 - 1 if bands == 1 else 2 ** int(self._width) - 1)
        self._bucket_bits = max(4, int(capacity - 1).bit_length() if capacity > 1 else 1)
        tables = bands * bands
        self._rows = np.arange(tables)
        self._heads = np.full((tables, 2**self._bucket_bits), -1, np.int32)
        self._next = np.full((capacity, tables), -1, np.int32)
        self._entries = np.zeros((capacity, HASHES), np.uint64)
        self._count = 0

    def add(self, hashes: np.ndarray) -> int:
        """Take an entry, (3,) uint64, in; its number, counted from 0."""
        buckets = self._buckets(hashes)
        number = self._count
        self._next[number] = self._heads[self._rows, buckets]
        self._heads[self._rows, buckets] = number
        self._entries[number] = hashes
        self._count += 1
        return number

    def near(self, hashes: np.ndarray) -> np.ndarray:
        """The numbers of all entries that are near, ascending."""
        rows, current = self._rows, self._heads[self._rows, self._buckets(hashes)]
        met = []
        while True:
            there = current >= 0
            rows, current = rows[there], current[there]
            if not len(current):
                break
            met.append(current)
            current = self._next[current, rows]
        if not met:
            return np.zeros(0, np.int64)
        candidates = np.unique(np.concatenate(met)).astype(np.int64)
        apart = bits_apart(self._entries[candidates], hashes)
        return candidates[(apart <= self._distance).all(axis=1)]

    def _buckets(self, hashes: np.ndarray) -> np.ndarray:
        first, last = ((hashes[number] >> self._shifts) & self._mask for number in (0, HASHES - 1))
        keys = (first[:, None] * _ODD + last[None, :]).ravel() * _ODD
        return (keys >> np.uint64(BITS - self._bucket_bits)).astype(np.int64)
