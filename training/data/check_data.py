"""Checks a whole data set, sample by sample: what `lumosx check-data` does."""

from __future__ import annotations

import itertools
import json
import os
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from lumosx_core.errors import LumosXError, MissingPackageError, shown
from lumosx_core.files.atomic_file import atomic_file
from lumosx_core.models.wan.umt5 import TextEncoder
from lumosx_core.prompt.phrase_mask import clean_prompt
from lumosx_core.prompt.scene_warnings import shared_words

from .phrase_check import check_phrases, length_doubt
from .samples import BadSample, RawSample, Source, printable, problems_of

_SHOWN = 8  # of a count's values


@dataclass(frozen=True)
class Finding:
    """Result for one sample.

    Args:
        reasons: why it cannot be used; none for a good one.
        warnings: allowed, but rarely intended.
    """

    key: str
    path: str
    reasons: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    subjects: int = 0
    pictures: int = 0
    size: tuple[int, int] = (0, 0)  # height and width
    seconds: float = 0.0


@dataclass
class DataReport:
    """Result of `check_data`; `findings` are in the order of the source."""

    findings: list[Finding] = field(default_factory=list)

    @property
    def bad(self) -> list[Finding]:
        return [finding for finding in self.findings if finding.reasons]

    @property
    def good(self) -> list[Finding]:
        return [finding for finding in self.findings if not finding.reasons]

    @property
    def warned(self) -> list[Finding]:
        return [finding for finding in self.findings if finding.warnings]

    def summary(self) -> str:
        """Counts of the good samples, a line each."""
        lines = [f"{len(self.findings)} samples: {len(self.good)} good, {len(self.bad)} bad"]
        if self.warned:
            lines[0] += f", {len(self.warned)} with warnings"
        if self.good:
            seconds = sorted(finding.seconds for finding in self.good)
            lines += [
                f"  subjects  {_counted(Counter(finding.subjects for finding in self.good))}",
                f"  images    {_counted(Counter(finding.pictures for finding in self.good))}",
                f"  sizes     {_counted(Counter(_size(finding) for finding in self.good))}",
                f"  seconds   {seconds[0]:.1f} to {seconds[-1]:.1f}, median {seconds[len(seconds) // 2]:.1f}, "
                f"together {sum(seconds):.0f}",
            ]
        return "\n".join(lines)

    def as_json(self) -> dict:
        """All of it, for programs."""
        return {
            "samples": len(self.findings),
            "good": len(self.good),
            "bad": [{"key": f.key, "path": f.path, "reasons": list(f.reasons)} for f in self.bad],
            "warnings": [{"key": f.key, "path": f.path, "warnings": list(f.warnings)} for f in self.warned],
            "subjects": dict(sorted(Counter(f.subjects for f in self.good).items())),
            "pictures": dict(sorted(Counter(f.pictures for f in self.good).items())),
            "sizes": dict(Counter(_size(f) for f in self.good).most_common()),
            "seconds": {printable(f.key): round(f.seconds, 3) for f in self.good},
        }


def check_data(
    source: Source,
    *,
    text_encoder: TextEncoder | None = None,
    shortest: int = 1,
    workers: int | None = None,
) -> Iterator[Finding]:
    """Read every sample of a source, in its order, and never stop at a bad one.

    Args:
        source: open it with `SampleSettings(ClipSettings(frames=(1,), whole=True))`, so that every video is decoded
            to its end, and only one frame of it kept.
        text_encoder: to look for phrases among its tokens (see `check_phrases`).
        shortest: the fewest frames a video must give.
        workers: how many samples are read at once; None: as many as the machine has cores, up to 8.
    """
    workers = workers or min(8, os.cpu_count() or 1)
    keys = iter(source.keys())
    with ThreadPoolExecutor(workers) as pool:
        while chunk := list(itertools.islice(keys, 16 * workers)):
            yield from pool.map(lambda key: _check(source, key, text_encoder, shortest), chunk)


def write_report(path: str | Path, address: str, report: DataReport) -> None:
    """Write the whole report as JSON."""
    with atomic_file(Path(path)) as file:
        file.write(json.dumps({"source": printable(address)} | report.as_json(), indent=2).encode())


def _check(source: Source, key: str, text_encoder: TextEncoder | None, shortest: int) -> Finding:
    name = printable(key)
    try:
        sample = source.load(key)
        with problems_of(sample.where) as attempt:
            with attempt():
                check_phrases(sample.case, text_encoder)
            with attempt():
                _check_length(sample, shortest)
    except MissingPackageError:
        raise
    except BadSample as error:
        return Finding(name, error.path, error.reasons)
    except LumosXError as error:
        return Finding(name, name, (printable(str(error)),))
    except Exception as error:  # whatever a file makes a decoder do, the samples after it must still be read
        return Finding(
            name, name, (f"Reading it failed unexpectedly ({type(error).__name__}: {shown(error)}). Replace it.",)
        )
    scene, original = sample.case.scene, sample.original
    return Finding(
        name,
        sample.where,
        (),
        tuple(_warnings(sample, measured=text_encoder is not None)),
        len(scene.subjects),
        len(scene.references),
        (original.height, original.width) if original else (sample.video.shape[1], sample.video.shape[2]),
        original.seconds if original else len(sample.video) / sample.fps,
    )


def _check_length(sample: RawSample, shortest: int) -> None:
    frames = sample.original.frames if sample.original else len(sample.video)
    if frames < shortest:
        raise LumosXError(
            f"Its video has {frames} frames at {sample.fps:g} frames a second, fewer than {shortest}. Take a longer "
            f"one, or train on shorter clips."
        )


def _warnings(sample: RawSample, *, measured: bool) -> Iterator[str]:
    yield from sample.notes
    if sample.original:
        yield from sample.original.notes
    if not measured and (doubt := length_doubt(sample.case.prompt)):
        yield doubt
    yield from shared_words(sample.case.scene, sample.case.prompt)
    for number, subject in enumerate(sample.case.scene.subjects, 1):
        if subject.face is None:
            yield f"Subject {number} has no face: who it is cannot be learned from this sample."
    for label, reference in sample.case.scene.labelled():
        if not clean_prompt(reference.phrase):
            yield f"The {label} is bound to no words of the caption."


def _size(finding: Finding) -> str:
    return f"{finding.size[1]}x{finding.size[0]}"


def _counted(counts: Counter) -> str:
    """The most frequent values in their own order: "1: 12, 2: 5, 3 others: 4"."""
    shown = counts.most_common(_SHOWN)
    if isinstance(shown[0][0], int):
        shown.sort()
    rest = [count for _, count in counts.most_common()[_SHOWN:]]
    return ", ".join(
        [f"{value}: {count}" for value, count in shown] + [f"{len(rest)} others: {sum(rest)}"] * bool(rest)
    )
