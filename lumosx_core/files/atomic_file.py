"""Files and folders that appear whole or not at all, and the removal of what a killed process left half-written.

What is not finished is called `.NAME.HOST-PID-RANDOM.partial`: it is hidden, and has no ending by which ComfyUI, or a
reader of ours, would list it as a model, a shard or a sample.
"""

from __future__ import annotations

import errno
import os
import re
import secrets
import shutil
import socket
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from ..errors import LumosXError

OLD = 24 * 3600
"""Seconds after which an unfinished file of another machine, or of a process that cannot be asked for, is removed."""

# Writers of these choose the format by the ending.
_BY_ENDING = (".mp4", ".png", ".jpg", ".jpeg", ".webp")
# Earlier versions wrote no host and process.
_LEFT = re.compile(r"\.((?P<host>[0-9a-f]{8})-(?P<process>\d+)-)?[0-9a-f]{8}\.partial(\.\w+)?$")
_LONGEST = 180  # bytes of the final name that a partial one repeats: file systems allow 255 in all


@contextmanager
def atomic_path(destination: Path) -> Iterator[Path]:
    """A path to write to; the file gets the destination's name only when the block ends without an error.

    It is in the same folder and is renamed at the end. When the block fails, for whatever reason, nothing of it
    remains, and an existing destination is unchanged. What a killed process left of the same destination is removed.

    Raises:
        LumosXError: the disk is full, or the folder cannot be written to.
    """
    ending = destination.suffix.lower()
    partial = partial_path(destination, ending if ending in _BY_ENDING else "")
    with _explained(destination):
        remove_partials(destination)
        try:
            yield partial
            os.replace(partial, destination)
        except BaseException:
            with suppress(OSError):
                partial.unlink()
            raise


@contextmanager
def atomic_file(destination: Path) -> Iterator[BinaryIO]:
    """`atomic_path`, opened for writing and flushed to the disk before it is renamed."""
    with atomic_path(destination) as partial, partial.open("xb") as file:
        yield file
        file.flush()
        os.fsync(file.fileno())


@contextmanager
def atomic_folder(destination: Path) -> Iterator[Path]:
    """`atomic_path` for a folder: a new one to fill, which gets the destination's name at the end.

    The destination must not exist, or be an empty folder.
    """
    partial = partial_path(destination)
    with _explained(destination):
        remove_partials(destination)
        try:
            partial.mkdir(parents=True)
            yield partial
            if destination.is_dir():
                destination.rmdir()  # Windows renames to no existing folder
            partial.rename(destination)
        finally:
            shutil.rmtree(partial, ignore_errors=True)


def partial_path(destination: Path, ending: str = "") -> Path:
    """A fresh name beside the destination for what is not finished; it says which process writes it."""
    return destination.with_name(
        f".{_stem(destination)}.{_host()}-{os.getpid()}-{secrets.token_hex(4)}.partial{ending}"
    )


def remove_partials(destination: Path) -> None:
    """Remove what killed processes left unfinished of this destination."""
    starts = (f".{_stem(destination)}", f".{destination.stem}")  # the second: earlier versions left out the ending
    _remove_from(destination.parent, lambda name: name.startswith(starts) and _LEFT.sub("", name) in starts)


def remove_all_partials(folder: Path) -> None:
    """Remove what killed processes left unfinished in this folder, of whatever destination."""
    _remove_from(folder, lambda name: name.startswith("."))


def _remove_from(folder: Path, wanted: Callable[[str], bool]) -> None:
    with suppress(OSError):
        for path in list(folder.iterdir()):
            if wanted(path.name) and (made := _LEFT.search(path.name)) and _is_left(path, made):
                _remove(path)


def _is_left(path: Path, made: re.Match) -> bool:
    """Whether nobody writes this partial file any more."""
    try:
        if time.time() - path.lstat().st_mtime > OLD:
            return True
    except OSError:
        return False
    # On Windows a process cannot be asked for without ending it.
    return os.name == "posix" and made["host"] == _host() and not _is_alive(int(made["process"]))


def _is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except OSError:  # somebody else's
        return True
    return True


def _remove(path: Path) -> None:
    with suppress(OSError):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink()


def _stem(destination: Path) -> str:
    """The destination's name, shortened where the longer partial name would not fit."""
    name = destination.name.encode(errors="surrogateescape")
    if len(name) <= _LONGEST:
        return destination.name
    return f"{name[: _LONGEST - 9].decode(errors='ignore')}-{zlib.crc32(name):08x}"


def _host() -> str:
    return f"{zlib.crc32(socket.gethostname().encode()):08x}"


@contextmanager
def _explained(destination: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        reason = error.strerror
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            advice = "Free some space, or choose another folder."
        elif error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
            advice = "Choose a folder you may write to."
        elif error.errno == errno.ENAMETOOLONG:
            advice = "Choose a shorter name: most disks allow 255 bytes, about 85 Chinese characters."
        elif error.errno in (errno.ENOTDIR, errno.EISDIR, errno.ENOTEMPTY, errno.EEXIST, errno.EINVAL, errno.EIO):
            advice = "Choose another name."
        else:
            raise
        shown = str(destination) if len(str(destination)) <= 300 else f"{str(destination)[:150]}..."
        raise LumosXError(f"{shown} could not be written: {reason}. {advice}") from error
