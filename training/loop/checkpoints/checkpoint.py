"""Checkpoints of a run: folders `checkpoints/step-00000500`, each complete or absent.

A folder is written under a temporary name, flushed to the disk, and renamed; only then are older ones removed. So
whatever happens, the last good one remains. The trainer decides which files a folder contains.
"""

from __future__ import annotations

import errno
import json
import os
import re
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from safetensors import SafetensorError, safe_open
from torch import Tensor

from lumosx_core.errors import LumosXError
from lumosx_core.files.atomic_file import partial_path
from lumosx_core.files.safetensors_file import data_size, in_file_order, write_safetensors
from lumosx_core.files.stored_tensor import StoredTensor

from .sharded_state import take_part

FOLDER = "checkpoints"
RUN = "run.json"
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class Checkpoints:
    """The checkpoints below an output folder.

    Args:
        keep: how many are kept.
    """

    def __init__(self, output: Path, keep: int = 2):
        self.directory = output / FOLDER
        self.keep = keep

    def clean(self) -> None:
        """Remove what a killed run left unfinished."""
        for path in self.directory.glob(".*.partial"):
            shutil.rmtree(path, ignore_errors=True)

    def latest(self) -> Checkpoint | None:
        """The newest checkpoint."""
        folders = self._all()
        return Checkpoint(folders[-1]) if folders else None

    def save(
        self, step: int, facts: Mapping, parts: Mapping[str, Mapping[str, StoredTensor]], *, write: bool = True
    ) -> Path:
        """Write a checkpoint, then remove those beyond `keep`.

        Args:
            facts: JSON values for run.json.
            parts: file name -> its tensors, loaded and written one by one.
            write: False for a process that only takes part in gathering sharded tensors.

        Raises:
            LumosXError: the disk is full or the folder cannot be written. Nothing of this checkpoint remains then, and
                the earlier ones are untouched.
        """
        final = self.directory / f"step-{step:08d}"
        if not write:
            for tensors in parts.values():
                take_part(tensors)
            return final
        partial = partial_path(final)
        needed = sum(data_size(tensors) for tensors in parts.values())
        try:
            partial.mkdir(parents=True)
            self._check_room(needed)
            for name, tensors in parts.items():
                with (partial / f"{name}.safetensors").open("xb") as file:
                    write_safetensors(file, in_file_order(tensors))
            (partial / RUN).write_text(json.dumps({"step": step, **facts}, indent=1), encoding="utf-8")
            for path in (*partial.iterdir(), partial):
                _flush(path)
            os.rename(partial, final)
            _flush(self.directory)
        except BaseException as error:
            shutil.rmtree(partial, ignore_errors=True)
            if isinstance(error, OSError):
                raise self._failure(final, error, needed) from error
            raise
        self._remove_old()
        return final

    def _all(self) -> list[Path]:
        if not self.directory.is_dir():
            return []
        folders = [path for path in self.directory.iterdir() if re.fullmatch(r"step-\d+", path.name)]
        return sorted(folders, key=lambda path: int(path.name.removeprefix("step-")))

    def _remove_old(self) -> None:
        for path in self._all()[: -self.keep]:
            # Renamed first, so that a kill in between leaves no folder that only looks like a checkpoint.
            doomed = partial_path(path)
            path.rename(doomed)
            shutil.rmtree(doomed, ignore_errors=True)

    def _check_room(self, needed: int) -> None:
        free = shutil.disk_usage(self.directory).free
        if needed > free:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def _failure(self, final: Path, error: OSError, needed: int) -> LumosXError:
        reason = error.strerror or str(error)
        last = self._all()
        remaining = f"The last good checkpoint is {last[-1]}." if last else "There is no earlier checkpoint."
        try:
            free = f"{shutil.disk_usage(self.directory).free:,} bytes are free"
        except OSError:
            free = "an unknown amount is free"
        if error.errno in _FULL:
            return LumosXError(
                f"The checkpoint {final} could not be written: {reason}. It needs {needed:,} bytes, and {free} "
                f"in {self.directory}. {remaining} Free some space and start again; the run resumes from there."
            )
        return LumosXError(
            f"The checkpoint {final} could not be written: {reason}. {remaining} Fix that and start again."
        )


class Checkpoint:
    """One checkpoint on the disk.

    Raises:
        LumosXError: its description is not readable.
    """

    def __init__(self, path: Path):
        self.path = path
        try:
            self.facts: dict = json.loads((path / RUN).read_text(encoding="utf-8"))
            self.step: int = self.facts["step"]
            _check_facts(self.facts)
        except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
            raise self._damaged(RUN, error) from error

    def has(self, part: str) -> bool:
        return (self.path / f"{part}.safetensors").is_file()

    def tensors(self, part: str) -> Iterator[tuple[str, Tensor]]:
        """The tensors of a part with their names, read one by one onto the CPU."""
        with self._open(part) as file:
            for name in file.keys():  # noqa: SIM118 - not a dictionary
                yield name, file.get_tensor(name)

    def shapes(self, part: str) -> dict[str, tuple[int, ...]]:
        with self._open(part) as file:
            return {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118

    @contextmanager
    def _open(self, part: str) -> Iterator[safe_open]:
        try:
            with safe_open(self.path / f"{part}.safetensors", framework="pt") as file:
                yield file
        except (OSError, SafetensorError) as error:
            raise self._damaged(f"{part}.safetensors", error) from error

    def _damaged(self, name: str, error: Exception) -> LumosXError:
        return LumosXError(
            f"The checkpoint {self.path} is damaged: {name} cannot be read ({error}). Remove this folder, and the run "
            f"resumes from the one before it."
        )


def _check_facts(facts: dict) -> None:
    """Raise TypeError or KeyError unless what a resumed run compares is of its kind; parts may be missing."""
    if type(facts["step"]) is not int or not isinstance(facts.get("config") or {}, dict):
        raise TypeError("it has no step or config")
    if (clips := facts.get("clips")) is not None and type(clips["count"]) is not int:
        raise TypeError("it has no number of clips")


def _flush(path: Path) -> None:
    """Make sure that a file's content, or a folder's list of names, is on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
