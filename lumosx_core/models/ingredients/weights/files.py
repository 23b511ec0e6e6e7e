"""The files a video of Ingredients (CogVideoX) is made with: in the released folder, or in ComfyUI's models folder."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from ....errors import LumosXError
from ....files.junk import is_junk
from ....files.model_files import ModelFiles
from ....own_command import own_command
from ..faces.face_encoder import ARCFACE, EVA_CLIP
from ..spec import FACE_ENCODER
from .load import transformer_folder
from .other_networks import NAME

FACE_ENCODER_FOLDER = "ingredients_face_encoder"
"""Of ComfyUI's models folder: holds the released `face_encoder`."""

_KINDS = {
    "diffusion_models": ("network", "--model"),
    "vae": ("VAE", "--vae"),
    "text_encoders": ("text encoder", "--text-encoder"),
    FACE_ENCODER: ("face encoder", "--face-encoder"),
}
_GET = f"Check the path, or download the released files: {own_command('download', '--ingredients', 'DIRECTORY')}"
_SUFFIXES = (".safetensors", ".sft")


def find_ingredients_files(
    model: str | os.PathLike,
    vae: str | os.PathLike | None = None,
    text_encoder: str | os.PathLike | None = None,
    face_encoder: str | os.PathLike | None = None,
) -> ModelFiles:
    """The files that a network goes with.

    Args:
        model: the released folder (with transformer, vae, text_encoder, tokenizer and face_encoder); a folder laid out
            as ComfyUI's models folder (with diffusion_models, vae, text_encoders and ingredients_face_encoder), in
            which the files of other models may be, too; or the network alone.
        vae, text_encoder, face_encoder: used instead of those in the folder; the network alone needs all three.

    Raises:
        LumosXError: a file is missing, or a folder holds several that may be meant.
    """
    model = Path(model)
    if os.path.isdir(model / "diffusion_models"):
        found = {
            "diffusion_models": lambda: _only(model, "diffusion_models", lambda name: "ingredients" in name),
            "vae": lambda: _only(model, "vae", lambda name: "cogvideo" in name or "ingredients" in name),
            "text_encoders": lambda: _only(
                model, "text_encoders", lambda name: ("t5" in name and "umt5" not in name) or "ingredients" in name
            ),
            FACE_ENCODER: lambda: _there(model / FACE_ENCODER_FOLDER, FACE_ENCODER),
        }
        network = found["diffusion_models"]()
    else:
        network = transformer_folder(model)
        released = network != model
        found = {
            "vae": lambda: _beside(model, "vae", model / "vae", released),
            # The whole folder: the tokeniser is beside the encoder.
            "text_encoders": lambda: _beside(model, "text_encoders", model / "text_encoder", released).parent,
            FACE_ENCODER: lambda: _beside(model, FACE_ENCODER, model / "face_encoder", released),
        }
        _there(network, "diffusion_models")
    paths = {
        kind: _there(Path(given), kind) if given is not None else found[kind]()
        for kind, given in (("vae", vae), ("text_encoders", text_encoder), (FACE_ENCODER, face_encoder))
    }
    faces = face_encoder_folder(paths[FACE_ENCODER])
    return ModelFiles(network, paths["vae"], paths["text_encoders"], {FACE_ENCODER: faces})


def face_encoder_folder(path: Path) -> Path:
    """The folder with the networks that read faces: the path itself, or its folder `face_encoder`.

    Raises:
        LumosXError: it has none of them.
    """
    for folder in (path, path / "face_encoder"):
        if any(os.path.isfile(folder / name) for name in (ARCFACE, EVA_CLIP)):
            return folder
    raise LumosXError(f"{str(path)!r} is not a face encoder of {NAME}: it has neither {ARCFACE} nor {EVA_CLIP}. {_GET}")


def _beside(model: Path, kind: str, path: Path, released: bool) -> Path:
    """A part of the released folder; of a network alone nothing is known."""
    if released:
        return _there(path, kind)
    name, option = _KINDS[kind]
    raise LumosXError(
        f"The network {str(model)!r} needs a {name} beside it. Add {option} PATH, or give the released folder, or one "
        f"with diffusion_models, vae, text_encoders and {FACE_ENCODER_FOLDER}."
    )


def _there(path: Path, kind: str) -> Path:
    if os.path.exists(path):  # a name that is too long is not there either
        return path
    raise LumosXError(f"There is no {_KINDS[kind][0]} of {NAME} at {str(path)!r}. {_GET}")


def _only(models: Path, folder: str, fits: Callable[[str], bool]) -> Path:
    """The one file of a folder, or of those whose name says that they are of this family."""
    name, option = _KINDS[folder]
    every = [path for path in sorted((models / folder).glob("*")) if path.suffix in _SUFFIXES]
    files = [path for path in every if not is_junk(path.name)]
    named = [path for path in files if fits(path.name.lower())]
    files = named or files
    if len(files) == 1:
        return files[0]
    if not files:
        raise LumosXError(f"There is no {name} of {NAME} in {str(models / folder)!r}. {_GET}")
    names = ", ".join(path.name for path in files[:10])
    raise LumosXError(
        f"{str(models / folder)!r} holds several files that may be the {name} ({names}). Say which is meant: {option} "
        f"FILE."
    )
