"""The batch of each step, ready for the network: every random draw done, damaged items replaced.

With n processes, process r takes positions r, r + n, ... of the batch; it can split them into several parts. Every draw
depends on the position in the whole batch, so neither the number of processes nor the number of parts changes a batch.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Protocol

import torch
from torch import Tensor

from lumosx_core.errors import LumosXError

from ...data.buckets import Bucket, BucketPlan
from ...data.items import TrainingBatch, TrainingItem, collate
from ...data.samples import BadSample
from ..config import TrainConfig
from .dropout import ungrouped, without_pictures, without_text
from .noise import draw_fraction, draw_noise, draw_seed, draw_timesteps


class Cache(Protocol):
    """What a run reads its clips from; LatentCache is one."""

    keys: list[str]

    @property
    def empty_text(self) -> Tensor: ...
    def __len__(self) -> int: ...
    def bucket(self, index: int) -> Bucket: ...
    def variants(self, index: int) -> int: ...
    def item(self, index: int, variant: int = 0) -> TrainingItem: ...


@dataclass(frozen=True, eq=False)
class NoisyBatch:
    """A batch with the noise that is added to it.

    Args:
        timestep: (B,) 0 to 1000, with its fraction.
        noise: (B, C, T, h, w).
    """

    batch: TrainingBatch
    timestep: Tensor
    noise: Tensor

    def to(self, device: torch.device) -> NoisyBatch:
        return self._map(lambda tensor: tensor.to(device, non_blocking=tensor.is_pinned()))

    def pin_memory(self) -> NoisyBatch:
        """A copy in page-locked memory, from which a GPU fetches without waiting."""
        return self._map(lambda tensor: tensor.pin_memory())

    def _map(self, change: Callable[[Tensor], Tensor]) -> NoisyBatch:
        return NoisyBatch(self.batch.map(change), change(self.timestep), change(self.noise))


class StepBatches:
    """One process's part of the batch of every step.

    Args:
        rank, processes: which fraction of each batch belongs to this process.

    Raises:
        LumosXError: no clip has the requested number of subjects, or the batch does not divide evenly.
    """

    def __init__(self, cache: Cache, config: TrainConfig, rank: int = 0, processes: int = 1):
        loop, data = config.training, config.data
        parts = loop.gradient_accumulation_steps
        if loop.batch_size % (processes * parts):
            raise LumosXError(
                f"training.batch_size {loop.batch_size} does not divide into {processes} processes x {parts} parts "
                f"(training.gradient_accumulation_steps). Use a multiple of {processes * parts}."
            )
        self.cache, self.config, self.rank, self.processes = cache, config, rank, processes
        wanted = range(data.min_subjects, 10**9 if data.max_subjects is None else data.max_subjects + 1)
        self.indices = [i for i in range(len(cache)) if len(cache.bucket(i).layout.subjects) in wanted]
        if not self.indices:
            raise LumosXError(
                f"None of the {len(cache)} clips in {data.cache} has {data.min_subjects} to "
                f"{'any number of' if data.max_subjects is None else data.max_subjects} subjects. Change "
                f"data.min_subjects and data.max_subjects, or add clips."
            )
        buckets = [cache.bucket(i) for i in self.indices]
        self.plan = BucketPlan(buckets, loop.batch_size, loop.seed)
        self.by_bucket = defaultdict(list)
        for index, bucket in zip(self.indices, buckets, strict=True):
            self.by_bucket[bucket].append(index)
        self.bad: dict[tuple[int, int], str] = {}  # (index, variant) of damaged items -> what is wrong with them
        self._memory: dict[tuple[int, int], TrainingItem] = {}
        if data.preload:
            self._preload()

    def step(self, step: int) -> list[NoisyBatch]:
        """The parts of this process's batch, one for each forward and backward pass."""
        planned = [self.indices[each] for each in self.plan.batch(step)]
        positions = range(self.rank, len(planned), self.processes)
        size = len(positions) // self.config.training.gradient_accumulation_steps
        return [self._part(step, planned, positions[start : start + size]) for start in range(0, len(positions), size)]

    def _part(self, step: int, planned: list[int], positions: range) -> NoisyBatch:
        config, seed = self.config, self.config.training.seed
        items = self._items(step, planned, positions)
        batch = collate(items, config.recipe)
        batch = without_pictures(batch, self._dropped_references(step, batch.scene.layout.pictures))
        if config.model.shuffle_references and batch.scene.layout.pictures:
            batch = ungrouped(batch, draw_seed("shuffle", seed, step), positions)
        fraction = config.data.text_dropout
        silent = [i for i, position in enumerate(positions) if draw_fraction("text", seed, step, position) < fraction]
        if silent:
            batch = without_text(batch, silent, config.recipe.text(self.cache.empty_text, config.model.text_len))
        timesteps = draw_timesteps(config.timesteps, seed, step, positions)
        return NoisyBatch(batch, timesteps, draw_noise(batch.video.shape[1:], seed, step, positions))

    def _dropped_references(self, step: int, references: int) -> list[int]:
        data, seed = self.config.data, self.config.training.seed
        if draw_fraction("references", seed, step) < data.reference_dropout:
            return list(range(references))
        return [i for i in range(references) if draw_fraction("picture", seed, step, i) < data.single_reference_dropout]

    def _items(self, step: int, planned: list[int], positions: range) -> list[TrainingItem]:
        """The items at these positions; each damaged one is replaced by another of its bucket."""
        bucket = self.cache.bucket(planned[positions[0]])
        for candidate in [bucket, *(other for other in self.by_bucket if other != bucket)]:
            items = []
            for position in positions:
                first = planned[position] if candidate == bucket else None
                item = self._first_good(step, position, self.by_bucket[candidate], first)
                if item is None:  # the whole bucket is damaged: take another one
                    break
                items.append(item)
            else:
                return items
        raise LumosXError(
            f"No clip in {self.config.data.cache} can be used. The last one: {next(reversed(self.bad.values()))}"
        )

    def _first_good(self, step: int, position: int, bucket: list[int], planned: int | None) -> TrainingItem | None:
        seed = self.config.training.seed
        if planned is not None and (item := self._item(step, position, planned)) is not None:
            return item
        start = draw_seed("replacement", seed, step, position)
        for offset in range(len(bucket)):
            item = self._item(step, position, bucket[(start + offset) % len(bucket)])
            if item is not None:
                return item
        return None

    def _item(self, step: int, position: int, index: int) -> TrainingItem | None:
        variants = self.cache.variants(index)
        variant = draw_seed("variant", self.config.training.seed, step, position) % variants if variants > 1 else 0
        return self._read(index, variant)

    def _read(self, index: int, variant: int) -> TrainingItem | None:
        if (index, variant) in self.bad:
            return None
        if (index, variant) in self._memory:
            return self._memory[index, variant]
        try:
            return self._shortened(self.cache.item(index, variant))
        except BadSample as error:
            self.bad[index, variant] = str(error)
            return None

    def _shortened(self, item: TrainingItem) -> TrainingItem:
        """Caches are written for texts padded to the family's length; a run may pad to fewer."""
        length, recipe = self.config.model.text_len, self.config.recipe
        try:
            return replace(item, text=recipe.text(item.text, length), scene=recipe.shortened(item.scene, length))
        except LumosXError as error:
            raise BadSample(item.key, str(error)) from error

    def _preload(self) -> None:
        for index in self.indices:
            for variant in range(max(1, self.cache.variants(index))):
                item = self._read(index, variant)
                if item is not None:
                    self._memory[index, variant] = item
