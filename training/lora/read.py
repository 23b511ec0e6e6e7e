"""Reads LoRAs of any usual kind: the one reader of every command and of training.

Sources: a file (safetensors, or a `.pt`, `.ckpt` or `.bin` of torch, of which nothing is run), a folder that peft wrote
(adapter_config.json and adapter_model.safetensors), and a checkpoint folder of a LoRA run (run.json; its averaged
weights, if there are any). names.py knows how tensors are called, scaling.py where alpha is written.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from lumosx_core.errors import LumosXError
from lumosx_core.files.read_weights import open_tensors
from lumosx_core.files.safetensors_file import all_finite, is_safetensors, read_header

from .files import BASE_SHA256, LoraFile
from .kinds import LoraLayer, ProductLayer, lora_layer, product_layer, product_rank
from .names import Key, read_key
from .scaling import Statement, alpha_of, peft_statement, statements_of

PEFT_CONFIG, PEFT_WEIGHTS = "adapter_config.json", ("adapter_model.safetensors", "adapter_model.bin")
RUN = "run.json"
_WEIGHTS = (".safetensors", ".bin", ".pt", ".pth", ".ckpt")
_AGAIN = "Copy or download it again."
_MOST_CONFIG = 2**22  # bytes


def read_any_lora(source: str | Path) -> LoraFile:
    """Read a LoRA from a file or one of the folders above.

    Raises:
        LumosXError: the source holds no LoRA that can be read; see `read_lora`.
    """
    source = Path(source)
    if not os.path.isdir(source):
        return read_lora(source)
    if (source / PEFT_CONFIG).is_file():
        for name in PEFT_WEIGHTS:
            if (source / name).is_file():
                return read_lora(source / name)
        raise LumosXError(f"{source} has {PEFT_CONFIG} but no {PEFT_WEIGHTS[0]}. {_AGAIN}")
    if (source / RUN).is_file():
        return _read_checkpoint(source)
    raise LumosXError(
        f"{source} is a folder without {PEFT_CONFIG!r} (peft's) and without {RUN!r} (a checkpoint's). Give one of "
        f"these, such as OUTPUT/checkpoints/step-00000500, or a LoRA file."
    )


def read_lora(path: str | Path) -> LoraFile:
    """Read a LoRA for a Wan2.1 or LumosX network from a file.

    Raises:
        LumosXError: the file is missing or damaged, holds code or no LoRA, one of a kind that is not read (DoRA, OFT,
            ...) or for another model, values that are not finite, or alphas that contradict each other.
    """
    path = Path(path)
    try:
        is_file = path.is_file()
    except (OSError, ValueError):
        is_file = False
    if not is_file:
        raise LumosXError(f"{path} does not exist or is not a file. Give a LoRA as a .safetensors file.")
    tensors = {name: tensor.load() for name, tensor in open_tensors(path, numbers=True).items()}
    metadata = dict(read_header(path).metadata) if is_safetensors(path) else {}
    return parse_lora(tensors, metadata, str(path), _config_beside(path, tensors))


def parse_lora(
    tensors: Mapping[str, Tensor], metadata: Mapping[str, str], source: str, config: Statement | None = None
) -> LoraFile:
    """The LoRA that tensors under any program's names are.

    Args:
        config: what an adapter_config.json says of them.

    Raises:
        LumosXError: see `read_lora`.
    """
    try:
        parts, keys = _gathered(tensors)
        statements = statements_of(metadata) + ([config] if config else [])
        layers: dict[str, LoraLayer] = {}
        products: dict[str, ProductLayer] = {}
        differences: dict[str, Tensor] = {}
        for name, present in parts.items():
            _read_layer(name, present, (keys[name].stem, name), statements, (layers, products, differences))
    except LumosXError as error:
        raise LumosXError(f"{source} cannot be used as a LoRA: {error}.") from error
    if not (layers or products or differences):
        raise LumosXError(f"{source} is not a LoRA: it holds no change of a layer. Give a LoRA file.")
    return LoraFile(layers, differences, dict(metadata), source, products)


def _gathered(tensors: Mapping[str, Tensor]) -> tuple[dict[str, dict[str, Tensor]], dict[str, Key]]:
    """The parts of each layer by its native name, and one name of each as the file has it."""
    parts: dict[str, dict[str, Tensor]] = {}
    keys: dict[str, Key] = {}
    taken: dict[tuple[str, str], str] = {}
    adapters: set[str] = set()
    if any(".lora_magnitude_vector" in name or name.endswith(".dora_scale") for name in tensors):
        # Said first: whatever else is in the file, it is one.
        read_key(next(n for n in tensors if ".lora_magnitude_vector" in n or n.endswith(".dora_scale")))
    for name, tensor in tensors.items():
        if tensor.ndim == 0 and name.rpartition(".")[2] in ("step", "global_step", "epoch"):
            continue  # counters of a training program
        key = read_key(name)
        if key.adapter:
            adapters.add(key.adapter)
        if (key.layer, key.part) in taken:
            if len(adapters) > 1:
                raise LumosXError(f"it holds several LoRAs ({', '.join(sorted(adapters)[:4])}). Save one of them alone")
            raise LumosXError(
                f"{taken[key.layer, key.part][:120]!r} and {name[:120]!r} are both for {key.layer!r}, and it is "
                f"unknown which is right"
            )
        taken[key.layer, key.part] = name
        _check_values(name, tensor)
        parts.setdefault(key.layer, {})[key.part] = tensor
        keys.setdefault(key.layer, key)
    return parts, keys


def _check_values(name: str, tensor: Tensor) -> None:
    if tensor.dtype.is_complex or tensor.dtype == torch.bool:
        raise LumosXError(f"{name[:120]!r} is of the type {str(tensor.dtype).removeprefix('torch.')}")
    if tensor.dtype.is_floating_point and not all_finite(tensor):
        raise LumosXError(f"{name[:120]!r} has values that are not finite (NaN or infinity)")
    if not tensor.dtype.is_floating_point and tensor.numel() > 1:
        raise LumosXError(
            f"{name[:120]!r} is quantised ({str(tensor.dtype).removeprefix('torch.')}), which is not read. Give the "
            f"LoRA in fp32, bf16 or fp16"
        )


def _read_layer(
    name: str,
    present: Mapping[str, Tensor],
    names: tuple[str, str],
    statements: list[Statement],
    into: tuple[dict[str, LoraLayer], dict[str, ProductLayer], dict[str, Tensor]],
) -> None:
    """Sort what a file has for one layer into the LoRAs, the products and the differences."""
    layers, products, differences = into
    product = any(part.startswith(("lokr", "hada")) for part in present)
    if ("down" in present) != ("up" in present) or not present.keys() - {"alpha", "rank", "rslora", "mid"}:
        raise LumosXError(f"it is incomplete: {name!r} has {', '.join(sorted(present))} only. {_AGAIN[:-1]}")
    if "down bias" in present:
        raise LumosXError(f"the A matrix of {name!r} has a bias, which no LoRA layer computes with")
    if "down" in present or product:
        rank = product_rank(present) if product else present["down"].shape[0] if present["down"].ndim else 0
        told = dict.fromkeys(("alpha", "rank", "rslora"))
        for part in told:
            if part in present:
                told[part] = _number(name, part, present[part])
        if told["rank"] is not None and rank and told["rank"] != rank:
            raise LumosXError(f"the file says rank {told['rank']:g} for {name!r}, but its matrices have rank {rank}")
        extra = [Statement("the file's own rslora", stable=True)] if told["rslora"] else []
        alpha = alpha_of(names, rank, told["alpha"], statements + extra) if rank else 1.0
        if product:
            products[name] = product_layer(name, present, alpha)
        else:
            layers[name] = lora_layer(name, present, alpha)
            if "up bias" in present:
                differences[f"{name}.bias"] = present["up bias"].float() * (alpha / layers[name].rank)
    for parameter in ("weight", "bias"):
        if parameter in present:
            bare = name.endswith("modulation")
            if bare and parameter == "bias":
                raise LumosXError(f"{name!r} is a table, which has no bias")
            target = name if bare else f"{name}.{parameter}"
            if target in differences:
                raise LumosXError(f"the bias of {name!r} is changed twice")
            differences[target] = present[parameter]


def _number(name: str, part: str, tensor: Tensor) -> float:
    if tensor.numel() != 1:
        raise LumosXError(f"the {part} of {name!r} has the shape {tuple(tensor.shape)}, expected one number")
    return float(tensor.float())


def _config_beside(path: Path, tensors: Mapping[str, Tensor]) -> Statement | None:
    """What the adapter_config.json in a LoRA's folder says, where it is about this LoRA.

    In a folder with many LoRAs, such as ComfyUI's, it may be about another one: there it counts for a file of peft's
    name or peft's prefix, or where its rank is that of the matrices.
    """
    beside = path.parent / PEFT_CONFIG
    if not beside.is_file():
        return None
    own = path.name in PEFT_WEIGHTS or any(name.startswith("base_model.model.") for name in tensors)
    try:
        config = peft_statement(read_json(beside), str(beside))
    except LumosXError as error:
        if own:
            raise LumosXError(f"{error}. Use the LoRA with the program that made it.") from error
        return None
    others = [each for each in path.parent.iterdir() if each.suffix in _WEIGHTS and each != path]
    ranks = {float(tensor.shape[0]) for name, tensor in tensors.items() if "lora_A" in name and tensor.ndim > 1}
    fits = bool(ranks) and ranks <= {config.rank, *config.ranks.values()}
    return config if own or not others or fits else None


def _read_checkpoint(source: Path) -> LoraFile:
    facts = read_json(source / RUN)
    config = facts.get("config") or {}
    lora = config.get("lora") if isinstance(config, dict) else None
    if not lora:
        raise LumosXError(f"{source} is a checkpoint of a run that trained the whole model: it has no LoRA.")
    weights = next((path for name in ("ema", "model") if (path := source / f"{name}.safetensors").is_file()), None)
    if weights is None:
        raise LumosXError(f"{source} has neither ema.safetensors nor model.safetensors. It is no whole checkpoint.")
    alpha = lora.get("alpha") if isinstance(lora, dict) else None
    if isinstance(alpha, bool) or not isinstance(alpha, int | float) or not alpha > 0:
        raise LumosXError(f"{source / RUN} has the alpha {alpha!r}, expected a number above 0. Copy it again.")
    file = read_lora(weights)
    if isinstance(base := facts.get("base_sha256"), str):
        file = replace(file, metadata={**file.metadata, BASE_SHA256: base})
    layers = {name: replace(layer, alpha=float(alpha)) for name, layer in file.layers.items()}
    return replace(file, layers=layers)


def read_json(path: Path) -> dict:
    """The object in a small JSON file.

    Raises:
        LumosXError: it cannot be read, is damaged, or holds something else.
    """
    try:
        if path.stat().st_size > _MOST_CONFIG:
            raise ValueError("it is too long")
        content = json.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError, RecursionError) as error:
        raise LumosXError(f"{path} cannot be read ({error}). Copy it again.") from error
    if not isinstance(content, dict):
        raise LumosXError(f"{path} is not a table of settings. Copy it again.")
    return content
