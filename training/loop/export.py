"""The finished file of a run: a model that `load_model` and ComfyUI's stock loader take, or a LoRA."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor, nn

from lumosx_core.errors import LumosXError
from lumosx_core.files.atomic_file import atomic_path

from ..lora.files import BASE_SHA256
from .config import TrainConfig
from .sharding import fill, is_shared, whole
from .starting_model import starting_model

_DTYPES = {"bf16": torch.bfloat16, "fp32": torch.float32}


def export_path(config: TrainConfig) -> Path:
    return Path(config.training.output) / ("model.safetensors" if config.lora is None else "lora.safetensors")


def export(
    config: TrainConfig,
    network: nn.Module,
    weights: dict[str, Tensor],
    step: int,
    *,
    base_sha256: str | None = None,
    write: bool,
) -> Path:
    """Write the finished file; it appears whole or not at all.

    Args:
        network: what was trained.
        weights: name -> the value of each trained parameter that the file shall hold.
        base_sha256: of the file that a LoRA is for.
        write: False for a process that only takes part in gathering shared tensors.

    Raises:
        LumosXError: the disk is full or the folder cannot be written.
    """
    path = export_path(config)
    model = config.model
    relations = {name: getattr(model, name) for name in ("mcam_ratio", "r2pe", "csam", "text_len")}
    facts = {"steps": step, **relations}
    metadata = {"lumosx_training": json.dumps(facts)}
    full = {name: whole(tensor) for name, tensor in weights.items()}
    if not write:
        return path
    if config.lora is not None:
        if base_sha256:
            metadata[BASE_SHA256] = base_sha256
        _export_lora(path, config, network, full, metadata)
        return path
    tensors = {name: tensor.to(_DTYPES[config.export.precision]).contiguous() for name, tensor in full.items()}
    try:
        with atomic_path(path) as partial:
            save_file(tensors, partial, {"format": "pt", **metadata})
    except SafetensorError as error:
        raise LumosXError(
            f"{path} could not be written: {error}. It needs {sum(t.nbytes for t in tensors.values()):,} bytes. Free "
            f"some space and start again: all steps are done and saved, only this file is made."
        ) from error
    return path


def _export_lora(path: Path, config: TrainConfig, network: nn.Module, full: dict[str, Tensor], metadata: dict) -> None:
    from ..lora import save_lora

    if any(is_shared(parameter) for parameter in network.parameters()):
        network = starting_model(config)  # a LoRA is read off a network that is whole
    parameters = dict(network.named_parameters())
    kept = {name: parameters[name].detach().clone() for name in full}
    try:
        for name, tensor in full.items():
            fill(parameters[name], tensor)
        save_lora(path, network, metadata)
    finally:
        for name, tensor in kept.items():
            fill(parameters[name], tensor)
