"""Files that a manifest or a table names, found as people see their names."""

from __future__ import annotations

from pathlib import Path

from lumosx_core.errors import LumosXError, shown
from lumosx_core.files.safe_names import MOST_BYTES
from lumosx_core.files.seen_name import elsewhere, find_seen

_LONGEST_PATH = 4096  # bytes; what systems take


def located(folder: Path, name: str) -> Path:
    r"""The file of a name that is relative to a folder, or absolute; also written with "\", as on Windows.

    What is not there is given as it was named: reading it says so.

    Raises:
        LumosXError: no file can have that name, several files look like it, or it is a path of another system.
    """
    try:
        parts = name.encode().replace(b"\\", b"/").split(b"/")
    except UnicodeEncodeError:
        parts = [b"\0"]
    if any(len(part) > MOST_BYTES for part in parts) or len(name) > _LONGEST_PATH or any(b"\0" in p for p in parts):
        raise LumosXError(f"No file can be named {shown(name, 80)!r}. Write the path of a file.")
    found = find_seen(folder, name)
    if found is None and (hint := elsewhere(name)):
        raise LumosXError(f"There is no {shown(name)!r}.{hint}")
    return found if found is not None else folder / name
