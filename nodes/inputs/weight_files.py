"""Weight files as our loaders list them: ComfyUI's, followed by lumosx-tiny's, so that a first video needs no download.
ComfyUI's own loaders do not list lumosx-tiny.
"""

from __future__ import annotations

import folder_paths

from ...lumosx_core.errors import LumosXError
from ...lumosx_core.models.lumosx.tiny import tiny_files
from ...lumosx_core.models.lumosx.weights.missing import missing_weights


def weight_files(folder: str) -> list[str]:
    """The options of a loader, for a folder of ComfyUI's models such as "vae"."""
    names, tiny = folder_paths.get_filename_list(folder), tiny_files().by_folder[folder].name
    return names if tiny in names else [*names, tiny]


def weight_path(folder: str, name: str) -> str:
    """The file of an option.

    Raises:
        LumosXError: it does not exist; the message contains the command that downloads the released weights.
    """
    path, tiny = folder_paths.get_full_path(folder, name), tiny_files().by_folder[folder]
    if path is None and name == tiny.name:
        path = str(tiny)
    if path is None:
        raise missing_weights(name, folder, folder_paths.base_path)
    return path


def validated(folder: str, name: str) -> bool | str:
    """The result of a loader's validate_inputs."""
    try:
        weight_path(folder, name)
    except LumosXError as error:
        return str(error)
    return True
