"""A file that appears whole or not at all."""

from __future__ import annotations

import errno
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from ..errors import LumosXError


@contextmanager
def atomic_path(destination: Path) -> Iterator[Path]:
    """A path to write to; the file gets the destination's name only when the block ends without an error.

    It is in the same folder and is renamed at the end. When the block fails, for whatever reason, nothing of it
    remains, and an existing destination is unchanged.

    Raises:
        LumosXError: the disk is full, or the folder cannot be written to.
    """
    # The ending stays: some writers choose the format by it.
    partial = destination.with_name(f".{destination.stem}.{secrets.token_hex(4)}.partial{destination.suffix}")
    try:
        try:
            yield partial
            os.replace(partial, destination)
        except BaseException:
            with suppress(OSError):
                partial.unlink()
            raise
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            advice = "Free some space, or choose another folder."
        elif error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
            advice = "Choose a folder you may write to."
        else:
            raise
        raise LumosXError(f"{destination} could not be written: {error.strerror}. {advice}") from error


@contextmanager
def atomic_file(destination: Path) -> Iterator[BinaryIO]:
    """`atomic_path`, opened for writing and flushed to the disk before it is renamed."""
    with atomic_path(destination) as partial, partial.open("xb") as file:
        yield file
        file.flush()
        os.fsync(file.fileno())
