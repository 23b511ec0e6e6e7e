"""The optimiser's moments as named tensors, and back: independent of how processes share them."""

from __future__ import annotations

from collections import defaultdict

import torch
from torch import Tensor

from lumosx_core.errors import LumosXError

from .sharding import placed_as, whole

_NUMBER = "number"  # marks a value that is a plain number and not a tensor


def optimizer_tensors(optimizer: torch.optim.Optimizer, names: dict[Tensor, str]) -> dict[str, Tensor]:
    """`PARAMETER|exp_avg` and so on -> whole tensors on the CPU.

    Args:
        names: parameter -> its name.
    """
    tensors = {}
    for parameter, state in optimizer.state.items():
        for key, value in state.items():
            if isinstance(value, Tensor):
                tensors[f"{names[parameter]}|{key}"] = whole(value).contiguous()
            elif isinstance(value, int | float):
                kind = torch.int64 if isinstance(value, int) else torch.float64
                tensors[f"{names[parameter]}|{key}|{_NUMBER}"] = torch.tensor(value, dtype=kind)
    return tensors


def load_optimizer_tensors(
    optimizer: torch.optim.Optimizer, names: dict[Tensor, str], tensors: dict[str, Tensor]
) -> None:
    """Give the optimiser the state that `optimizer_tensors` took from one of the same parameters.

    Raises:
        LumosXError: it is of other parameters.
    """
    by_name: dict[str, dict] = defaultdict(dict)
    for full_name, value in tensors.items():
        name, key, *number = full_name.split("|")
        by_name[name][key] = value.item() if number else value
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    if by_name.keys() - {names[parameter] for parameter in parameters}:
        raise LumosXError("The checkpoint's optimiser is of other parameters. Choose another training.output.")
    state = {}
    for place, parameter in enumerate(parameters):
        values = by_name.get(names[parameter], {})
        state[place] = {
            # Moments have their parameter's shape, and are divided as it is.
            key: placed_as(value, parameter) if isinstance(value, Tensor) and value.shape == parameter.shape else value
            for key, value in values.items()
        }
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
