"""Case folders in ComfyUI's input folder: their names, the state of their files, and their phrases."""

from __future__ import annotations

import os
from functools import lru_cache
from pathlib import Path

import folder_paths

from ...lumosx_core.errors import LumosXError
from ...lumosx_core.files.junk import is_junk
from ...lumosx_core.files.seen_name import loosely
from ...lumosx_core.prompt.highlight import phrases_only
from ...lumosx_core.scene.case_files import CAPTION
from ...lumosx_core.scene.case_folder import Case, read_case
from ...lumosx_core.workflow.confined_path import path_inside

FileState = tuple[str, int, int]  # path, time of modification in ns, size in bytes


def case_folders() -> list[str]:
    """Folders with a caption.txt below the input folder, as paths with "/"."""
    root = folder_paths.get_input_directory()
    folders = []
    for folder, below, files in os.walk(root):
        below[:] = [name for name in below if not is_junk(name)]
        if any(loosely(name) == CAPTION for name in files):
            folders.append(os.path.relpath(folder, root))
    return sorted(folder.replace(os.sep, "/") for folder in folders if folder != ".")


def case_fingerprint(name: str) -> list[FileState]:
    """The state of all files of a case folder; it changes when one of them does."""
    root = Path(folder_paths.get_input_directory(), name)
    states = []
    for folder, below, files in os.walk(root):
        below[:] = [name for name in below if not is_junk(name)]
        for path in (os.path.join(folder, file) for file in files if not is_junk(file)):
            if os.path.isfile(path):
                state = os.stat(path)
                states.append((path, state.st_mtime_ns, state.st_size))
    return sorted(states)


def case_phrases(name: str) -> Case:
    """A case folder without its images.

    Raises:
        LumosXError: there is no such case folder.
    """
    root = Path(folder_paths.get_input_directory())
    folder = path_inside(root, name, "LumosX Scene From Folder")
    if folder == root or not _has_caption(folder):
        raise LumosXError(f"There is no case folder {name!r} in ComfyUI's input folder {root}. Choose another one.")
    return _read(folder, tuple(case_fingerprint(name)))


def _has_caption(folder: Path) -> bool:
    return folder.is_dir() and any(loosely(name) == CAPTION for name in os.listdir(folder))


@lru_cache(maxsize=4)
def _read(folder: Path, fingerprint: tuple[FileState, ...]) -> Case:
    """Cached, as the page asks at every word that is typed; read again when the files change."""
    case = read_case(folder, say=lambda text: None)  # the run reports it
    return Case(case.name, case.prompt, phrases_only(case.scene))
