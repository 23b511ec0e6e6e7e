"""A folder that a command fills piece by piece and, when it was killed, goes on filling.

While it is being filled, a hidden note in it says by what. Each piece appears complete or not at all, so whatever is
there when the same command comes again is kept.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from lumosx_core.errors import LumosXError
from lumosx_core.files.atomic_file import atomic_file, remove_all_partials

NOTE = ".lumosx-unfinished.json"


@contextmanager
def resumable(directory: Path, work: Mapping[str, object]) -> Iterator[bool]:
    """Fill a folder; the note is there from the first piece to the last.

    Args:
        work: JSON values that say what is written; the same work goes on, another is refused.

    Yields:
        Whether an earlier run of the same work left the folder unfinished.

    Raises:
        LumosXError: the folder cannot be written, or another work left it unfinished.
    """
    note = directory / NOTE
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise LumosXError(f"Cannot create the folder {directory}: {error.strerror}. Give another one.") from error
    remove_all_partials(directory)
    going_on = note.is_file()
    if going_on and _read(note) != json.loads(json.dumps(work)):
        raise LumosXError(
            f"{directory} was left unfinished by a run with other settings or another source. Repeat that command to "
            f"finish it, or give a new folder."
        )
    before = set(directory.iterdir()) | {note}
    if not going_on:
        with atomic_file(note) as file:
            file.write(json.dumps(work).encode())
    try:
        yield going_on
    except BaseException:
        if not going_on and set(directory.iterdir()) <= before:
            note.unlink()  # nothing was written that could be gone on with
        raise
    with suppress(OSError):
        note.unlink()


def _read(note: Path) -> object:
    try:
        return json.loads(note.read_bytes())
    except (OSError, ValueError, RecursionError):
        return None
