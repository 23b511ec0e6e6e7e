"""Data sets under preparation: a run that goes on in a folder whose records are damaged."""

from __future__ import annotations

import hashlib
import io
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import redirect_stderr
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from fuzz.inputs import Files, edited_files
from fuzz.reader import Make, Reader, put
from hypothesis import strategies as st

from lumosx_core.errors import LumosXError
from lumosx_training.prepare.dataset import Dataset
from lumosx_training.prepare.runner.local import LocalExecution
from lumosx_training.prepare.runner.run import run
from lumosx_training.prepare.stage import Outcome, Task


@dataclass(frozen=True)
class Halving:
    """Two clips of each video, of which later stages reject and fail some."""

    name: str
    after: str | None
    batch_size: int = 2
    gpus: float = 0

    def version(self) -> str:
        return "1"

    def check(self) -> None:
        pass

    def open(self) -> Halving:
        return self

    def __call__(self, tasks: Sequence[Task]) -> list[Outcome]:
        return [self._one(task) for task in tasks]

    def _one(self, task: Task) -> Outcome:
        if self.name == "cut":
            return Outcome(children={f"{task.id}-{half}": {"half": half} for half in range(2)})
        if task.id.endswith("a-1"):
            raise LumosXError("It cannot be read.")
        (task.output / "video.mp4").write_bytes(task.id.encode())
        return Outcome("small" if task.id.endswith("b-0") else "", {"text": task.id, "duration": 1.0})


@dataclass(frozen=True)
class Unique:
    """Keeps every clip."""

    name: str = "unique"
    after: str | None = "cut"

    def version(self) -> str:
        return "1"

    def gather(self, facts: Mapping[str, Mapping]) -> Mapping[str, Outcome]:
        return {item: Outcome(facts=dict(said)) for item, said in facts.items()}


def prepare(root: Path) -> None:
    """Run all stages over four videos, quietly."""
    ids = [hashlib.sha256(letter.encode()).hexdigest()[:6] + letter for letter in "abcd"]
    stages = [Halving("cut", None), Unique(), Halving("sample", "unique")]
    sources = [(id, {"path": f"/videos/{id}.mp4"}) for id in ids]
    with redirect_stderr(io.StringIO()):
        run(Dataset(root, "sample"), sources, stages, LocalExecution(), {"cut": {"margin": 0.5}}, say=lambda line: None)


@cache
def finished() -> Files:
    """All files of a data set, by their names."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "data"
        prepare(root)
        return {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def _data_sets() -> Reader:
    inputs: st.SearchStrategy = edited_files([finished()], texts=lambda name: name.endswith(".json"))
    return Reader(inputs, lambda files, folder: prepare(put(folder, files)))


READERS: dict[str, Make] = {"data sets under preparation": _data_sets}
