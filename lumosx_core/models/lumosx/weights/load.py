"""LumosX networks from checkpoints: which one it is, and the network itself."""

from __future__ import annotations

import math
import os
from collections import Counter

import torch

from ....errors import LumosXError
from ....files.formats.quantised import FP8
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
    """Build an opened network, in evaluation mode.

    Tensors are read one by one onto the device, so that memory holds the network once.

    Args:
        dtype: of the parameters; None: as stored (fp8 becomes bfloat16, which the network computes in).
    """
    tensors = network.tensors
    if dtype is None:
        sizes: Counter[torch.dtype] = Counter()
        for tensor in tensors.values():
            sizes[tensor.dtype] += math.prod(tensor.shape)
        dtype = sizes.most_common(1)[0][0]
        dtype = torch.bfloat16 if dtype in FP8 else dtype
    model = LumosXModel(network.config, device="meta")
    # copy: a tensor may be a view into the file, which must be free to change or vanish afterwards.
    state = {name: tensors[name].load().to(device=device, dtype=dtype, copy=True) for name in model.state_dict()}
    model.load_state_dict(state, assign=True)
    return model.eval()
