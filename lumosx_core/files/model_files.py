"""The weight files a video is made with, and where they are."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ..errors import LumosXError
from ..own_command import own_command
from .junk import is_junk


@dataclass(frozen=True)
class ModelFiles:
    """The weight files of one model family.

    Args:
        companions: further files and folders that a family needs, by kind, such as "face_encoder".
    """

    diffusion_model: Path
    vae: Path
    text_encoder: Path
    companions: Mapping[str, Path] = field(default_factory=dict)

    @property
    def by_folder(self) -> dict[str, Path]:
        """Each file under the name of the folder in which ComfyUI looks for its kind."""
        return {"diffusion_models": self.diffusion_model, "vae": self.vae, "text_encoders": self.text_encoder}

    def check(self) -> None:
        """Raise LumosXError for a file that is not there."""
        for folder, path in self.by_folder.items():
            if not os.path.exists(path):  # a name that is too long is not there either
                raise LumosXError(f"There is no {_KINDS[folder]} at {str(path)!r}. {_GET}")


_KINDS = {"diffusion_models": "LumosX model", "vae": "VAE", "text_encoders": "text encoder"}
_OPTIONS = {"diffusion_models": "--model", "vae": "--vae", "text_encoders": "--text-encoder"}
_GET = f"Check the path, or download the released files: {own_command('download', 'DIRECTORY')}"
_SUFFIXES = (".safetensors", ".pt", ".pth")


def user_cache() -> Path:
    """Folder of what can be made or fetched again: the tiny preset, unfinished downloads."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "lumosx"


def find_model_files(
    model: str | os.PathLike, vae: str | os.PathLike | None = None, text_encoder: str | os.PathLike | None = None
) -> ModelFiles:
    """The files that a LumosX model goes with.

    Args:
        model: the diffusion model, or a directory laid out as ComfyUI's models folder (diffusion_models, vae and
            text_encoders, with one file each).
        vae, text_encoder: files that a directory need not have, or that are used instead of those in it.

    Raises:
        LumosXError: a file is missing, or a folder holds several.
    """
    model = Path(model)
    given = {"vae": vae, "text_encoders": text_encoder}
    if os.path.isdir(model / "diffusion_models"):
        given["diffusion_models"] = None
        found = {folder: Path(path) if path else _only_file(model / folder) for folder, path in given.items()}
    else:
        for folder, path in given.items():
            if path is None:
                raise LumosXError(
                    f"The model {str(model)!r} needs a {_KINDS[folder]} beside it. Add {_OPTIONS[folder]} FILE, or "
                    f"give a directory with diffusion_models, vae and text_encoders."
                )
        found = {"diffusion_models": model} | {folder: Path(path) for folder, path in given.items() if path}
    files = ModelFiles(found["diffusion_models"], found["vae"], found["text_encoders"])
    files.check()
    return files


def _only_file(folder: Path) -> Path:
    files = sorted(path for path in folder.glob("*") if path.suffix in _SUFFIXES and not is_junk(path.name))
    if len(files) == 1:
        return files[0]
    kind, option = _KINDS[folder.name], _OPTIONS[folder.name]
    if not files:
        raise LumosXError(f"There is no {kind} in {str(folder)!r}. {_GET}")
    names = ", ".join(path.name for path in files)
    raise LumosXError(f"{str(folder)!r} holds several files ({names}). Say which is meant: {option} FILE.")
