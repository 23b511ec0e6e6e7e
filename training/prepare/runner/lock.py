"""One run at a time in a data set: a lock that the system takes back when its process dies."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lumosx_core.errors import LumosXError


@contextmanager
def only_run(root: Path) -> Iterator[None]:
    """Hold the lock of a data set.

    Raises:
        LumosXError: another run has it.
    """
    descriptor = os.open(root / ".lock", os.O_RDWR | os.O_CREAT, 0o666)
    try:
        try:
            _lock(descriptor)
        except OSError as error:
            raise LumosXError(
                f"Another run works in {root}. Wait until it has ended, or stop it, and run the command again."
            ) from error
        yield
    finally:
        os.close(descriptor)


def _lock(descriptor: int) -> None:
    if os.name == "nt":
        import msvcrt

        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined, unused-ignore]
        return
    import fcntl

    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
