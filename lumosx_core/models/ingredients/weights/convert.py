"""Writes the networks of a release as single safetensors files, for ComfyUI's model folders and for our own readers."""

from __future__ import annotations

import json
import re
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from ....errors import LumosXError
from ....files.read_weights import open_weights
from ....files.safetensors_file import in_file_order
from ....files.stored_tensor import StoredTensor
from ...cogvideox.t5 import T5Encoder, t5_names, tokenizer_model, weights_folder
from ...cogvideox.vae import is_cogvideox_vae, not_a_cogvideox_vae, vae_folder, vae_names
from ...cogvideox.vae_config import VAE_CONFIG, VaeConfig, vae_config
from ...write_checkpoint import (
    Precision,
    Progress,
    check_destination,
    check_precision,
    converted,
    write_checkpoint,
)
from ..model import IngredientsModel
from .load import CONFIG, SCHEDULE, open_network, schedule_of

SOURCE, DTYPE = "ingredients_source", "ingredients_dtype"
"""In the metadata: the name of the source, and the precision."""

# The large matrices of the base model, three quarters of the values. What modulates, routes and reads faces is
# sensitive and stays bfloat16.
_NETWORK_QUANTISED = re.compile(r"transformer_blocks\.\d+\.(attn1\.(to_[qkv]|to_out\.0)|ff\.net\.(0\.proj|2))\.weight")
_TEXT_QUANTISED = re.compile(
    r"encoder\.block\.\d+\.layer\.(0\.SelfAttention\.[qkvo]|1\.DenseReluDense\.(wi_0|wi_1|wo))\.weight"
)
_TEXT_TENSORS = re.compile(r"shared\.weight|encoder\.(block\.\d+\.layer\.[01]|final_layer_norm)\..*")


def _silent(done: int, total: int) -> None:
    pass


def convert_network(
    source: str | Path,
    destination: str | Path,
    dtype: Precision = "bf16",
    *,
    overwrite: bool = False,
    progress: Progress = _silent,
) -> Path:
    """Write any readable Ingredients (CogVideoX) network as one file with the released names and its config.

    Tensors are read, cast and written one by one, so that memory holds one of them. The file appears whole or not at
    all. fp8_e4m3fn quantises the attention and feed-forward matrices of the base model, each with its own scale; the
    rest is bfloat16.

    Args:
        source: what `open_network` reads: the released folder, its folder `transformer`, or a file.
        destination: a path ending in `.safetensors`, in a folder that exists.
        dtype: "bf16", "fp16" or "fp8_e4m3fn".
        overwrite: replace a file at the destination.
        progress: called after each tensor with the bytes written and all bytes to be written.

    Returns:
        The destination.

    Raises:
        LumosXError: the source is not such a network, the destination is not possible, a value does not fit into the
            dtype, or the disk is full. Nothing is left behind then.
    """
    source, destination = Path(source), Path(destination)
    check_precision(dtype)
    check_destination(source, destination, overwrite)
    network = open_network(source)
    names = IngredientsModel(network.config, device="meta").state_dict()
    tensors = converted(names, network.tensors, dtype, _NETWORK_QUANTISED.fullmatch)
    facts = {**_facts(source, dtype), CONFIG: _json(network.config.to_dict())}
    if schedule := schedule_of(source):
        facts[SCHEDULE] = _json(asdict(schedule))
    return write_checkpoint(destination, tensors, facts, progress)


def convert_text_encoder(
    source: str | Path,
    destination: str | Path,
    dtype: Precision = "bf16",
    *,
    overwrite: bool = False,
    progress: Progress = _silent,
) -> Path:
    """Write a T5 encoder with its tokeniser (`spiece_model`) as one file, which ComfyUI's Load CLIP takes, too.

    Args:
        source: what `T5Encoder` reads: a folder with `text_encoder` and `tokenizer`, or a file.
        destination, dtype, overwrite, progress: see `convert_network`.

    Raises:
        LumosXError: see `convert_network`.
        MissingPackageError: sentencepiece is not installed.
    """
    source, destination = Path(source), Path(destination)
    check_precision(dtype)
    check_destination(source, destination, overwrite)
    T5Encoder(source)  # says what is wrong with another encoder, or a tokeniser that does not fit
    weights = weights_folder(source)
    opened = open_weights(weights, t5_names)
    names = [name for name in opened if _TEXT_TENSORS.fullmatch(name)]
    tensors = converted(names, opened, dtype, _TEXT_QUANTISED.fullmatch)
    model = tokenizer_model(weights)
    assert model is not None  # T5Encoder has one
    tensors.append(("spiece_model", StoredTensor.of(torch.frombuffer(bytearray(model), dtype=torch.uint8))))
    return write_checkpoint(destination, tensors, _facts(source, dtype), progress)


def convert_vae(
    source: str | Path,
    destination: str | Path,
    *,
    overwrite: bool = False,
    progress: Progress = _silent,
) -> Path:
    """Write a CogVideoX VAE as one file with its config, in the types that it is stored in.

    Args:
        source: what `CogVideoXVae.load` reads: the folder `vae`, or a file.
        destination, overwrite, progress: see `convert_network`.

    Raises:
        LumosXError: the source is damaged, or the destination is not possible.
    """
    source, destination = Path(source), Path(destination)
    check_destination(source, destination, overwrite)
    config, tensors = open_vae(source)
    facts = {SOURCE: source.resolve().name, VAE_CONFIG: _json(config.to_dict())}
    return write_checkpoint(destination, in_file_order(tensors), facts, progress)


def open_vae(path: str | Path) -> tuple[VaeConfig, dict[str, StoredTensor]]:
    """Sizes and tensors of a CogVideoX VAE, which needs no package for that; see `CogVideoXVae.load`.

    Raises:
        LumosXError: a file is damaged or missing, or it is another VAE.
    """
    folder = vae_folder(Path(path))
    tensors = open_weights(folder, vae_names)
    if not is_cogvideox_vae(tensors):
        raise LumosXError(f"{str(folder)!r} {not_a_cogvideox_vae(tensors)}")
    return vae_config(folder) or VaeConfig(), tensors


def _json(content: dict[str, Any]) -> str:
    return json.dumps(content, separators=(",", ":"))


def _facts(source: Path, dtype: str) -> dict[str, str]:
    return {SOURCE: source.resolve().name, DTYPE: dtype}
