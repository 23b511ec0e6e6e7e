"""Tensors that several processes share (FSDP2), as whole ones and back, so that files do not depend on their number."""

from __future__ import annotations

import torch
from torch import Tensor


def whole(tensor: Tensor) -> Tensor:
    """All of the tensor, on the CPU; of a shared one every process must ask."""
    return (tensor.full_tensor() if is_shared(tensor) else tensor).detach().cpu()


def placed_as(full: Tensor, like: Tensor) -> Tensor:
    """The whole tensor on the device of `like` and, if that is shared, divided as it is."""
    full = full.to(like.device)
    if not is_shared(like):
        return full
    from torch.distributed.tensor import distribute_tensor

    return distribute_tensor(full, like.device_mesh, like.placements)


def as_number(tensor: Tensor) -> float:
    """The value of a tensor of one element."""
    return float(tensor.full_tensor() if is_shared(tensor) else tensor)


@torch.no_grad()
def fill(tensor: Tensor, full: Tensor) -> None:
    """Give `tensor` the values of the whole one."""
    tensor.copy_(placed_as(full, tensor))


def is_shared(tensor: Tensor) -> bool:
    # DTensor, told by what only it has: importing its class takes a second.
    return hasattr(tensor, "full_tensor")
