"""The state of a run as named tensors, whole or sharded over processes (FSDP2).

Files do not depend on the number of processes: a sharded tensor is gathered when its turn to be written comes, and
only the process that writes keeps it. So no process holds more than one whole tensor.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed.checkpoint.state_dict import get_optimizer_state_dict, set_optimizer_state_dict
from torch.distributed.tensor import DTensor, distribute_tensor

from lumosx_core.errors import LumosXError
from lumosx_core.files.safetensors_file import in_file_order
from lumosx_core.files.stored_tensor import StoredTensor

_NUMBER = "number"  # marks a value that is a plain number and not a tensor


def stored(tensors: Mapping[str, Tensor]) -> dict[str, StoredTensor]:
    """The tensors as something to write; loading a sharded one gathers it, which all processes do together."""
    return {name: StoredTensor(each.shape, each.dtype, partial(whole, each)) for name, each in tensors.items()}


def take_part(tensors: Mapping[str, StoredTensor]) -> None:
    """What a process does while another one writes these tensors: gather each, keep none."""
    for _, tensor in in_file_order(tensors):
        tensor.load()


def optimizer_state(network: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, StoredTensor]:
    """`PARAMETER|exp_avg` and so on -> the optimizer's moments and step counts."""
    tensors: dict[str, Tensor] = {}
    for name, values, key in _entries(get_optimizer_state_dict(network, optimizer)["state"]):
        value = values[key]
        if isinstance(value, Tensor):
            tensors[f"{name}|{key}"] = value
        elif isinstance(value, int | float):
            kind = torch.int64 if isinstance(value, int) else torch.float64
            tensors[f"{name}|{key}|{_NUMBER}"] = torch.tensor(value, dtype=kind)
    return stored(tensors)


def load_optimizer_state(
    network: nn.Module, optimizer: torch.optim.Optimizer, tensors: Iterable[tuple[str, Tensor]]
) -> None:
    """Give the optimizer the state that `optimizer_state` took from one of the same parameters.

    Settings such as weight decay stay the optimizer's own. A parameter that the state lacks starts afresh.

    Raises:
        LumosXError: the state belongs to other parameters.
    """
    state = get_optimizer_state_dict(network, optimizer)  # creates it by a step of size 0, which changes no weight
    slots = {f"{name}|{key}": (values, key) for name, values, key in _entries(state["state"])}
    for values, key in slots.values():
        if key == "step":  # that creation took one; the moments are zeros
            values[key] = values[key] * 0
    for full_name, tensor in tensors:
        name = full_name.removesuffix(f"|{_NUMBER}")
        values, key = slots.get(name, ({}, ""))
        is_number = not isinstance(values.get(key), Tensor)
        if name not in slots or (not is_number and values[key].shape != tensor.shape):
            raise LumosXError(
                "The checkpoint's optimizer state belongs to other parameters or another optimizer. Choose another "
                "training.output."
            )
        if is_number:
            values[key] = tensor.item()
        else:
            fill(values[key], tensor)
    set_optimizer_state_dict(network, optimizer, state)


def whole(tensor: Tensor) -> Tensor:
    """All of the tensor, on the CPU; all processes must call this for a sharded one."""
    return (tensor.full_tensor() if isinstance(tensor, DTensor) else tensor).detach().cpu()


def as_number(tensor: Tensor) -> float:
    """The value of a tensor of one element."""
    return float(tensor.full_tensor() if isinstance(tensor, DTensor) else tensor)


@torch.no_grad()
def fill(tensor: Tensor, full: Tensor) -> None:
    """Give `tensor` the values of the whole one."""
    full = full.to(tensor.device)
    if isinstance(tensor, DTensor):
        full = distribute_tensor(full, tensor.device_mesh, tensor.placements)
    tensor.copy_(full)


def is_sharded(tensor: Tensor) -> bool:
    """Whether this process holds only a part of the tensor."""
    return isinstance(tensor, DTensor)


def _entries(state: Any) -> Iterator[tuple[str, dict, str]]:
    """Parameter, dictionary and key of each value; bitsandbytes nests its moments in a dictionary of their own."""
    for name, values in state.items():
        for key, value in values.items():
            if isinstance(value, dict):
                yield from ((name, value, inner) for inner in value)
            else:
                yield name, values, key
