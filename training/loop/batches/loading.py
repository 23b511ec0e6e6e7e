"""Worker processes that prepare the batches of the coming steps: PyTorch's DataLoader over `StepBatches`.

Workers only compute `StepBatches.step`, a pure function of the step, so their number changes no batch. What they find
damaged travels with the batch and is logged here, once.
"""

from __future__ import annotations

import logging
import multiprocessing
import signal
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch.utils.data import DataLoader, Dataset

from lumosx_core.errors import LumosXError

from ..config import TrainConfig
from ..interrupts import SIGNALS
from .step_batches import Cache, NoisyBatch, StepBatches

log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class LoadedStep:
    """A step as it comes from a worker.

    Args:
        bad: (index, variant) -> reason, for the items that this worker found damaged since its last step.
        error: the message of a LumosXError, raised again in the training process.
    """

    parts: list[NoisyBatch]
    bad: dict[tuple[int, int], str]
    error: str | None = None

    def pin_memory(self) -> LoadedStep:  # called by DataLoader
        return replace(self, parts=[part.pin_memory() for part in self.parts])


class StepDataset(Dataset):
    """`StepBatches` indexed by step."""

    def __init__(self, batches: StepBatches):
        self.batches = batches
        self._reported = set(batches.bad)

    def __getitem__(self, step: int) -> LoadedStep:
        parts, error = [], None
        try:
            parts = self.batches.step(step)
        except LumosXError as caught:
            error = str(caught)
        bad = {item: reason for item, reason in self.batches.bad.items() if item not in self._reported}
        self._reported.update(bad)
        return LoadedStep(parts, bad, error)


class Loader:
    """Gives the batches of every step to one process.

    Args:
        rank, processes: which fraction of each batch belongs to this process.
        pin_memory: hand out batches in page-locked memory, as data.pin_memory says.

    Attributes:
        bad: (index, variant) -> reason, for all items that turned out damaged.

    Raises:
        LumosXError: no clip has the requested number of subjects, or the batch does not divide evenly.
    """

    def __init__(
        self, cache: Cache, config: TrainConfig, rank: int = 0, processes: int = 1, *, pin_memory: bool = False
    ):
        self.config = config
        self.pin_memory = pin_memory and config.data.pin_memory
        self.batches = StepBatches(cache, config, rank, processes)
        self.keys = [cache.keys[index] for index in self.batches.indices]
        self.bad: dict[tuple[int, int], str] = {}
        self._report(self.batches.bad)

    def step(self, step: int) -> list[NoisyBatch]:
        """The parts of this process's batch, computed here and now."""
        try:
            return self.batches.step(step)
        finally:
            self._report(self.batches.bad)

    def steps(self, start: int, stop: int) -> Generator[list[NoisyBatch], None, None]:
        """The steps from `start` to before `stop`, prepared ahead by worker processes; closing it ends these.

        Raises:
            LumosXError: no clip can be used.
        """
        workers = self._workers()
        loader = DataLoader(
            StepDataset(self.batches),
            sampler=range(start, stop),
            batch_size=None,  # the dataset's items are batches already
            collate_fn=_unchanged,
            num_workers=workers,
            prefetch_factor=self.config.data.prefetch_factor if workers else None,
            pin_memory=self.pin_memory,
            worker_init_fn=_ignore_signals,
            generator=torch.Generator(),  # the default would draw from the global generator
        )
        for loaded in _received(iter(loader)):
            self._report(loaded.bad)
            if loaded.error is not None:
                raise LumosXError(loaded.error)
            yield loaded.parts

    def _workers(self) -> int:
        data = self.config.data
        if data.preload and multiprocessing.get_start_method() != "fork":
            return 0  # every worker would receive a copy of everything
        return data.num_workers if data.prefetch_factor else 0

    def _report(self, bad: dict[tuple[int, int], str]) -> None:
        for item, reason in bad.items():
            if item not in self.bad:
                self.bad[item] = reason
                log.warning("Skipped, replaced by another clip: %s", reason)


@contextmanager
def explained_worker_failures() -> Iterator[None]:
    """Turn the death of a worker into a LumosXError; DataLoader raises it wherever the training process is."""
    try:
        yield
    except RuntimeError as error:
        if "DataLoader worker" not in str(error):
            raise
        raise _worker_failure(error) from error


def _received(steps: Iterator[LoadedStep]) -> Iterator[LoadedStep]:
    try:
        yield from steps
    except (OSError, EOFError) as error:  # a batch that a dead worker still shares
        raise _worker_failure(error) from error


def _worker_failure(error: Exception) -> LumosXError:
    return LumosXError(
        f"A process that loads clips ended unexpectedly: {error} If the machine ran out of memory or of shared memory "
        f"(/dev/shm), lower data.num_workers or set it to 0. Rerun the command to resume."
    )


def _unchanged(step: Any) -> Any:
    return step


def _ignore_signals(worker: int) -> None:
    """Ctrl-C reaches the whole process group; workers must live until the training process has saved."""
    for each in SIGNALS:
        signal.signal(each, signal.SIG_IGN)
