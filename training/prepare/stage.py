"""What stages and their runner agree on.

An item is a source video or, after the cut, a clip of one. A stage takes each item that the stage before it kept,
writes files into a folder of the item's own, and says what became of it. The runner alone knows about processes,
retries and the names of folders.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from lumosx_core.errors import LumosXError


@dataclass(frozen=True)
class Task:
    """One item as a stage gets it.

    Args:
        id: of the item; safe as the name of a folder, the same in every run: small letters, digits, "-" and "_".
        facts: stage -> what that stage said of the item or of its source (JSON values). `facts["source"]` is there from
            the beginning and has the absolute `path` of the source video. A child has, under the name of the stage that
            made it, the facts given with it in place of the outcome's.
        folders: stage -> the folder that it finished for the item or for its source; read only.
        output: an empty folder for this stage's files. It becomes visible under its final name, with all of them, only
            when the outcome is returned.
    """

    id: str
    facts: Mapping[str, Mapping[str, Any]]
    folders: Mapping[str, Path]
    output: Path


@dataclass(frozen=True)
class Outcome:
    """What became of an item.

    Facts must not depend on where the data set is: name files relative to the stage's folder.

    Args:
        rejected: why the item is left out, as the short name of a filter ("subtitles"); empty for one that goes on.
            A rejection is a result: it is stored like any other and never tried again.
        facts: what later stages and the report need to know, as JSON values; measured scores of a rejected item, too.
        children: facts of the items that take this one's place in later stages, by their ids; None: it goes on itself.
    """

    rejected: str = ""
    facts: Mapping[str, Any] = field(default_factory=dict)
    children: Mapping[str, Mapping[str, Any]] | None = None


class StopRun(LumosXError):
    """Something that no other item would escape, such as a full disk: the run ends, and can be resumed."""


class Worker(Protocol):
    """A stage that is ready to work, its networks loaded. It lives in one process and sees one batch at a time."""

    def __call__(self, tasks: Sequence[Task]) -> list[Outcome]:
        """One outcome for each task, in order.

        Raises:
            StopRun: no task can be done.
            LumosXError, or anything else: one of the tasks cannot be done. The runner then tries them one by one, and
                sets aside the one that fails, with the message.
        """


class Stage(Protocol):
    """One step from raw videos to samples. Sent to the processes that work, so it holds settings and no networks.

    Attributes:
        name: of its folder below the data set, and in reports.
        after: the name of the stage whose items it takes; None: the source videos.
        batch_size: how many tasks a worker gets at once at most.
        gpus: of one worker; 0 for a stage that needs none.
    """

    @property
    def name(self) -> str: ...

    @property
    def after(self) -> str | None: ...

    @property
    def batch_size(self) -> int: ...

    @property
    def gpus(self) -> float: ...

    def version(self) -> str:
        """Changes when the stage's results would: its settings and the hashes of its networks' weights."""

    def check(self) -> None:
        """Called before the run begins, if the stage is to work in it; loads nothing.

        Raises:
            LumosXError: the settings name no network, or one that is not there.
            MissingPackageError: a package that the stage needs is not installed.
        """

    def open(self) -> Worker:
        """Load what the stage needs. Called once in each process that works."""


@runtime_checkable
class Gathering(Protocol):
    """A stage that has to see all items at once, such as the search for near-duplicates. It runs in one process."""

    @property
    def name(self) -> str: ...

    @property
    def after(self) -> str | None: ...

    def version(self) -> str:
        """As of a stage."""

    def check(self) -> None:
        """As of a stage."""

    def gather(self, facts: Mapping[str, Mapping[str, Any]]) -> Mapping[str, Outcome]:
        """An outcome for each item.

        Args:
            facts: item -> what the stage `after` said of it. Iterating over it reads from the disk, in the same order
                every time; it is never all in memory.
        """
