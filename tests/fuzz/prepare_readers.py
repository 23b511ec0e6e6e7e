"""Data sets under preparation: a run that goes on in a folder whose records are damaged."""

from __future__ import annotations

import hashlib
import io
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import redirect_stderr, suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from export_samples import Made, sample
from fuzz.inputs import STRINGS, Files, edited_bytes, edited_files, json_bytes
from fuzz.reader import Make, Reader, put, put_one
from fuzz.training_readers import NASTY_TOML, toml_text
from hypothesis import strategies as st

from lumosx_core.errors import LumosXError
from lumosx_training.export.diffsynth import DiffSynth
from lumosx_training.export.export import export
from lumosx_training.prepare.dataset import Dataset
from lumosx_training.prepare.pipeline import build_stages
from lumosx_training.prepare.runner.local import LocalExecution
from lumosx_training.prepare.runner.run import run
from lumosx_training.prepare.settings import read_settings
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

    def check(self) -> None:
        pass

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


_CONFIG = """
[probe]
min_seconds = 2.0
[cut]
detector = "content"
threshold = 27.0
[filter]
measure_all = true
[filter.quality]
method = "none"
[filter.people]
model = "models/insightface/det_10g.onnx"
[duplicates]
distance = 6
mirrored = false
[chat]
method = "endpoint"
base_url = "http://localhost:8000/v1"
model = "Qwen/Qwen2.5-VL-7B-Instruct"
key_variable = "OPENAI_API_KEY"
retries = 3
[finders]
faces = "models/buffalo_l"
masks = "models/sam.pth"
[background]
method = "diffusers"
folder = "FLUX.1-Fill-dev"
[sample]
seed = 0
"""


def _settings() -> Reader:
    """A config and changes of it; what the stages say of values that are possible is part of reading them."""
    tables = ("probe", "cut", "filter.quality", "filter.people", "filter", "chat", "finders", "duplicates", "sample")
    names = [line.partition("=")[0].strip() for line in _CONFIG.splitlines() if "=" in line]
    keys = [f"{table}.{name}" for table in tables for name in (*names, "x", "")]
    value = st.one_of(st.sampled_from(NASTY_TOML), STRINGS, st.integers().map(str), st.floats().map(str))
    change = st.builds("{}={}".format, st.sampled_from(keys) | STRINGS, value) | STRINGS
    content = st.one_of(toml_text([_CONFIG]).map(json_bytes), edited_bytes([_CONFIG.encode()]))

    def read(value, folder: Path) -> None:
        settings = read_settings(put_one(folder, "prepare.toml", value[0]), value[1])
        for stage in build_stages(settings):
            with suppress(LumosXError):  # the networks that they name are not there
                stage.check()

    return Reader(st.tuples(content, st.lists(change, max_size=3)), read)


@cache
def _half_exported() -> Files:
    """What an export of two samples leaves that is killed before it lists them."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "out"
        with suppress(InterruptedError):
            _export(root, fail=True)
        return {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def _export(root: Path, *, fail: bool = False) -> None:
    class Killed(DiffSynth):
        def write_index(self, root, entries):
            if fail:
                raise InterruptedError
            return super().write_index(root, entries)

    export(Made(sample("a"), sample("b")), root, Killed())


def _exports() -> Reader:
    """An export that goes on where another was killed, whose records are damaged."""
    inputs = edited_files([_half_exported()], texts=lambda name: name.endswith(".json"))
    return Reader(inputs, lambda files, folder: _export(put(folder / "out", files)))


READERS: dict[str, Make] = {
    "data sets under preparation": _data_sets,
    "settings of lumosx prepare": _settings,
    "unfinished exports": _exports,
}
