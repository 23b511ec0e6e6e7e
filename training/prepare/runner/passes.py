"""The work of a stage, pass by pass: first the items that were never started, then, each alone, what a death left."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Protocol

from ..dataset import Dataset
from ..stage import Stage
from .items import SOURCE, read_items
from .progress import Progress
from .todo import Todo
from .worker import FAILED, LATER, Entry, Status, set_aside


class Execution(Protocol):
    """Where the work is done: in this process, or in others.

    An item that was in work when so many processes died is set aside. Processes of others die for many reasons, and
    their death costs little; that of this process ends the run.
    """

    most_deaths: int

    def __enter__(self) -> Execution: ...

    def __exit__(self, *_) -> None: ...

    def run(self, dataset: Dataset, stage: Stage, todo: Path, size: int) -> Iterator[Status]:
        """Work on all entries of a list, `size` at once; a status for each."""


class Passes:
    """The items of one stage that are not dealt with yet.

    Args:
        start: gives the execution; called only if there is work.
        retry: work on items again that failed in earlier runs.
    """

    def __init__(self, dataset: Dataset, stage: Stage, start: Callable[[], Execution], *, retry: bool):
        self._dataset, self._stage, self._start, self._retry = dataset, stage, start, retry
        folder = dataset.root / "lists" / "todo"
        self._fresh, self._begun, self._again = (
            Todo(folder / f"{stage.name}-{name}.txt") for name in ("fresh", "begun", "again")
        )
        self._before = 0

    def work(self) -> None:
        """Work until every item is finished or has failed."""
        started: list[Entry] = []  # what was in work when earlier runs were killed: a few batches
        fresh = self._fresh.write(self._pending(started))
        begun = self._begun.write(started)
        if not fresh + begun:
            return
        progress = Progress(self._stage.name, fresh + begun, self._before)
        try:
            later = self._pass(self._fresh, self._stage.batch_size, progress) if fresh else 0
            while later or begun:
                begun = 0
                again = self._again.write(self._unsettled(progress))
                later = self._pass(self._again, 1, progress) if again else 0
        finally:
            progress.close()

    def _pass(self, todo: Todo, size: int, progress: Progress) -> int:
        """Work on the entries of a list; returns how many are left for later."""
        later = 0
        for status in self._start().run(self._dataset, self._stage, todo.path, size):
            if status.state == LATER:
                later += 1
            else:
                progress.add(status)
        return later

    def _pending(self, started: list[Entry]) -> Iterator[Entry]:
        """The items that were never started; others that are to be worked on are appended to `started`."""
        name = self._stage.name
        for item in read_items(self._dataset.list_path(self._stage.after or SOURCE)):
            done = self._dataset.find(name, item.id) is not None
            failure = None if done else self._dataset.failure(name, item.id)
            if done or (failure is not None and not self._retry):
                self._before += 1
            else:
                tries = failure.tries if failure is not None else 0
                entry = Entry(item, tries, self._dataset.attempts(name, item.id))
                if entry.starts:
                    started.append(entry)
                else:
                    yield entry

    def _unsettled(self, progress: Progress) -> Iterator[Entry]:
        """What is neither finished nor failed in this run, with the number of its starts until now.

        What may not be started once more is set aside here, without a process that loads networks for it.
        """
        name = self._stage.name
        for todo in (self._fresh, self._begun):
            for [entry] in todo.batches(1):
                item = entry.item.id
                if self._dataset.find(name, item) is None:
                    failure = self._dataset.failure(name, item)
                    if failure is None or failure.tries <= entry.tries:
                        starts = self._dataset.attempts(name, item)
                        if starts < self._start().most_deaths:
                            yield replace(entry, starts=starts)
                        else:
                            set_aside(self._dataset, name, item, starts)
                            progress.add(Status(FAILED))
