"""LoRA files as this program holds and writes them: the format that ComfyUI's stock loader reads whole.

    diffusion_model.<layer>.lora_A.weight (rank, inputs)
    diffusion_model.<layer>.lora_B.weight (outputs, rank)
    diffusion_model.<layer>.alpha         a number
    diffusion_model.<layer>.diff, .diff_b a plain difference of weight or bias

Other formats are read by `read.py`. ComfyUI drops most other prefixes without an error, and it accepts a difference of
a modulation table but does not apply it (observed with 0.8.0).
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from lumosx_core.errors import LumosXError
from lumosx_core.files.atomic_file import atomic_file
from lumosx_core.files.new_file import check_new_file
from lumosx_core.own_command import own_command

from .kinds import Layer, LoraLayer, ProductLayer

PREFIX = "diffusion_model."
BASE_SHA256 = "lumosx_base_sha256"  # in the metadata: the hash of the model file that a LoRA was trained on
# Parameters that are no layer's weight or bias; their differences carry the whole name.
_BARE = ("modulation",)
_MODELS = {1536: "1.3B", 5120: "14B", 3072: "Wan2.2 5B"}  # by width


@dataclass(frozen=True, eq=False)
class LoraFile:
    """A LoRA as a file contains it, under the model's native names.

    Args:
        layers: name of a layer, such as "blocks.0.self_attn.q" -> its change.
        products: the same for changes of LoKr and LoHa, which can be merged only.
        differences: name of a parameter, such as "blocks.0.norm3.weight" -> a tensor that is added to it.
        metadata: of the file.
        source: where it comes from, for messages.
    """

    layers: Mapping[str, LoraLayer]
    differences: Mapping[str, Tensor] = field(default_factory=dict)
    metadata: Mapping[str, str] = field(default_factory=dict)
    source: str = "The LoRA"
    products: Mapping[str, ProductLayer] = field(default_factory=dict)

    @property
    def changes(self) -> dict[str, Layer]:
        """The changes of layers, of whatever kind."""
        return {**self.layers, **self.products}

    def only_lora(self, what: str) -> None:
        """Raise LumosXError where there is more than plain LoRA, which `what` cannot hold."""
        if self.products:
            kind = next(iter(self.products.values())).kind
            raise LumosXError(
                f"{self.source} is a {kind}, which {what} cannot hold. Merge it into the model: "
                f"{own_command('lora', 'merge', 'BASE', self.source, 'OUT')}"
            )

    def check(self, shapes: Mapping[str, torch.Size]) -> None:
        """Raise LumosXError unless every layer exists in a model with parameters of these names and shapes."""
        for name, layer in self.changes.items():
            weight = shapes.get(f"{name}.weight")
            if weight is None or len(weight) < 2 or (weight[0], math.prod(weight[1:])) != layer.size:
                raise self._another_model(name, layer.size, weight)
        for name, difference in self.differences.items():
            if shapes.get(name) != difference.shape:
                raise self._another_model(name, tuple(difference.shape), shapes.get(name))

    def _another_model(self, name: str, size: tuple[int, ...], expected: torch.Size | None) -> LumosXError:
        model = "the model has no such layer" if expected is None else f"the model's is {tuple(expected)}"
        trained_on = next((f" (a {_MODELS[side]} network)" for side in size if side in _MODELS), "")
        return LumosXError(
            f"{self.source} is a LoRA for another model{trained_on}: it changes {name!r} of size {size}, but {model}. "
            f"Use it with the model it was trained on, such as the 1.3B model for a 1.3B LoRA."
        )

    def comfyui(self) -> dict[str, Tensor]:
        """Its tensors under the names that ComfyUI's stock loader reads."""
        tensors = {}
        for name, layer in self.layers.items():
            tensors[f"{PREFIX}{name}.lora_A.weight"] = layer.down
            tensors[f"{PREFIX}{name}.lora_B.weight"] = layer.up
            tensors[f"{PREFIX}{name}.alpha"] = torch.tensor(layer.alpha)
        for name, difference in self.differences.items():
            above, _, parameter = name.rpartition(".")
            stem = name if parameter in _BARE else above
            tensors[f"{PREFIX}{stem}.{'diff_b' if parameter == 'bias' else 'diff'}"] = difference
        return tensors

    def write(self, path: str | Path, metadata: Mapping[str, object] | None = None, dtype=torch.float32) -> None:
        """Write it in ComfyUI's format; the file appears complete or not at all.

        Args:
            metadata: added to rank, alpha and what the file said so far; values that are not text become JSON.
            dtype: of the matrices.

        Raises:
            LumosXError: the file cannot be written.
        """
        from safetensors.torch import save

        path = check_destination(path, overwrite=True)
        self.only_lora("a LoRA of ComfyUI's format that this program writes")
        tensors = {
            name: tensor if name.endswith(".alpha") else tensor.to(dtype).contiguous()
            for name, tensor in self.comfyui().items()
        }
        described = {"format": "pt", **self.metadata, **self._sizes(), **(metadata or {})}
        text = {name: value if isinstance(value, str) else json.dumps(value) for name, value in described.items()}
        data = save(tensors, metadata=text)
        with atomic_file(path) as file:
            file.write(data)

    def _sizes(self) -> dict[str, object]:
        """Rank and alpha where they are the same in all layers, in our words and in those many tools look for."""
        sizes = {(layer.rank, layer.alpha) for layer in self.layers.values()}
        if len(sizes) != 1:
            return {}
        [(rank, alpha)] = sizes
        return {"lumosx_rank": rank, "lumosx_alpha": alpha, "ss_network_dim": rank, "ss_network_alpha": alpha}


def check_destination(path: str | Path, *, overwrite: bool) -> Path:
    """The path of a safetensors file that is to be written, or a LumosXError that says why it cannot be."""
    path = Path(path)
    if path.suffix != ".safetensors":
        raise LumosXError(f"{path} must end in .safetensors: ComfyUI decides by the name how to read a file.")
    if not path.parent.is_dir():
        raise LumosXError(f"The folder {path.parent} does not exist. Create it, or choose another one.")
    check_new_file(path)
    if path.exists() and not overwrite:
        raise LumosXError(f"{path} exists already. Choose another name, or overwrite it with --overwrite.")
    return path
