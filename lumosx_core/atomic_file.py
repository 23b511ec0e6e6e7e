"""A file that appears whole or not at all."""

from __future__ import annotations

import errno
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from .errors import LumosXError


@contextmanager
def atomic_file(destination: Path) -> Iterator[BinaryIO]:
    """Open a file for writing that takes the destination's name only when the block ends well.

    It is written under another name in the same folder, flushed to the disk and then renamed. When the block fails,
    for whatever reason, nothing is left of it, and a destination that was there before is untouched.

    Raises:
        LumosXError: the disk is full, or the folder cannot be written to.
    """
    partial = destination.with_name(f".{destination.name}.{secrets.token_hex(4)}.partial")
    try:
        try:
            with partial.open("xb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            os.replace(partial, destination)
        except BaseException:
            with suppress(OSError):
                partial.unlink()
            raise
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            mend = "Free some space, or choose another folder."
        elif error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
            mend = "Choose a folder you may write to."
        else:
            raise
        raise LumosXError(f"{destination} could not be written: {error.strerror}. {mend}") from error
