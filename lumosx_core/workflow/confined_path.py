"""Files that a workflow names, within the folders that it may read."""

from __future__ import annotations

import ntpath
import posixpath
from pathlib import Path

from ..errors import LumosXError, shown
from ..files.seen_name import seen_path


def path_inside(folder: Path, name: str, what: str) -> Path:
    r"""The path of a file, or folder, of `folder`; a workflow may come from anybody, and reads nothing elsewhere.

    Args:
        name: as ComfyUI writes it, such as "people/man.png", also with "\" or with " [input]" behind; it is found as
            people see it (`files.seen_name`).
        what: whose name it is, for the message.

    Raises:
        LumosXError: an absolute path, one that leaves the folder, or one that several names look like.
    """
    plain = name.removesuffix("[input]").strip().replace("\\", "/")
    path = posixpath.normpath(plain)
    elsewhere = posixpath.isabs(path) or ntpath.splitdrive(path)[0] or path.split("/")[0] == ".."
    if elsewhere or plain.endswith(("[output]", "[temp]")):
        raise LumosXError(
            f"{what} names {shown(name)!r}, which is outside of {folder}. Copy it there, and give its path "
            f"in that folder."
        )
    return seen_path(folder, path)
