"""Files of subjects in ComfyUI's folders: where they are, their names, and their phrases.

LumosX Save Subject writes below the output folder, as ComfyUI's own nodes that save models do; files that come from
somebody else are put into the models folder. Both are one list, as for ComfyUI's models, so that its model library
shows them with their thumbnails.
"""

from __future__ import annotations

import os
from functools import lru_cache
from pathlib import Path

import folder_paths

from ...lumosx_core.errors import LumosXError, shown
from ...lumosx_core.files.safe_names import is_safe_name
from ...lumosx_core.scene.scene import Subject
from ...lumosx_core.scene.subject_file import ENDING, read_subject_phrases

FOLDER = "lumosx_subjects"


def register_subject_folder() -> None:
    """Make the folders of subjects known to ComfyUI, beside those that its extra_model_paths.yaml names."""
    known, endings = folder_paths.folder_names_and_paths.get(FOLDER, ([], set()))
    folder_paths.folder_names_and_paths[FOLDER] = (known, {*endings, ENDING})
    for parent in (folder_paths.models_dir, folder_paths.get_output_directory()):
        folder_paths.add_model_folder_path(FOLDER, os.path.join(parent, FOLDER))


def subject_names() -> list[str]:
    """Files of subjects, as paths with "/" below their folders."""
    return sorted(name.replace(os.sep, "/") for name in folder_paths.get_filename_list(FOLDER) if _is_listed(name))


def subject_path(name: str) -> Path:
    """The file of an option.

    Raises:
        LumosXError: there is none, or the name leads out of the folders.
    """
    found = folder_paths.get_full_path(FOLDER, name) if isinstance(name, str) and is_safe_name(name) else None
    if found is None:
        raise LumosXError(
            f"There is no subject {shown(name)!r}. Save one with LumosX Save Subject, or put its file into "
            f"{os.path.join(folder_paths.models_dir, FOLDER)}, then press R to refresh."
        )
    return Path(found)


def new_subject_path(name: str) -> Path:
    """Where a subject of a name, such as "Anna" or "film/Anna", is saved.

    Raises:
        LumosXError: it is not a name, or leads out of the folder.
    """
    file = name.strip().removesuffix(ENDING) + ENDING
    if not is_safe_name(file) or any(part.startswith(".") for part in file.split("/")):
        raise LumosXError(
            f"{shown(name)!r} cannot be the name of a subject. Write a plain one, such as Anna or film/Anna: without "
            f'\\ : * ? " < > | and .., without a dot or a space at the start of a part.'
        )
    return Path(folder_paths.get_output_directory(), FOLDER, file)


def subject_phrases(name: str) -> Subject:
    """A subject without its images.

    Raises:
        LumosXError: there is no such file, or it is damaged.
    """
    path = subject_path(name)
    return _read(path, *subject_state(path))


def subject_state(path: Path) -> tuple[int, int]:
    """Time of modification in ns and size in bytes; it changes when the file does."""
    state = path.stat()
    return state.st_mtime_ns, state.st_size


def _is_listed(name: str) -> bool:
    return not any(part.startswith(".") for part in name.split(os.sep))


@lru_cache(maxsize=64)
def _read(path: Path, modified: int, size: int) -> Subject:
    """Cached, as the page asks at every word that is typed; read again when the file changes."""
    return read_subject_phrases(path)
