"""One stage at work in one process: each item is finished, set aside as failed, or found finished, exactly once.

An item that makes its process die cannot be caught as an exception. So each start is recorded before the work. What was
in work when a process died is left for a later pass over the stage, in which each item is alone in its batch; an item
that was in work at several deaths is not started once more, but set aside. The process may as well have been killed
from outside, so the other items come first: whatever kills a process does not meet the same item again at once.
"""

from __future__ import annotations

import errno
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from lumosx_core.errors import LumosXError, MissingPackageError, shown

from ..dataset import Dataset
from ..stage import Outcome, Stage, StopRun, Task, Worker
from .items import Item

KEPT, REJECTED, FAILED, LATER = "kept", "rejected", "failed", "later"
_FULL = (errno.ENOSPC, errno.EDQUOT)


@dataclass(frozen=True)
class Entry:
    """An item that is to be worked on.

    Args:
        tries: how often it had failed when the run began.
        starts: how often it had been started without a result when this pass began.
    """

    item: Item
    tries: int
    starts: int = 0


@dataclass(frozen=True)
class Status:
    """What became of an item, for the progress.

    Args:
        state: "kept", "rejected", "failed", or "later": its process died in this pass.
        reason: of a rejection.
    """

    state: str
    reason: str = ""


class StageWorker:
    """A stage in this process. Its networks are loaded when the first item needs them."""

    def __init__(self, dataset: Dataset, stage: Stage):
        self._dataset, self._stage = dataset, stage
        self._worker: Worker | None = None

    def __call__(self, entries: Sequence[Entry]) -> list[Status]:
        """Work on some items; one status for each, in order.

        Raises:
            StopRun: the disk is full, or the stage cannot load what it needs.
            OSError: the data set cannot be written to.
        """
        statuses: dict[str, Status] = {}
        left: list[Entry] = []
        for entry in entries:
            known = self._known(entry)
            if known is None:
                left.append(entry)
            else:
                statuses[entry.item.id] = known
        if left:
            with _stop_if_full(self._dataset):
                statuses.update(self._group(left))
        return [statuses[entry.item.id] for entry in entries]

    def _known(self, entry: Entry) -> Status | None:
        """The status of an item that another process has dealt with in this run, or an earlier one that was killed."""
        item, stage = entry.item, self._stage.name
        outcome = self._dataset.outcome(stage, item.id, item.source)
        if outcome is not None:
            return _status(outcome)
        failure = self._dataset.failure(stage, item.id)
        if failure is not None and failure.tries > entry.tries:
            return Status(FAILED)
        return Status(LATER) if self._dataset.attempts(stage, item.id) > entry.starts else None

    def _group(self, entries: list[Entry]) -> dict[str, Status]:
        worker = self.open()
        with self._started([entry.item for entry in entries]) as tasks:
            try:
                outcomes = _checked(worker(tasks), len(tasks), self._stage.name)
            except Exception as error:
                _raise_if_all_would_fail(error)
                if len(entries) == 1:
                    item = entries[0].item
                    return {item.id: self._failed(item, message_of(error))}
            else:
                return {
                    entry.item.id: self._finished(entry.item, task.output, outcome)
                    for entry, task, outcome in zip(entries, tasks, outcomes, strict=True)
                }
        return {id: status for entry in entries for id, status in self._group([entry]).items()}

    def open(self) -> Worker:
        """The stage's worker, its networks loaded.

        Raises:
            StopRun: they cannot be loaded.
            MissingPackageError: a package that it needs is not installed.
        """
        if self._worker is None:
            try:
                self._worker = self._stage.open()
            except Exception as error:
                _raise_if_all_would_fail(error)
                raise StopRun(f"Stage {self._stage.name!r} could not start. {message_of(error)}") from error
        return self._worker

    @contextmanager
    def _started(self, items: Sequence[Item]) -> Iterator[list[Task]]:
        """The tasks of some items, with output folders that are gone at the end unless they were finished."""
        stage, tasks = self._stage.name, []
        try:
            for item in items:
                self._dataset.begin(stage, item.id)
                tasks.append(item.task(self._dataset, self._dataset.new_output(stage, item.id)))
            yield tasks
        finally:
            for task in tasks:
                shutil.rmtree(task.output, ignore_errors=True)
            for item in items:
                self._dataset.end(stage, item.id)

    def _finished(self, item: Item, output: Path, outcome: Outcome) -> Status:
        try:
            self._dataset.finish(self._stage.name, item.id, item.source, output, outcome)
        except (TypeError, ValueError, RecursionError) as error:  # values that are not JSON, names that are not safe
            _raise_if_all_would_fail(error)
            return self._failed(item, f"The outcome could not be stored. {message_of(error)}")
        return _status(outcome)

    def _failed(self, item: Item, message: str) -> Status:
        self._dataset.fail(self._stage.name, item.id, message)
        self._dataset.end(self._stage.name, item.id)
        return Status(FAILED)


def set_aside(dataset: Dataset, stage: str, item: str, starts: int) -> None:
    """Record that an item failed, because the process died at each of its starts."""
    dataset.fail(stage, item, f"Each of the {starts} processes that worked on it died.")
    dataset.end(stage, item)


def _status(outcome: Outcome) -> Status:
    return Status(REJECTED, outcome.rejected) if outcome.rejected else Status(KEPT)


def _checked(outcomes: list[Outcome], number: int, stage: str) -> list[Outcome]:
    if len(outcomes) != number:
        raise RuntimeError(f"Stage {stage!r} gave {len(outcomes)} outcomes for {number} items.")
    return outcomes


def message_of(error: BaseException) -> str:
    """What is stored of an error: our own messages as they are, others with their kind."""
    text = shown(str(error).strip() or "no message", 2000)
    return text if isinstance(error, LumosXError) else f"{type(error).__name__}: {text}"


def _raise_if_all_would_fail(error: BaseException) -> None:
    """Raise what is no fault of the item, instead of setting aside every item for the same reason."""
    if isinstance(error, StopRun | MissingPackageError) or is_disk_full(error):
        raise error


def is_disk_full(error: BaseException) -> bool:
    """Whether an error, or one that it was raised from, says that the disk is full."""
    seen: set[int] = set()
    each: BaseException | None = error
    while each is not None and id(each) not in seen:
        seen.add(id(each))
        if isinstance(each, OSError) and each.errno in _FULL:
            return True
        each = each.__cause__ or each.__context__
    return False


@contextmanager
def _stop_if_full(dataset: Dataset) -> Iterator[None]:
    try:
        yield
    except Exception as error:
        if is_disk_full(error):
            raise disk_full(dataset) from error
        raise


def disk_full(dataset: Dataset) -> StopRun:
    """The one message about a full disk."""
    return StopRun(
        f"The disk of {dataset.root} is full. What is finished is kept, and nothing is half-written. Free some space "
        f"and run the same command again: it goes on from here."
    )
