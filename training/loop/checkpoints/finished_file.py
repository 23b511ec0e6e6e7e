"""The finished file of a run: a model that `load_model` and ComfyUI's stock loader take, or a LoRA."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from lumosx_core.errors import LumosXError
from lumosx_core.files.atomic_file import atomic_file
from lumosx_core.files.safetensors_file import data_size, in_file_order, write_safetensors
from lumosx_core.files.stored_tensor import StoredTensor

from ...lora.files import BASE_SHA256
from ..config import TrainConfig
from ..starting_model import starting_model
from .sharded_state import fill, is_sharded, stored, take_part

_DTYPES = {"bf16": torch.bfloat16, "fp32": torch.float32}


def export_path(config: TrainConfig) -> Path:
    """The file that a finished run writes: a model or a LoRA."""
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
    """Write the finished file; it appears complete or not at all.

    Args:
        network: what was trained.
        weights: name -> the value of each trained parameter in the file.
        base_sha256: of the file that a LoRA is for.
        write: False for a process that only takes part in gathering sharded tensors.

    Raises:
        LumosXError: the disk is full or the folder cannot be written.
    """
    path = export_path(config)
    recipe = config.recipe
    facts = {"steps": step, **recipe.export_facts(config.model)}
    metadata = {"lumosx_training": json.dumps(facts)}
    frozen = stored({name: each for name, each in network.named_parameters() if name not in weights})
    tensors: Mapping[str, StoredTensor] = stored(weights)
    if config.lora is None:
        tensors, own = recipe.exported(config.model, network, frozen, tensors)
        metadata |= own
    if not write:
        take_part(tensors)
        return path
    if config.lora is not None:
        if base_sha256:
            metadata[BASE_SHA256] = base_sha256
        full = {name: tensor.load() for name, tensor in in_file_order(tensors)}  # a LoRA is small
        _export_lora(path, config, network, full, metadata)
        return path
    dtype = _DTYPES[config.export.precision]
    converted = {name: _converted(tensor, dtype) for name, tensor in tensors.items()}
    try:
        with atomic_file(path) as file:
            write_safetensors(file, in_file_order(converted), metadata)
    except LumosXError as error:
        raise LumosXError(
            f"{error} The file needs {data_size(converted):,} bytes. All steps are done and saved: the same command "
            f"writes only this file."
        ) from error
    return path


def _converted(tensor: StoredTensor, dtype: torch.dtype) -> StoredTensor:
    return StoredTensor(tensor.shape, dtype, lambda: tensor.load().to(dtype))


def _export_lora(path: Path, config: TrainConfig, network: nn.Module, full: dict[str, Tensor], metadata: dict) -> None:
    from ...lora import save_lora

    if any(is_sharded(parameter) for parameter in network.parameters()):
        network = starting_model(config)  # a LoRA is read from a network that is not sharded
    parameters = dict(network.named_parameters())
    originals = {name: parameters[name].detach().clone() for name in full}
    try:
        for name, tensor in full.items():
            fill(parameters[name], tensor)
        save_lora(path, network, metadata)
    finally:
        for name, tensor in originals.items():
            fill(parameters[name], tensor)
