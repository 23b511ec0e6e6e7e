"""Stages that kill their process, or record how many items are in work at once."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from synthetic_stages import Probe

from lumosx_training.prepare.stage import Outcome, Task


@dataclass(frozen=True)
class Poisoned(Probe):
    """One video kills each process that works on it."""

    poison: int = 17

    def one(self, task: Task) -> Outcome:
        if task.facts["source"]["number"] == self.poison:
            os.kill(os.getpid(), signal.SIGKILL)
        return Outcome(facts={"number": task.facts["source"]["number"]})


@dataclass(frozen=True)
class DeadlyToOpen(Probe):
    """Each process dies while it loads the network."""

    def open(self) -> Probe:
        os.kill(os.getpid(), signal.SIGKILL)
        raise AssertionError


@dataclass(frozen=True)
class Counted(Probe):
    """Records when a batch begins and which process works on it.

    Args:
        folder: takes a file for each batch, named by its first item.
    """

    folder: str = ""

    def __call__(self, tasks: Sequence[Task]) -> list[Outcome]:
        time.sleep(0.02)
        (Path(self.folder) / tasks[0].id).write_text(f"{os.getpid()} {len(tasks)}")
        return [Outcome() for _ in tasks]
