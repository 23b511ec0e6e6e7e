"""Stages without videos: what they do to an item follows from its number, so that every outcome is known beforehand.

Number n of `probe` is rejected if n % 7 == 3 and fails if n % 11 == 5. Number n of `cut` becomes n % 3 clips. Of
the clips that `unique` sees, from the eleventh on every fifth is a duplicate. `sample` writes a video and a caption.
"""

from __future__ import annotations

import hashlib
import os
import signal
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from lumosx_core.errors import LumosXError
from lumosx_training.prepare.dataset import Dataset
from lumosx_training.prepare.stage import Outcome, Task


def id_of(*parts: object) -> str:
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:24]


def videos(number: int) -> Iterator[tuple[str, dict]]:
    return ((id_of(n), {"path": f"/videos/{n}.mp4", "number": n}) for n in range(number))


@dataclass(frozen=True)
class Probe:
    seconds: float = 0.0
    batch_size: int = 4
    name: str = "probe"
    after: str | None = None
    gpus: float = 0
    salt: str = ""

    def version(self) -> str:
        return f"probe 1 {self.salt}"

    def check(self) -> None:
        pass

    def open(self) -> Probe:
        return self

    def __call__(self, tasks: Sequence[Task]) -> list[Outcome]:
        return [self.one(task) for task in tasks]

    def one(self, task: Task) -> Outcome:
        number = task.facts["source"]["number"]
        time.sleep(self.seconds)
        if number % 11 == 5:
            raise LumosXError(f"Video {number % 2} cannot be read.")
        return Outcome("odd" if number % 7 == 3 else "", {"number": number, "score": number / 7})


@dataclass(frozen=True)
class Cut(Probe):
    name: str = "cut"
    after: str | None = "probe"

    def version(self) -> str:
        return f"cut 1 {self.salt}"

    def one(self, task: Task) -> Outcome:
        number = task.facts["probe"]["number"]
        time.sleep(self.seconds)
        children = {id_of(task.id, clip): {"clip": clip} for clip in range(number % 3)}
        for child in children:
            (task.output / f"{child}.txt").write_text(f"clip of {number}")
        return Outcome(facts={"shots": number % 3}, children=children)


@dataclass(frozen=True)
class Unique:
    name: str = "unique"
    after: str | None = "cut"
    salt: str = ""

    def version(self) -> str:
        return f"unique 1 {self.salt}"

    def check(self) -> None:
        pass

    def gather(self, facts: Mapping[str, Mapping]) -> Mapping[str, Outcome]:
        outcomes = {}
        for place, (item, said) in enumerate(facts.items()):
            duplicate = place >= 10 and place % 5 == 0
            outcomes[item] = Outcome("duplicate" if duplicate else "", {"place": place, "clip": said["clip"]})
        return outcomes


@dataclass(frozen=True)
class Sample(Probe):
    name: str = "sample"
    after: str | None = "unique"

    def version(self) -> str:
        return f"sample 1 {self.salt}"

    def one(self, task: Task) -> Outcome:
        time.sleep(self.seconds)
        text = (task.folders["cut"] / f"{task.id}.txt").read_text()
        (task.output / "subjects").mkdir()
        (task.output / "subjects" / "note.txt").write_text(task.facts["source"]["path"])
        (task.output / "caption.txt").write_text(text)
        (task.output / "video.mp4").write_bytes(text.encode() * 100)
        number = task.facts["probe"]["number"]
        facts = {"text": text, "duration": 2.5, "height": 64, "width": 80}
        return Outcome("small" if number % 13 == 1 else "", facts)


def stages(seconds: float = 0.0, salt: Mapping[str, str] | None = None) -> list:
    salt = salt or {}
    kinds = (Probe, Cut, Sample)
    probe, cut, sample = (kind(seconds, salt=salt.get(kind.name, "")) for kind in kinds)
    return [probe, cut, Unique(salt=salt.get("unique", "")), sample]


def digest(root: Path) -> dict[str, str]:
    """Relative path -> content of every finished file; not what is hidden, nor attempts and lists."""
    found = {}
    for path in root.rglob("*"):
        parts = path.relative_to(root).parts
        hidden = any(part.startswith(".") for part in parts)
        if parts[0] in ("stages", "samples", "failed") and not hidden and path.is_file():
            found["/".join(parts)] = hashlib.sha256(path.read_bytes()).hexdigest()
    return found


def unfinished(root: Path) -> list[Path]:
    return [path for path in root.rglob(".*") if path.name != ".lock"]


class KillingDataset(Dataset):
    """Dies at moments that a file chooses: the process kills itself between writing a result and its rename."""

    def _publish(self, output: Path, destination: Path) -> None:
        order = self.root.parent / "kill_before_rename"
        try:
            order.unlink()  # by one process only
        except FileNotFoundError:
            super()._publish(output, destination)
        else:
            (self.root.parent / "killed_before_rename").write_text(str(os.getpid()))
            os.kill(os.getpid(), signal.SIGKILL)
