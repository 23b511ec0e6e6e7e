"""Networks of any family filled with the tensors of an opened checkpoint."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from typing import TypeVar

import torch
from torch import nn

from ..files.formats.quantised import FP8
from ..files.stored_tensor import StoredTensor

Network = TypeVar("Network", bound=nn.Module)


def stored_dtype(tensors: Mapping[str, StoredTensor]) -> torch.dtype:
    """The type of most values; fp8 counts as bfloat16, which networks compute in."""
    sizes: Counter[torch.dtype] = Counter()
    for tensor in tensors.values():
        sizes[tensor.dtype] += math.prod(tensor.shape)
    dtype = sizes.most_common(1)[0][0]
    return torch.bfloat16 if dtype in FP8 else dtype


def filled(
    network: Network,
    tensors: Mapping[str, StoredTensor],
    *,
    device: str | torch.device = "cpu",
    dtype: torch.dtype | None = None,
) -> Network:
    """A network on the meta device with its weights, in evaluation mode.

    Tensors are read one by one onto the device, so that memory holds the network once.

    Args:
        dtype: of the parameters; None: as stored.
    """
    dtype = dtype or stored_dtype(tensors)
    # copy: a tensor may be a view into the file, which must be free to change or vanish afterwards.
    state = {name: tensors[name].load().to(device=device, dtype=dtype, copy=True) for name in network.state_dict()}
    network.load_state_dict(state, assign=True)
    return network.eval()
