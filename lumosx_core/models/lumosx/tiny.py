"""lumosx-tiny: the whole model family in miniature, trained, in native formats; it comes with the program.

Three files that ComfyUI's own loaders and ours read: a LumosX DiT of 4 M parameters, a Wan VAE of width 8, and a UMT5
text encoder of two layers with its own tokeniser. It knows one small world, that of glyph people, and shows there what
LumosX does. Its README describes how it was trained.
"""

from __future__ import annotations

import os
from pathlib import Path
from types import MappingProxyType

from ...errors import LumosXError
from ...files.atomic_file import atomic_file
from ...files.model_files import ModelFiles
from .config import LumosXConfig

TINY_CONFIG = LumosXConfig(dim=256, ffn_dim=512, num_heads=2, num_layers=3)
TINY_SETTINGS = MappingProxyType({"width": 80, "height": 64, "frames": 9, "steps": 16, "shift": 3.0, "cfg": 1.0})
"""Size and length as it was trained, and what suits it otherwise."""
TINY_DIRECTORY = Path(__file__).parent / "lumosx_tiny"


def tiny_files(directory: str | os.PathLike = TINY_DIRECTORY) -> ModelFiles:
    """The files of lumosx-tiny below `directory`, laid out as ComfyUI's models folder."""
    directory = Path(directory)
    return ModelFiles(
        directory / "diffusion_models" / "lumosx-tiny.safetensors",
        directory / "vae" / "lumosx-tiny-vae.safetensors",
        directory / "text_encoders" / "lumosx-tiny-umt5.safetensors",
    )


def write_tiny(directory: str | os.PathLike) -> ModelFiles:
    """Copy lumosx-tiny to `directory`, such as a ComfyUI models folder, and return the copies.

    Each file appears whole or not at all.

    Raises:
        LumosXError: the directory cannot be written, or this installation lacks the files.
    """
    own, copies = tiny_files(), tiny_files(directory)
    for source, path in zip(own.by_folder.values(), copies.by_folder.values(), strict=True):
        try:
            data = source.read_bytes()
        except FileNotFoundError as error:
            raise LumosXError(f"lumosx-tiny is incomplete: there is no {source}. Install LumosX again.") from error
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with atomic_file(path) as file:
                file.write(data)
        except OSError as error:
            raise LumosXError(
                f"lumosx-tiny cannot be written to {str(path)!r}: {error.strerror}. Choose a directory that you may "
                f"write to."
            ) from error
    return copies
