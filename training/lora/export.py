"""Turns a LoRA of any usual kind into ComfyUI's file, or into peft's folder.

Sources: a file of any format of files.py, a folder that peft wrote (adapter_config.json and
adapter_model.safetensors), and a checkpoint folder of a LoRA run (run.json; its averaged weights, if there are any).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import torch

from lumosx_core.errors import LumosXError
from lumosx_core.files.atomic_file import atomic_file

from .files import BASE_SHA256, LoraFile, check_destination, read_lora

PEFT_CONFIG, PEFT_WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
RUN = "run.json"


def export_lora(
    source: str | Path, out: str | Path, *, dtype: torch.dtype = torch.float32, overwrite: bool = False
) -> Path:
    """Write a LoRA as ComfyUI's file (`out` ends in .safetensors) or as peft's folder (any other name).

    Args:
        source: see above.
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


def read_any_lora(source: str | Path) -> LoraFile:
    """Read a LoRA from a file or one of the folders above."""
    source = Path(source)
    if not source.is_dir():
        return read_lora(source)
    if (source / PEFT_CONFIG).is_file():
        return _read_peft(source)
    if (source / RUN).is_file():
        return _read_checkpoint(source)
    raise LumosXError(
        f"{source} is a folder without {PEFT_CONFIG!r} (peft's) and without {RUN!r} (a checkpoint's). Give one of "
        f"these, such as OUTPUT/checkpoints/step-00000500, or a LoRA file."
    )


def _read_peft(source: Path) -> LoraFile:
    config = _read_json(source / PEFT_CONFIG)
    if config.get("peft_type") != "LORA" or config.get("use_dora") or config.get("fan_in_fan_out"):
        raise LumosXError(f"{source} is an adapter of another kind than plain LoRA, which is not read.")
    file = read_lora(source / PEFT_WEIGHTS)
    alphas, patterns = {}, config.get("alpha_pattern") or {}
    for name, layer in file.layers.items():
        pattern = next((p for p in patterns if name == p or name.endswith(f".{p}")), None)
        alpha = config["lora_alpha"] if pattern is None else patterns[pattern]
        # A rank-stabilised LoRA divides by the root of the rank.
        alphas[name] = alpha * layer.rank**0.5 if config.get("use_rslora") else alpha
    return _with_alphas(file, alphas)


def _read_checkpoint(source: Path) -> LoraFile:
    facts = _read_json(source / RUN)
    config = facts.get("config") or {}
    if not config.get("lora"):
        raise LumosXError(f"{source} is a checkpoint of a run that trained the whole model: it has no LoRA.")
    weights = next((path for name in ("ema", "model") if (path := source / f"{name}.safetensors").is_file()), None)
    if weights is None:
        raise LumosXError(f"{source} has neither ema.safetensors nor model.safetensors. It is no whole checkpoint.")
    file = read_lora(weights)
    if base := facts.get("base_sha256"):
        file = replace(file, metadata={**file.metadata, BASE_SHA256: base})
    return _with_alphas(file, dict.fromkeys(file.layers, config["lora"]["alpha"]))


def _with_alphas(file: LoraFile, alphas: Mapping[str, float]) -> LoraFile:
    layers = {name: replace(layer, alpha=float(alphas[name])) for name, layer in file.layers.items()}
    return replace(file, layers=layers)


def _read_json(path: Path) -> dict:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise LumosXError(f"{path} cannot be read ({error}). Copy it again.") from error
    if not isinstance(content, dict):
        raise LumosXError(f"{path} is not a table of settings. Copy it again.")
    return content


def _write_peft(file: LoraFile, out: Path, dtype: torch.dtype, overwrite: bool) -> Path:
    from safetensors.torch import save

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
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise LumosXError(f"The folder {out} cannot be created: {error.strerror}. Choose another place.") from error
    for name, content in ((PEFT_WEIGHTS, save(tensors, {"format": "pt"})), (PEFT_CONFIG, json.dumps(config, indent=2))):
        with atomic_file(out / name) as each:
            each.write(content if isinstance(content, bytes) else content.encode())
    return out
