"""LoRA files: what the formats in use have in common, and the one that ComfyUI's stock loader reads whole.

    <prefix><layer>.lora_A.weight (rank, inputs)    .lora_down.weight, .lora.down.weight, .lora_A.default.weight
    <prefix><layer>.lora_B.weight (outputs, rank)   .lora_up.weight, .lora.up.weight, .lora_B.default.weight
    <prefix><layer>.alpha         a number          none: alpha is the rank
    <prefix><layer>.diff, .diff_b                   a plain difference of weight or bias

Prefixes: `diffusion_model.` (ComfyUI; written), none, `transformer.` (diffusers), `base_model.model.` (peft), and
`lora_unet_` with underscores for dots (kohya). ComfyUI drops all others than the first and the last without an error,
and it accepts a difference of a modulation table but does not apply it (observed with 0.8.0).
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from lumosx_core.errors import LumosXError
from lumosx_core.files.atomic_file import atomic_file
from lumosx_core.files.new_file import check_new_file

PREFIX = "diffusion_model."
BASE_SHA256 = "lumosx_base_sha256"  # in the metadata: the hash of the model file that a LoRA was trained on
_PREFIXES = ("base_model.model.", "diffusion_model.", "transformer.")
_PARTS = {
    "down": (".lora_A.weight", ".lora_A.default.weight", ".lora_down.weight", ".lora.down.weight"),
    "up": (".lora_B.weight", ".lora_B.default.weight", ".lora_up.weight", ".lora.up.weight"),
    "alpha": (".alpha",),
    "weight": (".diff",),
    "bias": (".diff_b",),
}
_KOHYA = re.compile(r"lora_unet_{1,2}(.+)")
_KOHYA_LAYER = re.compile(r"blocks_(\d+)_(self_attn|cross_attn|ffn)_([qkvo02])")
_KOHYA_OTHERS = {
    name.replace(".", "_"): name
    for name in (
        *("head.head", "patch_embedding", "time_projection.1"),
        *(f"{embedding}_embedding.{layer}" for embedding in ("text", "time") for layer in (0, 2)),
    )
}
_DIFFUSERS = (
    (re.compile(r"\.attn1\.to_"), ".self_attn."),
    (re.compile(r"\.attn2\.to_"), ".cross_attn."),
    (re.compile(r"(_attn)\.out\.0$"), r"\1.o"),
    (re.compile(r"\.ffn\.net\.0\.proj$"), ".ffn.0"),
    (re.compile(r"\.ffn\.net\.2$"), ".ffn.2"),
)
# Parameters that are no layer's weight or bias; their differences carry the whole name.
_BARE = ("modulation",)


@dataclass(frozen=True, eq=False)
class LoraLayer:
    """The change of one layer: alpha / rank * up @ down.

    Args:
        down: (rank, inputs), the A matrix; more dimensions for a convolution.
        up: (outputs, rank), the B matrix.
    """

    down: Tensor
    up: Tensor
    alpha: float

    @property
    def rank(self) -> int:
        return self.down.shape[0]

    def change(self) -> Tensor:
        """(outputs, inputs) float32."""
        return (self.up.float().flatten(1) @ self.down.float().flatten(1)) * (self.alpha / self.rank)


@dataclass(frozen=True, eq=False)
class LoraFile:
    """A LoRA as a file contains it, under the model's native names.

    Args:
        layers: name of a layer, such as "blocks.0.self_attn.q" -> its change.
        differences: name of a parameter, such as "blocks.0.norm3.weight" -> a tensor that is added to it.
        metadata: of the file.
        source: where it comes from, for messages.
    """

    layers: Mapping[str, LoraLayer]
    differences: Mapping[str, Tensor] = field(default_factory=dict)
    metadata: Mapping[str, str] = field(default_factory=dict)
    source: str = "The LoRA"

    def check(self, shapes: Mapping[str, torch.Size]) -> None:
        """Raise LumosXError unless every layer exists in a model with parameters of these names and shapes."""
        for name, layer in self.layers.items():
            weight = shapes.get(f"{name}.weight")
            size = (layer.up.shape[0], math.prod(layer.down.shape[1:]))
            if weight is None or (weight[0], math.prod(weight[1:])) != size:
                raise self._another_model(name, size, weight)
        for name, difference in self.differences.items():
            if shapes.get(name) != difference.shape:
                raise self._another_model(name, tuple(difference.shape), shapes.get(name))

    def _another_model(self, name: str, size: tuple[int, ...], expected: torch.Size | None) -> LumosXError:
        model = "the model has no such layer" if expected is None else f"the model's is {tuple(expected)}"
        return LumosXError(
            f"{self.source} is a LoRA for another model: it changes {name!r} of size {size}, but {model}. "
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


def read_lora(path: str | Path) -> LoraFile:
    """Read a LoRA for a Wan2.1 or LumosX network, of any of the formats above.

    Raises:
        LumosXError: the file is missing or damaged, holds no LoRA, or one of another kind (LoKr, LoHa, DoRA).
    """
    tensors, metadata = _open(Path(path))
    return parse_lora(tensors, metadata, str(path))


def parse_lora(tensors: Mapping[str, Tensor], metadata: Mapping[str, str], source: str) -> LoraFile:
    """The LoRA that tensors under any format's names are."""
    parts: dict[str, dict[str, Tensor]] = {}
    strange = []
    for key, tensor in tensors.items():
        for part, endings in _PARTS.items():
            ending = next((ending for ending in endings if key.endswith(ending)), None)
            if ending:
                parts.setdefault(native_layer(key.removesuffix(ending)), {})[part] = tensor
                break
        else:
            strange.append(key)
    if strange or not parts:
        raise LumosXError(
            f"{source} is not a LoRA that can be read: {len(strange)} of its {len(tensors)} tensors are of another "
            f"kind, such as {strange[:3]}. LoKr, LoHa, DoRA and whole models are not read here."
        )
    layers, differences = {}, {}
    for name, present in parts.items():
        if ("down" in present) != ("up" in present) or present.keys() == {"alpha"}:
            raise LumosXError(
                f"{source} is incomplete: {name!r} has {sorted(present)} only. Copy or download it again."
            )
        if "down" in present:
            layers[name] = _layer(source, name, present)
        for parameter in ("weight", "bias"):
            if parameter in present:
                bare = parameter == "weight" and name.rpartition(".")[2] in _BARE
                differences[name if bare else f"{name}.{parameter}"] = present[parameter]
    return LoraFile(layers, differences, dict(metadata), source)


def native_layer(name: str) -> str:
    """A layer's native name, such as "blocks.0.self_attn.q", from its name in a file.

    >>> native_layer("lora_unet_blocks_0_self_attn_q")
    'blocks.0.self_attn.q'
    """
    if match := _KOHYA.fullmatch(name):
        flat = match[1]
        return _KOHYA_OTHERS.get(flat) or _KOHYA_LAYER.sub(r"blocks.\1.\2.\3", flat)
    for prefix in _PREFIXES:
        name = name.removeprefix(prefix)
    for pattern, replacement in _DIFFUSERS:
        name = pattern.sub(replacement, name)
    return name


def _layer(source: str, name: str, tensors: Mapping[str, Tensor]) -> LoraLayer:
    down, up = tensors["down"], tensors["up"]
    if down.ndim < 2 or up.ndim < 2 or not down.shape[0] or math.prod(up.shape[1:]) != down.shape[0]:
        raise LumosXError(
            f"{source} is damaged: the matrices of {name!r} have shapes {tuple(down.shape)} and {tuple(up.shape)}, "
            f"which do not share a rank. Copy or download it again."
        )
    return LoraLayer(down, up, float(tensors["alpha"]) if "alpha" in tensors else float(down.shape[0]))


def _open(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    from safetensors import SafetensorError, safe_open

    if not path.is_file():
        raise LumosXError(f"{path} does not exist or is not a file. Give a LoRA as a .safetensors file.")
    try:
        with safe_open(path, framework="pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}, file.metadata() or {}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise LumosXError(
            f"{path} is damaged, or not a safetensors file ({error}). Copy or download it again."
        ) from error
