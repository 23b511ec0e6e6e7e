"""Turns a LoRA of any kind that read.py reads into ComfyUI's file, or into peft's folder."""

from __future__ import annotations

import json
from pathlib import Path

import torch

from lumosx_core.errors import LumosXError
from lumosx_core.files.atomic_file import atomic_file, atomic_folder

from .files import LoraFile, check_destination
from .read import PEFT_CONFIG, PEFT_WEIGHTS, read_any_lora


def export_lora(
    source: str | Path, out: str | Path, *, dtype: torch.dtype = torch.float32, overwrite: bool = False
) -> Path:
    """Write a LoRA as ComfyUI's file (`out` ends in .safetensors) or as peft's folder (any other name).

    Args:
        source: see `read_any_lora`.
        dtype: of the matrices.
        overwrite: replace an existing file.

    Returns:
        `out`.

    Raises:
        LumosXError: the source holds no LoRA that can be read, or `out` cannot be written.
    """
    out = Path(out)
    if out.suffix != ".safetensors":
        return _write_peft(read_any_lora(source), out, dtype, overwrite)
    check_destination(out, overwrite=overwrite)
    read_any_lora(source).write(out, dtype=dtype)
    return out


def _write_peft(file: LoraFile, out: Path, dtype: torch.dtype, overwrite: bool) -> Path:
    from safetensors.torch import save

    file.only_lora("peft's format")
    if file.differences:
        raise LumosXError(
            f"{file.source} also changes {len(file.differences)} tensors directly, such as "
            f"{next(iter(file.differences))!r}, which peft's format cannot hold."
        )
    if out.is_file() or (out.is_dir() and any(out.iterdir()) and not overwrite):
        raise LumosXError(f"{out} exists already. Choose another name, or overwrite it with --overwrite.")
    tensors = {}
    for name, layer in file.layers.items():
        for letter, matrix in (("A", layer.down), ("B", layer.up)):
            tensors[f"base_model.model.{name}.lora_{letter}.weight"] = matrix.to(dtype).contiguous()
    first = next(iter(file.layers.values()))
    config = {
        "peft_type": "LORA",
        "r": first.rank,
        "lora_alpha": first.alpha,
        "target_modules": list(file.layers),
        "rank_pattern": {name: layer.rank for name, layer in file.layers.items() if layer.rank != first.rank},
        "alpha_pattern": {name: layer.alpha for name, layer in file.layers.items() if layer.alpha != first.alpha},
        "lora_dropout": 0.0,
        "bias": "none",
    }
    contents = {PEFT_WEIGHTS[0]: save(tensors, {"format": "pt"}), PEFT_CONFIG: json.dumps(config, indent=2).encode()}
    try:
        if out.is_dir() and any(out.iterdir()):
            for name, content in contents.items():
                with atomic_file(out / name) as each:
                    each.write(content)
            return out
        with atomic_folder(out) as partial:
            for name, content in contents.items():
                (partial / name).write_bytes(content)
    except OSError as error:
        raise LumosXError(f"The folder {out} cannot be created: {error.strerror}. Choose another place.") from error
    return out
