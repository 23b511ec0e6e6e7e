"""Writes samples of any source as the data set of another trainer: what `lumosx export` does."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lumosx_core.errors import LumosXError, shown
from lumosx_core.files.atomic_file import atomic_file
from lumosx_core.own_command import own_command

from ..data.resumable import resumable
from ..data.samples import BadSample, Source, printable, write_sample_video
from .formats import ExportedSample, TrainerFormat, write_lines
from .owned_images import owned_images

OWNERS = "owners.jsonl"
_RECORDS = ".records"  # of finished samples, until all are


@dataclass(frozen=True)
class Exported:
    """What was written.

    Args:
        files: those that list the samples.
        samples: how many are in them.
    """

    files: list[Path]
    samples: int


def export(
    source: Source,
    directory: str | Path,
    form: TrainerFormat,
    *,
    bad: Callable[[BadSample], None] = lambda error: None,
    done: Callable[[], None] = lambda: None,
) -> Exported:
    """Write a data set that another trainer reads, and beside it `owners.jsonl` with what that trainer cannot store.

    Videos are copied as they are. Files are named by numbers, so that no name of a sample or phrase can be wrong for a
    file system or for the trainer. A run that was killed goes on where it stopped.

    Args:
        source: open it with `SampleSettings(ClipSettings(frames=(1,), whole=True))`: videos are read to their end.
        directory: a new or empty folder, or what a killed run of the same source left.
        bad: called with every sample that is left out.
        done: called after every sample.

    Raises:
        LumosXError: the folder is in use or cannot be written to, or no sample was good.
    """
    root = Path(directory).absolute()
    keys = source.keys()
    work = {
        "command": "export",
        "format": form.name,
        "keys": hashlib.sha256("\n".join(map(printable, keys)).encode()).hexdigest(),
    }
    with resumable(root, work) as going_on:
        if not going_on and any(path.name[0] != "." for path in root.iterdir()):
            raise LumosXError(f"{root} is in use. Give a new or an empty folder.")
        (root / form.videos).mkdir(exist_ok=True)
        (root / _RECORDS).mkdir(exist_ok=True)
        names = [f"{number:06d}" for number in range(len(keys))]
        finished = []
        for key, name in zip(keys, names, strict=True):
            record = root / _RECORDS / f"{name}.json"
            if record.is_file():
                finished.append(record)
            else:
                try:
                    _write(source, key, name, root, form, record)
                    finished.append(record)
                except BadSample as error:
                    bad(error)
            done()
        if not finished:
            raise LumosXError(
                f"There is no good sample to export. Fix what this reports: {own_command('check-data', 'SOURCE')}"
            )
        records = [_read(record) for record in finished]
        try:
            files = form.write_index(root, [record["entry"] for record in records])
        except (KeyError, TypeError, AttributeError) as error:  # values of another kind than `write_sample` gave
            raise LumosXError(
                f"A record of a finished sample in {root / _RECORDS} is damaged ({shown(error, 100)}). Remove that "
                f"folder and run the same command again: the samples are written again."
            ) from error
        owners = write_lines(root / OWNERS, [record["owners"] for record in records])
        shutil.rmtree(root / _RECORDS)
    return Exported([*files, owners], len(records))


def _read(record: Path) -> dict[str, Any]:
    """The record of a finished sample, of this run or of one that was killed.

    Raises:
        LumosXError: it is damaged.
    """
    try:
        content = json.loads(record.read_bytes())
        if not all(isinstance(content[name], dict) for name in ("entry", "owners")):
            raise TypeError("values of another kind")
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise LumosXError(
            f"{record} is damaged. Remove it and run the same command again: its sample is written again."
        ) from error
    return content


def _write(source: Source, key: str, name: str, root: Path, form: TrainerFormat, record: Path) -> None:
    sample = source.load(key)
    images = owned_images(sample.case.scene)
    video = f"{form.videos}/{name}.mp4"
    try:
        write_sample_video(root / video, sample)
        entry = form.write_sample(root, ExportedSample(name, sample, images, video))
    except LumosXError as error:
        (root / video).unlink(missing_ok=True)
        raise BadSample(sample.where, str(error)) from error
    owners: Mapping[str, Any] = {
        "video": video,
        "key": printable(key),
        "references": [{"role": each.role, "owner": each.owner, "phrase": each.phrase} for each in images],
    }
    with atomic_file(record) as file:
        file.write(json.dumps({"entry": entry, "owners": owners}, ensure_ascii=False).encode())
