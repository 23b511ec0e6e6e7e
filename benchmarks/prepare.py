"""What the bookkeeping of `lumosx prepare` costs: seconds, memory and files for 10,000, 30,000 and 100,000 videos.

    python benchmarks/prepare.py                       # in the folder for temporary files
    python benchmarks/prepare.py 1000 --folder /data   # other numbers, on another disk

The stages do nothing but store facts: `probe` and `filter` for each video (a tenth is rejected), `unique` sees all of
them at once, `sample` writes a caption and a small file. Each number of videos runs in a process of its own. Printed:

    stages     seconds of all stages, lists included
    resume     seconds of a second run, which finds everything done
    cpu        seconds of a processor in both runs, which other programs and a slow disk do not change
    us/item    the same in microseconds for each video
    MiB        peak memory of the process beyond what it had before the run
    entries    files and folders in the data set
"""

from __future__ import annotations

import argparse
import hashlib
import io
import multiprocessing
import os
import resource
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import redirect_stderr
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from lumosx_training.prepare.dataset import Dataset
from lumosx_training.prepare.runner.local import LocalExecution
from lumosx_training.prepare.runner.run import run
from lumosx_training.prepare.stage import Gathering, Outcome, Stage, Task

NUMBERS = (10_000, 30_000, 100_000)


@dataclass(frozen=True)
class Facts:
    """Stores some facts of each item, and rejects a tenth if it is the filter."""

    name: str
    after: str | None
    batch_size: int = 16
    gpus: float = 0

    def version(self) -> str:
        return self.name

    def check(self) -> None:
        """It needs nothing."""

    def open(self) -> Facts:
        return self

    def __call__(self, tasks: Sequence[Task]) -> list[Outcome]:
        return [self._one(task) for task in tasks]

    def _one(self, task: Task) -> Outcome:
        number = task.facts["source"]["number"]
        facts = {"seconds": number / 7, "width": 832, "height": 480, "score": 1 / (number + 1)}
        if self.name == "sample":
            (task.output / "caption.txt").write_text(f"clip {number}")
            (task.output / "video.mp4").write_bytes(b"video")
        return Outcome("still" if self.name == "filter" and number % 10 == 0 else "", facts)


@dataclass(frozen=True)
class Unique:
    """Reads the facts of all items; every hundredth is a duplicate. Keeps one number of each item in memory."""

    name: str = "unique"
    after: str | None = "filter"

    def version(self) -> str:
        return self.name

    def check(self) -> None:
        """It needs nothing."""

    def gather(self, facts: Mapping[str, Mapping]) -> Mapping[str, Outcome]:
        return {
            item: DUPLICATE if index % 100 == 0 else KEPT
            for index, (item, said) in enumerate(facts.items())
            if said["width"] == 832
        }


KEPT, DUPLICATE = Outcome(), Outcome("duplicate")


@dataclass(frozen=True)
class Cost:
    """Of one number of videos."""

    number: int
    stages: float
    resume: float
    cpu: float
    memory: float
    entries: int

    def row(self) -> str:
        each = self.cpu / self.number * 1e6
        seconds = f"{self.stages:8.1f}  {self.resume:7.1f}  {self.cpu:7.1f}  {each:8.0f}"
        return f"{self.number:8}  {seconds}  {self.memory:6.1f}  {self.entries:9}"


def videos(number: int) -> Iterator[tuple[str, dict]]:
    for index in range(number):
        yield hashlib.sha256(str(index).encode()).hexdigest()[:20], {"path": f"/videos/{index}.mp4", "number": index}


def measure(number: int, folder: Path) -> Cost:
    """Run the stages twice over so many videos."""
    stages: list[Stage | Gathering] = [
        Facts("probe", None),
        Facts("filter", "probe"),
        Unique(),
        Facts("sample", "unique"),
    ]
    dataset = Dataset(folder / "data", "sample")
    import pyarrow.parquet  # noqa: F401 - its memory is not that of the run

    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    seconds, cpu = [], time.process_time()
    for _ in range(2):
        began = time.perf_counter()
        with redirect_stderr(io.StringIO()):
            report = run(dataset, videos(number), stages, LocalExecution(), {})
        seconds.append(time.perf_counter() - began)
    cpu = time.process_time() - cpu
    memory = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    assert report.samples == sum(1 for _ in os.scandir(dataset.samples))
    entries = sum(len(names) + len(folders) for _, folders, names in os.walk(dataset.root))
    return Cost(number, *seconds, cpu, memory, entries)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("numbers", type=int, nargs="*", default=NUMBERS, help="of videos")
    parser.add_argument("--folder", type=Path, help="where to work")
    options = parser.parse_args(arguments)
    print(
        f"{'videos':>8}  {'stages':>8}  {'resume':>7}  {'cpu':>7}  {'us/item':>8}  {'MiB':>6}  {'entries':>9}",
        flush=True,
    )
    for number in options.numbers:
        with (
            tempfile.TemporaryDirectory(dir=options.folder) as folder,
            multiprocessing.get_context("spawn").Pool(1) as pool,
        ):
            print(pool.apply(measure, (number, Path(folder))).row(), flush=True)


if __name__ == "__main__":
    main()
