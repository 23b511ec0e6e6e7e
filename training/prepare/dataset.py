"""A data set under preparation, as it is on the disk.

    manifest.json                    the settings, and the versions of the stages that made what is there
    stages/STAGE/SHARD/ID/           a finished item: done.json with its outcome, and the stage's files
    stages/STAGE/outcomes.jsonl      the outcomes of a stage that sees all items at once
    samples/ID/                      the last stage's finished items, as far as they are kept
    failed/STAGE/ID.json             an item that could not be done: the error and the number of tries
    attempts/STAGE/ID                one line for each time that work on an item began; removed when it ends
    lists/STAGE.jsonl                the items that go on from a stage, written again by every run
    report.json, table.parquet       made of the above at the end of a run

What is finished appears under its name in one rename, after its bytes have reached the disk. What is not is in a hidden
folder beside it, which the next run removes if the process that wrote it is gone. So whatever is killed, and whenever,
each item is finished once or not at all; two processes that work on the same item cannot both finish it.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import zlib
from collections.abc import Collection, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lumosx_core.errors import LumosXError, shown
from lumosx_core.files.atomic_file import atomic_file, partial_path, remove_all_partials
from lumosx_core.files.safe_names import is_safe_name

from .stage import Outcome

DONE = "done.json"
SHARDS = 256  # folders of a stage: a hundred thousand items are 400 in each
_ID = re.compile(r"[0-9a-z][0-9a-z_-]{0,79}")


@dataclass(frozen=True)
class Failure:
    """An item that could not be done.

    Args:
        error: the message.
        tries: how often it has failed.
    """

    error: str
    tries: int


class Dataset:
    """The folders and files of one data set. Holds no state of its own, so it can be sent to other processes.

    Args:
        root: its folder; on a cluster, one that all machines see under this path.
        last: the name of the stage whose results are the samples.
    """

    def __init__(self, root: str | Path, last: str):
        self.root = Path(root).absolute()
        self.last = last

    @property
    def samples(self) -> Path:
        return self.root / "samples"

    def stage_folder(self, stage: str) -> Path:
        return self.root / "stages" / stage

    def list_path(self, stage: str) -> Path:
        return self.root / "lists" / f"{stage}.jsonl"

    def item_folder(self, stage: str, item: str) -> Path:
        """Where a finished item is, unless it is a sample."""
        return self.stage_folder(stage) / f"{zlib.crc32(item.encode()) % SHARDS:02x}" / item

    def find(self, stage: str, item: str) -> Path | None:
        """The folder of a finished item; None if it is not finished."""
        folders = [self.item_folder(stage, item)]
        if stage == self.last:
            folders.insert(0, self.samples / item)
        return next((folder for folder in folders if (folder / DONE).exists()), None)

    def outcome(self, stage: str, item: str, source: str) -> Outcome | None:
        """What became of an item; None if it is not finished.

        Args:
            source: the id of the source video that it comes from.

        Raises:
            LumosXError: done.json is damaged, or of an item of another source.
        """
        for path in self._records(stage, item):
            try:
                text = path.read_bytes()
            except (FileNotFoundError, NotADirectoryError):
                continue
            try:
                record = read_json(text)
                outcome, other = outcome_of(record), record["source"]
            except (ValueError, KeyError, TypeError, RecursionError) as error:
                raise LumosXError(
                    f"{path} is damaged ({type(error).__name__}: {shown(error, 100)}). Remove its folder "
                    f"{path.parent}: the next run makes it again."
                ) from error
            if other != source:
                raise two_of_one_id(stage, item, str(other), source)
            return outcome
        return None

    def _records(self, stage: str, item: str) -> Iterator[Path]:
        if stage == self.last:
            yield self.samples / item / DONE
        yield self.item_folder(stage, item) / DONE

    def new_output(self, stage: str, item: str) -> Path:
        """A hidden, empty folder for an item's files, beside the place where they will be."""
        folder = partial_path(self.item_folder(stage, item))
        folder.mkdir(parents=True)
        return folder

    def finish(self, stage: str, item: str, source: str, output: Path, outcome: Outcome) -> None:
        """Give a finished item its name. If another process has finished it meanwhile, that result stays.

        Args:
            output: its folder, from `new_output`.

        Raises:
            TypeError, ValueError: the outcome is not made of JSON values, a rejected item or one of the last
                stage has children, or the stage wrote a file done.json.
            LumosXError: an id of a child is no safe name.
            OSError: the disk is full, or cannot be written to.
        """
        record = _encoded(outcome, source)
        if stage == self.last and outcome.children is not None:
            raise ValueError(f"Stage {stage!r} is the last one: its items become samples, and have no children.")
        if (output / DONE).exists():
            raise ValueError(f"Stage {stage!r} wrote a file {DONE}. That name is taken: use another one.")
        with (output / DONE).open("xb") as file:
            file.write(record)
        _flush(output)
        kept = stage == self.last and not outcome.rejected
        self._publish(output, self.samples / item if kept else self.item_folder(stage, item))
        self.forget_failure(stage, item)

    def _publish(self, output: Path, destination: Path) -> None:
        destination.parent.mkdir(parents=True, exist_ok=True)
        try:
            output.rename(destination)
        except OSError as error:
            if (destination / DONE).exists():
                shutil.rmtree(output, ignore_errors=True)
                return
            if not destination.exists():
                raise
            raise LumosXError(
                f"{destination} is in the way: it is not a finished item, for it has no {DONE}. Move it out of the "
                f"data set, and run the same command again."
            ) from error

    def failure(self, stage: str, item: str) -> Failure | None:
        """How an item failed; None if it did not.

        Raises:
            LumosXError: its file is damaged.
        """
        path = self._failure_path(stage, item)
        try:
            record = read_json(path.read_bytes())
            return Failure(str(record["error"]), int(record["tries"]))
        except FileNotFoundError:
            return None
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise LumosXError(f"{path} is damaged. Remove it: the next run tries the item again.") from error

    def fail(self, stage: str, item: str, error: str) -> None:
        """Record that an item could not be done."""
        before = self.failure(stage, item)
        record = {"id": item, "stage": stage, "error": error, "tries": before.tries + 1 if before else 1}
        path = self._failure_path(stage, item)
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_file(path) as file:
            file.write(_json(record))

    def forget_failure(self, stage: str, item: str) -> None:
        with suppress(FileNotFoundError):
            self._failure_path(stage, item).unlink()

    def _failure_path(self, stage: str, item: str) -> Path:
        return self.root / "failed" / stage / f"{item}.json"

    def attempts(self, stage: str, item: str) -> int:
        """How often work on an item began and neither finished nor failed: the process died each time."""
        try:
            return self._attempts_path(stage, item).read_bytes().count(b"\n")
        except FileNotFoundError:
            return 0

    def begin(self, stage: str, item: str) -> None:
        """Record that work on an item begins."""
        path = self._attempts_path(stage, item)
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("ab") as file:
            file.write(f"{os.getpid()}\n".encode())

    def end(self, stage: str, item: str) -> None:
        """Record that work on an item ended, whatever came of it."""
        with suppress(FileNotFoundError):
            self._attempts_path(stage, item).unlink()

    def _attempts_path(self, stage: str, item: str) -> Path:
        return self.root / "attempts" / stage / item

    def forget_attempts(self, stage: str) -> None:
        """Forget the attempts of a stage, after a run that ended in an orderly way."""
        shutil.rmtree(self.root / "attempts" / stage, ignore_errors=True)

    def discard(self, stage: str) -> None:
        """Remove all results of a stage, so that it is run again."""
        folders = [self.stage_folder(stage), self.root / "failed" / stage, self.root / "attempts" / stage]
        for folder in [*folders, *([self.samples] if stage == self.last else [])]:
            if folder.exists():
                hidden = partial_path(folder)
                folder.rename(hidden)  # a run that is killed while it removes them leaves no half of them
                shutil.rmtree(hidden)

    def arrange_samples(self, wanted: Collection[str]) -> None:
        """Leave in `samples` exactly those that are wanted.

        Others are moved to the results of the last stage, and back when they are wanted again: a video that was added
        may make a sample the duplicate of another one.
        """
        self.samples.mkdir(exist_ok=True)
        for name in [entry.name for entry in os.scandir(self.samples) if entry.name not in wanted]:
            if (self.samples / name / DONE).exists():  # else it is not ours
                self._publish(self.samples / name, self.item_folder(self.last, name))
        for name in wanted:
            if not (self.samples / name).exists():
                self._publish(self.item_folder(self.last, name), self.samples / name)

    def sweep(self) -> None:
        """Remove what killed processes left unfinished."""
        remove_all_partials(self.root)
        for name in ("stages", "failed", "lists"):
            remove_all_partials(self.root / name)
        for kind in ("stages", "failed"):
            for stage in _folders(self.root / kind):
                remove_all_partials(stage)
                for shard in _folders(stage) if kind == "stages" else ():
                    remove_all_partials(shard)


def two_of_one_id(stage: str, item: str, first: str, second: str) -> LumosXError:
    """The message about an id that is not unique.

    Args:
        first, second: ids of the source videos of the two items.
    """
    return LumosXError(
        f"Two items of stage {stage!r} have the id {item!r}: one of video {shown(first, 80)}, one of "
        f"{shown(second, 80)}. Ids must be unique: derive them from the id of the source."
    )


def check_id(item: object, of: str) -> str:
    """An id that is safe as the name of a folder on every system.

    Raises:
        LumosXError: it is not.
    """
    if not isinstance(item, str) or not _ID.fullmatch(item) or not is_safe_name(item):
        raise LumosXError(
            f"The id {shown(repr(item), 100)} of {of} is not possible. Use up to 80 small letters, digits, '-' and "
            f"'_', and no name that Windows reserves."
        )
    return item


def outcome_of(record: Any) -> Outcome:
    """An outcome as it was stored.

    Raises:
        ValueError, KeyError, TypeError: it is not one.
    """
    rejected, facts, children = record["rejected"], record["facts"], record["children"]
    if not isinstance(rejected, str) or not isinstance(facts, dict) or not isinstance(children, dict | None):
        raise ValueError("a value of another kind")
    if not all(isinstance(child, dict) for child in (children or {}).values()):
        raise ValueError("facts of a child of another kind")
    return Outcome(rejected, facts, children)


def _encoded(outcome: Outcome, source: str) -> bytes:
    children: Mapping[str, Any] | None = outcome.children
    for child in children if children is not None else ():
        check_id(child, "a child")
    if outcome.rejected and children:
        raise ValueError(f"An item that is rejected ({outcome.rejected}) has no children, but {len(children)} came.")
    return _json(
        {
            "source": source,
            "rejected": outcome.rejected,
            "facts": dict(outcome.facts),
            "children": None if children is None else dict(children),
        }
    )


def read_json(text: bytes) -> Any:
    """A value as it was stored; NaN and infinite numbers never are.

    Raises:
        ValueError, RecursionError: it is not JSON.
    """
    return json.loads(text, parse_constant=_refused)


def _refused(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def _json(value: object) -> bytes:
    """The same bytes for equal values."""
    return json.dumps(value, ensure_ascii=False, allow_nan=False, sort_keys=True).encode()


def _flush(folder: Path) -> None:
    """Wait until the files below a folder, and their names, have reached the disk."""
    for directory, _, names in os.walk(folder):
        for name in names:
            _sync(os.path.join(directory, name), os.O_RDONLY if os.name == "posix" else os.O_RDWR)
        if os.name == "posix":  # Windows flushes no folders
            _sync(directory, os.O_RDONLY)


def _sync(path: str, mode: int) -> None:
    descriptor = os.open(path, mode)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _folders(folder: Path) -> list[Path]:
    try:
        return [Path(entry.path) for entry in os.scandir(folder) if entry.is_dir(follow_symlinks=False)]
    except FileNotFoundError:
        return []
