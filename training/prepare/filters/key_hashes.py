"""Perceptual hashes and colours of a clip's key frames, by which near-duplicates are found. Rejects nothing."""

from __future__ import annotations

from typing import Any

import numpy as np
from PIL import Image

from lumosx_core.errors import MissingPackageError

from ..near_duplicates.clip_colours import cell_colours
from ..video_frames import Timeline
from .clip_filter import Verdict, key_frames


class KeyHashes:
    """Of the frames at 5, 50 and 95 %: hashes, hashes of their mirror images, 16 hexadecimal digits each, and colours
    (`cell_colours`); size and length of the clip.

    Raises:
        MissingPackageError: imagehash is not installed.
    """

    name = "hashes"
    costly = False

    def __init__(self):
        try:
            from imagehash import phash
        except ImportError as error:
            raise MissingPackageError("imagehash", "Finding near-duplicates", error) from error
        self._hash = phash

    def start(self, timeline: Timeline) -> HashMeasurement:
        return HashMeasurement(timeline, self._hash)


class HashMeasurement:
    """Hashes of one clip."""

    def __init__(self, timeline: Timeline, phash):
        self._keys, self._hash = key_frames(timeline), phash
        self.wanted = frozenset(self._keys)
        self._facts: dict[str, Any] = {"seconds": round(timeline.seconds, 6)}
        self._hashes: dict[int, tuple[str, str, str]] = {}

    def add(self, number: int, frame: np.ndarray) -> None:
        self._facts["height"], self._facts["width"] = frame.shape[:2]
        image = Image.fromarray(frame)
        mirrored = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        self._hashes[number] = str(self._hash(image)), str(self._hash(mirrored)), cell_colours(image)

    def verdict(self) -> Verdict:
        hashes = [self._hashes[number] for number in self._keys]
        plain, mirrored, colours = map(list, zip(*hashes, strict=True))
        return Verdict({**self._facts, "key_frames": plain, "mirrored": mirrored, "colours": colours})
