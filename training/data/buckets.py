"""Batches of clips that fit together: equal in length, size and layout.

An epoch divides every bucket into batches and takes the batches of all buckets in random order. So buckets come
in proportion to their clips, and every clip comes once an epoch. What is left over at the end of a bucket, and a bucket
smaller than a batch, is filled up with further clips of the same bucket.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from lumosx_core.errors import LumosXError
from lumosx_core.own_command import own_command
from lumosx_core.scene.layout import ReferenceLayout


@dataclass(frozen=True)
class Bucket:
    """What the clips of a batch have in common.

    Args:
        frames, height, width: of the video, in frames and pixels.
        layout: number of reference images and their groups.
    """

    frames: int
    height: int
    width: int
    layout: ReferenceLayout


class BucketPlan:
    """Which clips make up each step's batch, as a pure function of the seed and the step.

    Asking for a step costs no more than a batch; the first request of an epoch shuffles it.

    Args:
        buckets: the bucket of each clip.
        batch_size: clips in a step, over all processes together; process r of n takes `batch(step)[r::n]`.
        seed: 0 or more.

    Raises:
        LumosXError: there are no clips, or a number is out of range.
    """

    def __init__(self, buckets: Sequence[Bucket], batch_size: int, seed: int):
        if not len(buckets):
            raise LumosXError(
                f"There is no clip to train on. Fill the cache first: {own_command('cache', 'SOURCE', 'CACHE_DIR')}"
            )
        if batch_size < 1 or seed < 0:
            raise LumosXError(f"batch_size {batch_size} and seed {seed} do not fit: use 1 or more, and 0 or more.")
        self.batch_size, self.seed = batch_size, seed
        numbers: dict[Bucket, int] = {}
        number_of = np.array([numbers.setdefault(bucket, len(numbers)) for bucket in buckets])
        self.buckets = tuple(numbers)
        self._members = [np.flatnonzero(number_of == number) for number in range(len(numbers))]
        batches = [-(-len(members) // batch_size) for members in self._members]
        self._ends = np.cumsum(batches)  # batches of bucket b are numbered _ends[b - 1] .. _ends[b] - 1
        self._epoch: tuple[int, np.ndarray, dict[int, np.ndarray]] | None = None

    @property
    def steps_per_epoch(self) -> int:
        """Steps in which every clip comes at least once."""
        return int(self._ends[-1])

    def batch(self, step: int) -> list[int]:
        """The clips of a step (0, 1, ...): `batch_size` indices into `buckets`, all of one bucket."""
        epoch, place = divmod(step, self.steps_per_epoch)
        order, shuffled = self._of_epoch(epoch)
        number = int(order[place])
        bucket = int(np.searchsorted(self._ends, number, side="right"))
        if bucket not in shuffled:
            shuffled[bucket] = self._random(epoch, bucket + 1).permutation(self._members[bucket])
        members = shuffled[bucket]
        first = (number - (self._ends[bucket - 1] if bucket else 0)) * self.batch_size
        return [int(members[i % len(members)]) for i in range(first, first + self.batch_size)]

    def _of_epoch(self, epoch: int) -> tuple[np.ndarray, dict[int, np.ndarray]]:
        """The order of an epoch's batches, and its buckets as far as they have been shuffled yet."""
        if self._epoch is None or self._epoch[0] != epoch:
            self._epoch = epoch, self._random(epoch, 0).permutation(self.steps_per_epoch), {}
        return self._epoch[1], self._epoch[2]

    def _random(self, epoch: int, stream: int) -> np.random.Generator:
        return np.random.default_rng([self.seed, epoch, stream])
