"""Work on the items of a stage one batch after the other, in this process."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from ..dataset import Dataset
from ..stage import Stage
from .todo import Todo
from .worker import StageWorker, Status


class LocalExecution:
    """Works in this process, one item after the other; needs no package."""

    most_deaths = 3

    def __enter__(self) -> LocalExecution:
        return self

    def __exit__(self, *_) -> None:
        pass

    def run(self, dataset: Dataset, stage: Stage, todo: Path, size: int) -> Iterator[Status]:
        """Work on all entries of a list, `size` at once; a status for each as it is dealt with.

        Raises:
            StopRun: the disk is full, or the stage cannot load what it needs.
        """
        worker = StageWorker(dataset, stage)
        for entries in Todo(todo).batches(size):
            yield from worker(entries)
