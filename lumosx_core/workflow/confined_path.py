"""Files that a workflow names, within the folders that it may read."""

from __future__ import annotations

import ntpath
import posixpath
from pathlib import Path

from ..errors import LumosXError


def path_inside(folder: Path, name: str, what: str) -> Path:
    r"""The path of a file, or folder, of `folder`; a workflow may come from anybody, and reads nothing elsewhere.

    Args:
        name: as ComfyUI writes it, such as "people/man.png", also with "\" or with " [input]" behind.
        what: whose name it is, for the message.

    Raises:
        LumosXError: an absolute path, or one that leaves the folder.
    """
    plain = name.removesuffix("[input]").strip().replace("\\", "/")
    path = posixpath.normpath(plain)
    elsewhere = posixpath.isabs(path) or ntpath.splitdrive(path)[0] or path.split("/")[0] == ".."
    if elsewhere or plain.endswith(("[output]", "[temp]")):
        raise LumosXError(
            f"{what} names {name!r}, which is outside of {folder}. Copy it there, and give its path in that folder."
        )
    return folder / path
