"""From the cache to batches that are ready for the network: every draw made, damaged items replaced.

A batch belongs to a step. With n processes, process r takes the batch's places r, r + n, ...; it can go through them in
several parts. All that is drawn depends on the place in the whole batch, so that the division changes nothing.
"""

from __future__ import annotations

import logging
import threading
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, replace
from queue import Empty, Full, Queue

import torch
from torch import Tensor

from lumosx_core.errors import LumosXError

from ..data.items import TrainingBatch, TrainingItem, collate
from ..data.samples import BadSample
from .config import TrainConfig
from .dropout import ungrouped, without_pictures, without_text
from .noise import draw_noise, draw_seed, draw_share, draw_timesteps

log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class NoisyBatch:
    """A batch with what noise is put on it.

    Args:
        timestep: (B,) 0 to 1000, with its fraction.
        noise: (B, 16, T, h, w).
    """

    batch: TrainingBatch
    timestep: Tensor
    noise: Tensor

    def to(self, device: torch.device) -> NoisyBatch:
        return NoisyBatch(self.batch.to(device), self.timestep.to(device), self.noise.to(device))


class Loader:
    """Gives the batches of every step to one process.

    Args:
        cache: a LatentCache, or anything with its `keys`, `bucket`, `item`, `variants` and `empty_text`.
        rank, processes: which share of each batch is this process's.

    Raises:
        LumosXError: no clip has the number of people that is asked for, or the batch does not divide evenly.
    """

    def __init__(self, cache, config: TrainConfig, rank: int = 0, processes: int = 1):
        from ..data.buckets import BucketPlan

        loop, data = config.training, config.data
        if loop.batch_size % (processes * loop.accumulate):
            raise LumosXError(
                f"training.batch_size {loop.batch_size} does not divide into {processes} processes x {loop.accumulate} "
                f"parts (training.accumulate). Use a multiple of {processes * loop.accumulate}."
            )
        self.cache, self.config, self.rank, self.processes = cache, config, rank, processes
        wanted = range(data.min_subjects, 10**9 if data.max_subjects is None else data.max_subjects + 1)
        self.indices = [i for i in range(len(cache)) if len(cache.bucket(i).layout.subjects) in wanted]
        if not self.indices:
            raise LumosXError(
                f"None of the {len(cache)} clips in {data.cache} has {data.min_subjects} to "
                f"{'any number of' if data.max_subjects is None else data.max_subjects} people. Change "
                f"data.min_subjects and data.max_subjects, or add clips."
            )
        buckets = [cache.bucket(i) for i in self.indices]
        self.plan = BucketPlan(buckets, loop.batch_size, loop.seed)
        self.alike = defaultdict(list)
        for index, bucket in zip(self.indices, buckets, strict=True):
            self.alike[bucket].append(index)
        self.keys = [cache.keys[index] for index in self.indices]
        self.bad: dict[tuple[int, int], str] = {}  # (index, variant) of damaged items, and what is wrong with them
        self._memory: dict[tuple[int, int], TrainingItem] = {}
        if data.preload:
            self._read_everything()

    def step(self, step: int) -> list[NoisyBatch]:
        """The parts of this process's share of a step, one for each pass through the network."""
        plan = [self.indices[place] for place in self.plan.batch(step)]
        positions = range(self.rank, len(plan), self.processes)
        part = len(positions) // self.config.training.accumulate
        return [self._part(step, plan, positions[start : start + part]) for start in range(0, len(positions), part)]

    def steps(self, start: int, stop: int) -> Iterator[list[NoisyBatch]]:
        """The steps from `start` to before `stop`, prepared ahead by a thread as data.prefetch says."""
        ahead = self.config.data.prefetch
        if not ahead:
            yield from map(self.step, range(start, stop))
            return
        queue: Queue = Queue(maxsize=ahead)
        finished = threading.Event()

        def prepare() -> None:
            for number in range(start, stop):
                try:
                    result = self.step(number)
                except BaseException as error:  # raised again where the batch is wanted
                    result = error
                while not finished.is_set():
                    try:
                        queue.put(result, timeout=0.1)
                        break
                    except Full:
                        continue
                if finished.is_set() or isinstance(result, BaseException):
                    return

        thread = threading.Thread(target=prepare, name="batches", daemon=True)
        thread.start()
        try:
            for _ in range(start, stop):
                result = queue.get()
                if isinstance(result, BaseException):
                    raise result
                yield result
        finally:
            finished.set()
            while thread.is_alive():
                try:
                    queue.get_nowait()
                except Empty:
                    thread.join(timeout=0.01)

    def _part(self, step: int, plan: list[int], positions: range) -> NoisyBatch:
        config, seed = self.config, self.config.training.seed
        items = self._items(step, plan, positions)
        batch = collate(items)
        batch = without_pictures(batch, self._dropped_pictures(step, batch.layout.pictures))
        if config.model.shuffle_pictures and batch.layout.pictures:
            batch = ungrouped(batch, draw_seed("shuffle", seed, step), positions)
        share = config.data.text_dropout
        silent = [i for i, position in enumerate(positions) if draw_share("text", seed, step, position) < share]
        if silent:
            batch = without_text(batch, silent, self.cache.empty_text)
        timesteps = draw_timesteps(config.timesteps, seed, step, positions)
        return NoisyBatch(batch, timesteps, draw_noise(batch.video.shape[1:], seed, step, positions))

    def _dropped_pictures(self, step: int, pictures: int) -> list[int]:
        data, seed = self.config.data, self.config.training.seed
        if draw_share("references", seed, step) < data.reference_dropout:
            return list(range(pictures))
        return [i for i in range(pictures) if draw_share("picture", seed, step, i) < data.picture_dropout]

    def _items(self, step: int, plan: list[int], positions: range) -> list[TrainingItem]:
        """The items of these places of the plan; each damaged one is replaced by another of its bucket."""
        bucket = self.cache.bucket(plan[positions[0]])
        for others in [bucket, *(other for other in self.alike if other != bucket)]:
            items = []
            for position in positions:
                planned = plan[position] if others == bucket else None
                item = self._first_good(step, position, self.alike[others], planned)
                if item is None:  # the whole bucket is damaged: take another one
                    break
                items.append(item)
            else:
                return items
        raise LumosXError(
            f"No clip in {self.config.data.cache} can be used. The last one: {next(reversed(self.bad.values()))}"
        )

    def _first_good(self, step: int, position: int, alike: list[int], planned: int | None) -> TrainingItem | None:
        seed = self.config.training.seed
        if planned is not None and (item := self._item(step, position, planned)) is not None:
            return item
        start = draw_seed("replacement", seed, step, position)
        for place in range(len(alike)):
            item = self._item(step, position, alike[(start + place) % len(alike)])
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
            log.warning("Left out, another clip takes its place: %s", error)
            return None

    def _shortened(self, item: TrainingItem) -> TrainingItem:
        """Caches are made for texts padded to 512 tokens; a run may pad to fewer."""
        length = self.config.model.text_len
        if len(item.text) > length:
            raise BadSample(
                item.key, f"Its caption has {len(item.text)} tokens, and model.text_len is {length}. Raise it."
            )
        return replace(item, phrase_mask=item.phrase_mask[:, :length])

    def _read_everything(self) -> None:
        for index in self.indices:
            for variant in range(max(1, self.cache.variants(index))):
                item = self._read(index, variant)
                if item is not None:
                    self._memory[index, variant] = item
