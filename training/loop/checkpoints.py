"""Checkpoints of a run: folders `checkpoints/step-00000500`, each whole or not there.

A folder is written beside, flushed to the disk, and renamed; only then are older ones removed. So whatever happens,
the last good one is there. Which files a folder holds is the trainer's affair.
"""

from __future__ import annotations

import errno
import json
import os
import re
import secrets
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from lumosx_core.errors import LumosXError

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
        """Remove what a killed run has left unfinished."""
        for path in self.directory.glob(".*.partial"):
            shutil.rmtree(path, ignore_errors=True)

    def latest(self) -> Checkpoint | None:
        """The newest checkpoint."""
        found = self._all()
        return Checkpoint(found[-1]) if found else None

    def save(
        self, step: int, facts: Mapping, parts: Mapping[str, Callable[[], dict[str, Tensor]]], *, write: bool = True
    ) -> Path:
        """Write a checkpoint, then remove those beyond `keep`.

        Args:
            facts: what JSON can say.
            parts: name -> its tensors, asked for one after the other.
            write: False for a process that only takes part in gathering shared tensors.

        Raises:
            LumosXError: the disk is full or the folder cannot be written. Nothing of this checkpoint is left then, and
                the earlier ones are untouched.
        """
        final = self.directory / f"step-{step:08d}"
        if not write:
            for tensors in parts.values():
                tensors()
            return final
        partial = self.directory / f".{final.name}.{secrets.token_hex(4)}.partial"
        written = 0
        try:
            partial.mkdir(parents=True)
            for name, tensors in parts.items():
                content = tensors()
                written += sum(tensor.nbytes for tensor in content.values())
                self._check_room(sum(tensor.nbytes for tensor in content.values()))
                save_file(content, partial / f"{name}.safetensors", {"format": "pt"})
                del content
            (partial / RUN).write_text(json.dumps({"step": step, **facts}, indent=1), encoding="utf-8")
            for path in (*partial.iterdir(), partial):
                _flush(path)
            os.rename(partial, final)
            _flush(self.directory)
        except BaseException as error:
            shutil.rmtree(partial, ignore_errors=True)
            if isinstance(error, OSError | SafetensorError):
                raise self._failure(final, error, written) from error
            raise
        self._remove_old()
        return final

    def _all(self) -> list[Path]:
        if not self.directory.is_dir():
            return []
        found = [path for path in self.directory.iterdir() if re.fullmatch(r"step-\d+", path.name)]
        return sorted(found, key=lambda path: int(path.name.removeprefix("step-")))

    def _remove_old(self) -> None:
        for path in self._all()[: -self.keep]:
            # Renamed first, so that a kill in between leaves no folder that only looks like a checkpoint.
            doomed = path.with_name(f".{path.name}.{secrets.token_hex(4)}.partial")
            path.rename(doomed)
            shutil.rmtree(doomed, ignore_errors=True)

    def _check_room(self, needed: int) -> None:
        free = shutil.disk_usage(self.directory).free
        if needed > free:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def _failure(self, final: Path, error: Exception, needed: int) -> LumosXError:
        number = getattr(error, "errno", None)
        if number is None and (found := re.search(r"os error (\d+)", str(error))):
            number = int(found[1])
        reason = os.strerror(number) if number else str(error)
        last = self._all()
        kept = f"The last good checkpoint is {last[-1]}." if last else "There is no earlier checkpoint."
        try:
            free = f"{shutil.disk_usage(self.directory).free:,} bytes are free"
        except OSError:
            free = "how much is free cannot be told"
        if number in _FULL:
            return LumosXError(
                f"The checkpoint {final} could not be written: {reason}. It needs {needed:,} bytes or more, and {free} "
                f"in {self.directory}. {kept} Free some space and start again; the run continues there."
            )
        return LumosXError(f"The checkpoint {final} could not be written: {reason}. {kept} Mend that and start again.")


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
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise self._damaged(RUN, error) from error

    def has(self, part: str) -> bool:
        return (self.path / f"{part}.safetensors").is_file()

    def load(self, part: str) -> dict[str, Tensor]:
        """The tensors of a part, on the CPU."""
        try:
            return load_file(self.path / f"{part}.safetensors")
        except (OSError, SafetensorError) as error:
            raise self._damaged(f"{part}.safetensors", error) from error

    def _damaged(self, name: str, error: Exception) -> LumosXError:
        return LumosXError(
            f"The checkpoint {self.path} is damaged: {name} cannot be read ({error}). Remove this folder, and the run "
            f"continues from the one before it."
        )


def _flush(path: Path) -> None:
    """See that a file's content, or a folder's list of names, is on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
