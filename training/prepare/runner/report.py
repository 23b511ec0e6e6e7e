"""What became of every item: counted from the disk, so that the report of a resumed run is that of all its runs."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lumosx_core.errors import LumosXError
from lumosx_core.files.atomic_file import atomic_file

MOST_EXAMPLES = 5  # ids that are listed with a message; all are in failed/STAGE
MOST_MESSAGES = 100


@dataclass
class StageReport:
    """The items of one stage: `taken` = `kept` + all of `rejected` + all of `failed` + `waiting`.

    Args:
        taken: items that came to the stage.
        kept: those that go on, or whose children do.
        rejected: reason -> items.
        failed: message -> items; the first messages, others are counted together.
        waiting: items not worked on yet.
        children: items that go on in place of kept ones; None for a stage that makes none.
    """

    name: str
    taken: int = 0
    kept: int = 0
    rejected: Counter[str] = field(default_factory=Counter)
    failed: Counter[str] = field(default_factory=Counter)
    examples: dict[str, list[str]] = field(default_factory=dict)
    waiting: int = 0
    children: int | None = None

    def add_failure(self, item: str, message: str) -> None:
        """Count an item that failed."""
        if message not in self.failed and len(self.failed) >= MOST_MESSAGES:
            message = "Other messages: see the files in failed."
        self.failed[message] += 1
        if len(examples := self.examples.setdefault(message, [])) < MOST_EXAMPLES:
            examples.append(item)

    @property
    def passed_on(self) -> int:
        """Items that come to the next stage."""
        return self.kept if self.children is None else self.children

    def as_json(self) -> dict[str, Any]:
        failed = [
            {"error": message, "count": count, "items": self.examples[message]}
            for message, count in self.failed.most_common()
        ]
        values = {"stage": self.name, "in": self.taken, "kept": self.kept, "rejected": dict(self.rejected)}
        values |= {"failed": failed, "waiting": self.waiting}
        return values if self.children is None else {**values, "children": self.children}


@dataclass
class Report:
    """What became of the videos, stage by stage.

    Args:
        videos: source videos of the data set, those of earlier runs included.
        repeated: videos of this run that were left out, because their content is that of another one.
        samples: finished samples.
    """

    videos: int
    repeated: int
    stages: list[StageReport]
    samples: int = 0

    @property
    def failed(self) -> int:
        return sum(stage.failed.total() for stage in self.stages)

    def check(self) -> None:
        """Raise LumosXError unless every item is accounted for.

        Raises:
            LumosXError: the numbers of a stage do not add up, or fewer items came to it than went on before.
        """
        for stage in self.stages:
            ends = stage.kept + stage.rejected.total() + stage.failed.total() + stage.waiting
            if stage.taken != ends:
                raise LumosXError(
                    f"Stage {stage.name!r} took {stage.taken} items, but {ends} are accounted for. Something else "
                    f"changed the data set meanwhile: run the same command again."
                )

    def write(self, path: Path) -> None:
        """Write the report as JSON."""
        record = {"videos": self.videos, "repeated": self.repeated, "samples": self.samples}
        stages = [stage.as_json() for stage in self.stages]
        with atomic_file(path) as file:
            file.write(json.dumps({**record, "stages": stages}, ensure_ascii=False, indent=2).encode())

    def table(self) -> str:
        """The report for a terminal."""
        rows: list[tuple[str, ...]] = [("stage", "in", "kept", "rejected", "failed", "waiting", "out")]
        for stage in self.stages:
            numbers = (stage.taken, stage.kept, stage.rejected.total(), stage.failed.total(), stage.waiting)
            rows.append((stage.name, *map(str, numbers), str(stage.passed_on)))
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines = [
            "  ".join(
                [row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))]
            )
            for row in rows
        ]
        for stage in self.stages:
            lines += _details(stage)
        repeated = f" ({self.repeated} more repeat the content of another one)" if self.repeated else ""
        return "\n".join([*lines, f"{self.videos} videos{repeated}, {self.samples} samples"])


def _details(stage: StageReport) -> Iterable[str]:
    if stage.rejected:
        reasons = ", ".join(f"{reason} {count}" for reason, count in stage.rejected.most_common())
        yield f"{stage.name}: rejected by {reasons}"
    for message, count in stage.failed.most_common(MOST_EXAMPLES):
        items = ", ".join(stage.examples[message][:2]) + (", ..." if count > 2 else "")
        yield f"{stage.name}: failed {count} ({items}): {message}"
    if len(stage.failed) > MOST_EXAMPLES:
        yield f"{stage.name}: {len(stage.failed) - MOST_EXAMPLES} more messages are in failed/{stage.name}"
