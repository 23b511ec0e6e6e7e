"""Weights of Ingredients (CogVideoX) as our loaders list them: files of ComfyUI's folders, the folder that the release
is, and the ones that come with LumosX.

A released folder has everything in it (transformer/, text_encoder/, tokenizer/, vae/, face_encoder/), so each loader
lists it. Its name ends with "/".
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import folder_paths

from ...lumosx_core.errors import LumosXError
from ...lumosx_core.files.junk import is_junk
from ...lumosx_core.models.ingredients.faces.face_encoder import EVA_CLIP
from ...lumosx_core.models.ingredients.tiny import TINY_DIRECTORY
from ...lumosx_core.models.ingredients.weights.files import FACE_ENCODER_FOLDER, face_encoder_folder
from ...lumosx_core.own_command import own_command

TINY = "ingredients-tiny/"


@dataclass(frozen=True)
class Part:
    """What a loader loads.

    Args:
        what: for messages.
        folder: of ComfyUI's models, with files of its kind; or our own.
        inner: the folder in a released folder.
        marker: a file or folder by which `inner` is recognised where it is a folder of its own.
    """

    what: str
    folder: str
    inner: str
    marker: str


NETWORK = Part("Ingredients (CogVideoX) network", "diffusion_models", "transformer", "")
TEXT_ENCODER = Part("text encoder", "text_encoders", "text_encoder", "")
VAE = Part("VAE", "vae", "vae", "")
FACE_ENCODER = Part("face encoder", FACE_ENCODER_FOLDER, "face_encoder", EVA_CLIP)
_RELEASES = ("diffusion_models", "diffusers", "ingredients")  # folders in which released folders are looked for


def names_of(part: Part) -> list[str]:
    """The options of a loader."""
    files = folder_paths.get_filename_list(part.folder) if part.folder in folder_paths.folder_names_and_paths else []
    return [*files, *_folders(part)]


def path_of(part: Part, name: str) -> Path:
    """The file or folder of an option. Of a released folder, the folder itself.

    Raises:
        LumosXError: it does not exist; the message contains the command that downloads the released weights.
    """
    if name.endswith("/"):
        path = _folders(part).get(name)
    else:
        found = folder_paths.get_full_path(part.folder, name)
        path = None if found is None else Path(found)
    if path is None:
        raise LumosXError(
            f"There is no {part.what} {name!r} in models/{part.folder}, and no released folder of that name in "
            f"models/diffusers. Choose another one. To download the released weights, run this in a terminal, then "
            f"press R in ComfyUI: {own_command('download', '--ingredients', '--comfyui', folder_paths.base_path)}"
        )
    return path


def face_encoder_of(name: str) -> Path:
    """The folder of the networks that read faces, of an option of their loader."""
    return face_encoder_folder(path_of(FACE_ENCODER, name))


def validated(part: Part, name: str) -> bool | str:
    """The result of a loader's validate_inputs."""
    try:
        path_of(part, name)
    except LumosXError as error:
        return str(error)
    return True


def _folders(part: Part) -> dict[str, Path]:
    """Released folders that have the part, then folders that are the part, then the one that comes with LumosX."""
    found: dict[str, Path] = {}
    for name, path in _below(_RELEASES):
        if (path / part.inner).is_dir():
            found.setdefault(name, path)
    if part.marker:
        for name, path in _below((part.folder,)):
            if (path / part.marker).is_file():
                found.setdefault(name, path)
    if (TINY_DIRECTORY / part.inner).is_dir():
        found.setdefault(TINY, TINY_DIRECTORY)
    return found


def _below(kinds: tuple[str, ...]) -> Iterator[tuple[str, Path]]:
    """Folders of ComfyUI's models, and folders in these: "Ingredients/", "feizhengcong/Ingredients/"."""
    for kind in kinds:
        known = kind in folder_paths.folder_names_and_paths
        for root in folder_paths.get_folder_paths(kind) if known else [os.path.join(folder_paths.models_dir, kind)]:
            for folder, below, _ in os.walk(root, followlinks=True):
                depth = len(Path(folder).relative_to(root).parts)
                below[:] = [] if depth >= 2 else sorted(name for name in below if not is_junk(name))
                if depth or not known:
                    relative = Path(folder).relative_to(root) if depth else Path(kind)
                    yield f"{relative.as_posix()}/", Path(folder)
