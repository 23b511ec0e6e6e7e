"""The hash that identifies a file, whatever its path and name."""

from __future__ import annotations

import hashlib
from pathlib import Path

from ..errors import LumosXError, shown

_BLOCK = 2**20  # bytes


def sha256_of(*paths: str | Path) -> str:
    """The SHA-256 of the contents of files, one after the other, in hexadecimal; a gigabyte takes about a second.

    Raises:
        LumosXError: a file cannot be read.
    """
    digest = hashlib.sha256()
    for path in paths:
        try:
            with Path(path).open("rb") as file:
                while block := file.read(_BLOCK):
                    digest.update(block)
        except (OSError, ValueError) as error:
            detail = error.strerror if isinstance(error, OSError) and error.strerror else error
            raise LumosXError(f"{shown(path, 300)} cannot be read ({detail}). Check its permissions.") from error
    return digest.hexdigest()
