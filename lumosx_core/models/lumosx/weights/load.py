"""LumosX networks from checkpoints: which one it is, and the network itself."""

from __future__ import annotations

import os

import torch

from ....errors import LumosXError
from ...checkpoint import filled
from ...family import OpenNetwork
from ...wan.names import open_checkpoint
from ..model import LumosXModel
from .detect import detect_config


def load_model(
    path: str | os.PathLike, *, device: str | torch.device = "cpu", dtype: torch.dtype | None = None
) -> LumosXModel:
    """Build the network that a checkpoint holds, in evaluation mode; see `build_model`.

    Raises:
        LumosXError: the file cannot be read, or does not hold a LumosX or Wan2.1 text-to-video network.
    """
    return build_model(open_network(path), device=device, dtype=dtype)


def open_network(path: str | os.PathLike) -> OpenNetwork:
    """Open a checkpoint that must hold a LumosX or Wan2.1 text-to-video network; its config is a LumosXConfig.

    Raises:
        LumosXError: naming the file and what it holds instead.
    """
    tensors = open_checkpoint(path)
    try:
        config = detect_config(tensors)
    except LumosXError as error:
        raise LumosXError(f"{path} cannot be used. {error}") from error
    return OpenNetwork(path, config, tensors)


def build_model(
    network: OpenNetwork, *, device: str | torch.device = "cpu", dtype: torch.dtype | None = None
) -> LumosXModel:
    """Build an opened network, in evaluation mode; see `checkpoint.filled`.

    Args:
        dtype: of the parameters; None: as stored (fp8 becomes bfloat16, which the network computes in).
    """
    return filled(LumosXModel(network.config, device="meta"), network.tensors, device=device, dtype=dtype)
