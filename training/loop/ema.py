"""Averaged weights (EMA): they move a little towards the trained ones at each step."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from .config import EmaSettings


class Ema:
    """Exponential moving averages of the trained parameters, in float32.

    Args:
        parameters: name -> what is averaged.
    """

    def __init__(self, parameters: dict[str, Tensor], settings: EmaSettings):
        self.settings = settings
        self.parameters = parameters
        self.averages = {name: parameter.detach().clone().float() for name, parameter in self.parameters.items()}

    def decay(self, step: int) -> float:
        """The weight of the old average in a step, the first being 0."""
        if not self.settings.warmup:
            return self.settings.decay
        return min(self.settings.decay, (1 + step) / (10 + step))

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Move the averages towards the parameters, after the optimiser's step."""
        weight = 1 - self.decay(step)
        torch._foreach_lerp_(list(self.averages.values()), [p.float() for p in self.parameters.values()], weight)

    @contextmanager
    def swapped_in(self) -> Iterator[None]:
        """The model has the averages while the block runs; afterwards its weights are bit-identical to before."""
        originals = {name: parameter.detach().clone() for name, parameter in self.parameters.items()}
        copy_into(self.parameters, self.averages)
        try:
            yield
        finally:
            copy_into(self.parameters, originals)


def trained_parameters(model: nn.Module) -> dict[str, Tensor]:
    """The parameters that are trained, by name."""
    return {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}


@torch.no_grad()
def copy_into(parameters: dict[str, Tensor], values: dict[str, Tensor]) -> None:
    """Overwrite parameters by values of the same names."""
    for name, parameter in parameters.items():
        parameter.copy_(values[name])
