"""Conversion of a checkpoint of whatever family to one safetensors file."""

from __future__ import annotations

import os
from pathlib import Path

from ..errors import LumosXError
from ..files.read_weights import open_tensors
from .write_checkpoint import Precision, Progress, check_destination, check_precision


def convert_any(
    source: str | Path,
    destination: str | Path,
    dtype: Precision = "bf16",
    *,
    overwrite: bool = False,
    progress: Progress = lambda done, total: None,
) -> Path:
    """Write a network as one safetensors file for ComfyUI's models/diffusion_models; its family shows in its tensors.

    Arguments and errors are those of the families' own conversions: `lumosx.weights.convert.convert` and
    `ingredients.weights.convert.convert_network`.
    """
    check_precision(dtype)
    check_destination(Path(source), Path(destination), overwrite)
    if _is_ingredients(Path(source)):
        from .ingredients.weights.convert import convert_network

        return convert_network(source, destination, dtype, overwrite=overwrite, progress=progress)
    from .lumosx.weights.convert import convert

    return convert(source, destination, dtype, overwrite=overwrite, progress=progress)


def _is_ingredients(source: Path) -> bool:
    """Whether a path is a folder of a release, or has tensors of CogVideoX's transformer or of Ingredients."""
    from .ingredients.weights.load import transformer_folder
    from .ingredients.weights.names import is_of_family, native_names

    folder = transformer_folder(source)
    if folder != source:
        return True
    if not os.path.exists(source):
        return False
    try:
        return is_of_family(native_names(open_tensors(source)))
    except LumosXError:  # the conversion opens it again, and says why it cannot
        return False
