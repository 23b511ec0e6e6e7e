"""LumosX networks from checkpoints: which one it is, and the network itself."""

from __future__ import annotations

import math
from collections import Counter
from pathlib import Path

import torch

from ...errors import LumosXError
from ...files.read_weights import FP8
from ...files.stored_tensor import StoredTensor
from ..wan.names import open_checkpoint
from .detect import detect_config
from .model import LumosXModel


def load_model(
    path: str | Path, *, device: str | torch.device = "cpu", dtype: torch.dtype | None = None
) -> LumosXModel:
    """Build the network that a checkpoint holds, in evaluation mode.

    Tensors are read one by one onto the device, so that memory holds the network once.

    Args:
        dtype: of the parameters; None: as stored (fp8 becomes bfloat16, which the network computes in).

    Raises:
        LumosXError: the file cannot be read, or does not hold a LumosX or Wan2.1 text-to-video network.
    """
    tensors = open_network(path)
    if dtype is None:
        sizes = Counter()
        for tensor in tensors.values():
            sizes[tensor.dtype] += math.prod(tensor.shape)
        dtype = sizes.most_common(1)[0][0]
        dtype = torch.bfloat16 if dtype in FP8 else dtype
    model = LumosXModel(detect_config(tensors), device="meta")
    # copy: a tensor may be a view into the file, which must be free to change or vanish afterwards.
    state = {name: tensors[name].load().to(device=device, dtype=dtype, copy=True) for name in model.state_dict()}
    model.load_state_dict(state, assign=True)
    return model.eval()


def open_network(path: str | Path) -> dict[str, StoredTensor]:
    """Like `open_checkpoint`, for a file that must hold a LumosX or Wan2.1 text-to-video network.

    Raises:
        LumosXError: naming the file and what it holds instead.
    """
    tensors = open_checkpoint(path)
    try:
        detect_config(tensors)
    except LumosXError as error:
        raise LumosXError(f"{path} cannot be used. {error}") from error
    return tensors
