"""Paths that a file is written to, checked before the long work whose result it is."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from ..errors import LumosXError, shown
from .safe_names import MOST_BYTES


def check_new_file(path: str | os.PathLike) -> None:
    """Raise LumosXError unless a file can be written to a path, or replace the file that is there.

    Raises:
        LumosXError: the name is too long, the folder is not there or may not be written to, or the path is a folder, a
            device or a named pipe, which a finished file cannot be written to as one.
    """
    path = Path(path)
    name = shown(path, 300)
    if len(os.fsencode(path.name)) > MOST_BYTES:
        raise LumosXError(
            f"The file name {shown(path.name, 60)!r} has {len(os.fsencode(path.name))} bytes, but most disks allow "
            f"{MOST_BYTES}, about 85 Chinese characters. Use a shorter one."
        )
    try:
        if not path.parent.is_dir():
            raise LumosXError(f"The folder {shown(path.parent, 300)} does not exist. Create it, or choose another one.")
        mode = path.stat().st_mode if path.exists() else None
    except OSError as error:
        raise LumosXError(f"{name} cannot be written: {error.strerror}. Choose another path.") from error
    if mode is not None and not stat.S_ISREG(mode):
        kind = "a folder" if stat.S_ISDIR(mode) else "a device, a named pipe or a socket"
        raise LumosXError(f"{name} is {kind}, but a file is written. Choose another name.")
    if not os.access(path.parent, os.W_OK):
        raise LumosXError(f"The folder {shown(path.parent, 300)} may not be written to. Choose another one.")
