"""Writes a checkpoint as one safetensors file that ComfyUI's stock loader takes."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Literal

from ...write_checkpoint import Precision, check_destination, check_precision, converted, write_checkpoint
from ..model import LumosXModel
from .load import open_network
from .origin import ORIGIN, noted_origin

# The large matrices: 97 % of the values. Everything else is small and sensitive and stays bfloat16.
_QUANTISED = re.compile(r"blocks\.\d+\.(self_attn|cross_attn)\.[qkvo]\.weight|blocks\.\d+\.ffn\.[02]\.weight")


def convert(
    source: str | Path,
    destination: str | Path,
    dtype: Precision = "bf16",
    *,
    origin: Literal["lumosx", "wan"] | None = None,
    overwrite: bool = False,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Path:
    """Write any readable LumosX or Wan2.1 text-to-video checkpoint as one safetensors file with native names.

    The file works in ComfyUI's stock loader (`models/diffusion_models`) and in `load_model`. Tensors are read, cast and
    written one by one, so that memory holds one of them. The file appears whole or not at all.

    fp8_e4m3fn quantises the matrices of the blocks, each with its own scale (the largest value becomes 448); the rest
    is bfloat16. ComfyUI then computes in its usual precision: fp8 saves memory, not accuracy of the activations.

    Args:
        source: safetensors or `.pt` file, or DCP directory.
        destination: a path ending in `.safetensors`, in a folder that exists.
        dtype: "bf16", "fp16" or "fp8_e4m3fn".
        origin: what the source was trained as, where that is known better than `weights_origin` can tell.
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
    names = LumosXModel(network.config, device="meta").state_dict()
    tensors = converted(names, network.tensors, dtype, _QUANTISED.fullmatch)
    facts = {"lumosx_source": source.resolve().name, "lumosx_dtype": dtype, ORIGIN: origin or noted_origin(source)}
    return write_checkpoint(destination, tensors, facts, progress)
