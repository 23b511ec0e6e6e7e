"""LoRA: the trained change of a layer is a product of two thin matrices beside the frozen weight.

y = W x + alpha / rank * B (A x), A: (rank, inputs), B: (outputs, rank), B starts at zero (Hu et al., arXiv 2106.09685).
peft puts the layers into the model; files carry the names that ComfyUI's stock LoRA loader reads.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from lumosx_core import LumosXError, MissingPackageError
from lumosx_core.models.lumosx.lumosx_family import ATTENTION, LUMOSX
from lumosx_core.own_command import own_command

from .files import LoraFile
from .kinds import LoraLayer
from .read import read_any_lora

_ADAPTER = "default"
LARGEST_RANK = 16_384  # more than any layer has inputs


@dataclass(frozen=True)
class LoraSettings:
    """Which layers get a LoRA, and of which size.

    Args:
        rank: inner size of the two matrices.
        alpha: the change is multiplied by alpha / rank.
        targets: ends of the names of linear layers, such as "self_attn.q" (in every block) or "blocks.3.ffn.0".
        dropout: probability of dropping an input of the A matrix while training.

    Raises:
        LumosXError: a value is not possible.
    """

    rank: int = 16
    alpha: float = 16.0
    targets: Sequence[str] = LUMOSX.lora_targets
    dropout: float = 0.0

    def __post_init__(self):
        if isinstance(self.targets, str):
            raise LumosXError(
                f"targets {self.targets!r} is one text. Give a list of names, such as [{self.targets!r}]."
            )
        object.__setattr__(self, "targets", tuple(self.targets))
        if isinstance(self.rank, bool) or not isinstance(self.rank, int) or self.rank < 1:
            raise LumosXError(f"rank {self.rank!r} is not possible. Use a whole number of 1 or more, such as 16.")
        if self.rank > LARGEST_RANK:
            raise LumosXError(f"rank {self.rank} is not possible. Use at most {LARGEST_RANK}; 16 to 128 is usual.")
        if not (math.isfinite(self.alpha) and self.alpha > 0):
            raise LumosXError(f"alpha {self.alpha!r} is not possible. Use a number above 0; alpha = rank is usual.")
        if not self.targets:
            raise LumosXError(f"targets is empty: nothing would be trained. Name layers, such as {list(ATTENTION)}.")
        if not 0 <= self.dropout < 1:
            raise LumosXError(f"dropout {self.dropout!r} is not possible. Use a probability from 0 to below 1.")


def add_lora(model: nn.Module, settings: LoraSettings) -> None:
    """Put LoRA layers into the model and freeze everything else; the output does not change yet.

    The LoRA's parameters are float32 whatever the model's dtype is. They are drawn from torch's global generator.

    Raises:
        LumosXError: the model has a LoRA already, or a target names no linear layer of it.
        MissingPackageError: peft is not installed.
    """
    linear = [name for name, module in model.named_modules() if isinstance(module, nn.Linear)]
    matches = {target: [name for name in linear if f".{name}".endswith(f".{target}")] for target in settings.targets}
    if lora_layers(model):
        raise LumosXError("The model has a LoRA already. Load the model again to start another one.")
    if unknown := [target for target, names in matches.items() if not names]:
        known = ", ".join(dict.fromkeys(name.removeprefix("blocks.0.") for name in linear if "blocks.0." in name))
        raise LumosXError(f"targets {unknown} name no linear layer of the model. In each block there are: {known}.")
    names = dict.fromkeys(name for names in matches.values() for name in names)
    _inject(model, {name: (settings.rank, settings.alpha) for name in names}, settings.dropout)


def lora_layers(model: nn.Module) -> dict[str, Any]:
    """Native name of each layer that has a LoRA -> peft's layer; empty without a LoRA."""
    return {name: module for name, module in model.named_modules() if _ADAPTER in getattr(module, "lora_A", ())}


def lora_state_dict(model: nn.Module) -> dict[str, Tensor]:
    """The LoRA's tensors under ComfyUI's names, on the CPU in float32.

    For each layer `diffusion_model.<layer>.lora_A.weight`, `.lora_B.weight` and `.alpha`.

    Raises:
        LumosXError: the model has no LoRA.
    """
    return _as_file(model).comfyui()


def save_lora(path: str | Path, model: nn.Module, metadata: Mapping[str, object] | None = None) -> None:
    """Write the LoRA as a file for ComfyUI's models/loras; it appears complete or not at all.

    The file's metadata has rank and alpha beside what is given; values that are not text are written as JSON.
    Usual names: `lumosx_base_sha256`, `modelspec.trigger_phrase`, `lumosx_training`.

    Raises:
        LumosXError: the model has no LoRA, or the file cannot be written.
    """
    _as_file(model).write(path, metadata)


def load_lora(model: nn.Module, path: str | Path) -> None:
    """Give the model the LoRA of a file, to continue its training or to use it.

    A model without LoRA gets one of the file's layers, ranks and alphas, and everything else is frozen; in a model with
    a LoRA the values are replaced, and layers and ranks must be the same. Reads every format of `read_any_lora`.

    Raises:
        LumosXError: the file is not a LoRA, or one for another model, or of other layers or ranks.
        MissingPackageError: peft is not installed.
    """
    file = read_any_lora(path)
    file.only_lora("a LoRA in training")
    shapes = {name.replace(".base_layer.", "."): tensor.shape for name, tensor in model.state_dict().items()}
    file.check(shapes)
    if file.differences:
        raise LumosXError(
            f"{path} also changes {len(file.differences)} tensors directly, such as {next(iter(file.differences))!r}, "
            f"which a LoRA in training cannot. Merge it into the model and train on that: "
            f"{own_command('lora', 'merge', 'BASE', path, 'OUT')}"
        )
    layers = lora_layers(model)
    if not layers:
        _inject(model, {name: (layer.rank, layer.alpha) for name, layer in file.layers.items()}, dropout=0.0)
        layers = lora_layers(model)
    _check_same_layers(path, layers, file)
    with torch.no_grad():
        for name, layer in file.layers.items():
            layers[name].lora_A[_ADAPTER].weight.copy_(layer.down)
            layers[name].lora_B[_ADAPTER].weight.copy_(layer.up)
            layers[name].lora_alpha[_ADAPTER] = layer.alpha
            layers[name].scaling[_ADAPTER] = layer.alpha / layer.rank


def _check_same_layers(path: str | Path, layers: Mapping[str, Any], file: LoraFile) -> None:
    only_file, only_model = sorted(file.layers.keys() - layers.keys()), sorted(layers.keys() - file.layers.keys())
    if only_file or only_model:
        raise LumosXError(
            f"{path} has {len(file.layers)} layers and the model's LoRA has {len(layers)}: only the file has "
            f"{only_file[:3]}, only the model {only_model[:3]}. Use the targets with which the file was trained."
        )
    for name, layer in file.layers.items():
        if layer.rank != layers[name].r[_ADAPTER]:
            raise LumosXError(
                f"{path} has rank {layer.rank} in {name!r}, but the model's LoRA has rank {layers[name].r[_ADAPTER]}. "
                f"Use the file's rank."
            )


def _inject(model: nn.Module, layers: Mapping[str, tuple[int, float]], dropout: float) -> None:
    """Put a LoRA of (rank, alpha) into each of the named layers and freeze the rest."""
    try:
        from peft import LoraConfig, inject_adapter_in_model
    except ImportError as error:
        raise MissingPackageError("peft", "Training a LoRA", error) from error
    config = LoraConfig(
        target_modules=list(layers),
        rank_pattern={name: rank for name, (rank, _) in layers.items()},
        alpha_pattern={name: alpha for name, (_, alpha) in layers.items()},
        lora_dropout=dropout,
    )
    with warnings.catch_warnings():
        # It warns that no model card of a transformers model was found.
        warnings.simplefilter("ignore")
        inject_adapter_in_model(config, model, _ADAPTER)
    # peft gives the adapters the dtype of the layer below, and too small a step vanishes in bfloat16.
    for name, parameter in model.named_parameters():
        trained = ".lora_" in name
        parameter.requires_grad_(trained)
        if trained:
            parameter.data = parameter.data.float()


def _as_file(model: nn.Module) -> LoraFile:
    layers = {
        name: LoraLayer(
            layer.lora_A[_ADAPTER].weight.detach().float().cpu(),
            layer.lora_B[_ADAPTER].weight.detach().float().cpu(),
            float(layer.lora_alpha[_ADAPTER]),
        )
        for name, layer in lora_layers(model).items()
    }
    if not layers:
        raise LumosXError("The model has no LoRA. Call add_lora or load_lora first.")
    return LoraFile(layers)
