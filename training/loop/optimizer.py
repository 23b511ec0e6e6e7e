"""AdamW over the trained parameters, and the learning rate as a function of the step."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

from lumosx_core.errors import LumosXError, MissingPackageError

from .config import OptimizerSettings


def learning_rate(settings: OptimizerSettings, step: int, steps: int) -> float:
    """The learning rate of a step, the first being 0, in a run of so many steps."""
    if step < settings.warmup_steps:
        return settings.learning_rate * (step + 1) / settings.warmup_steps
    if settings.schedule == "constant":
        return settings.learning_rate
    done = min(1.0, (step - settings.warmup_steps) / max(1, steps - settings.warmup_steps))
    left = 1 - done if settings.schedule == "linear" else (1 + math.cos(math.pi * done)) / 2
    return settings.learning_rate * (settings.min_lr_ratio + (1 - settings.min_lr_ratio) * left)


def make_optimizer(model: nn.Module, settings: OptimizerSettings) -> torch.optim.Optimizer:
    """AdamW over the parameters that require gradients.

    Weight decay applies to matrices only: it would pull biases, norms and the modulation away from where they work.

    Raises:
        LumosXError: nothing is trained.
        MissingPackageError: adamw8bit without bitsandbytes.
    """
    trained = {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}
    if not trained:
        raise LumosXError("No parameter of the model is trained. Add LoRA targets, or train without [lora].")
    decayed = [p for name, p in trained.items() if p.ndim >= 2 and not name.endswith("modulation")]
    others = [p for name, p in trained.items() if p.ndim < 2 or name.endswith("modulation")]
    groups = [
        {"params": parameters, "weight_decay": decay}
        for parameters, decay in ((decayed, settings.weight_decay), (others, 0.0))
        if parameters
    ]
    options: dict[str, Any] = {"lr": settings.learning_rate, "betas": tuple(settings.betas), "eps": settings.eps}
    if settings.name == "adamw8bit":
        return _eight_bit()(groups, **options)
    return torch.optim.AdamW(groups, **options, fused=_fuses(trained.values()))


def set_learning_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Set the learning rate of all parameter groups."""
    for group in optimizer.param_groups:
        group["lr"] = rate


def _fuses(parameters: Iterable[Tensor]) -> bool:
    """Whether one kernel can update everything; half precision and other devices use the plain version."""
    return all(p.device.type in ("cpu", "cuda") and p.dtype == torch.float32 for p in parameters)


def _eight_bit() -> type[torch.optim.Optimizer]:
    try:
        from bitsandbytes.optim import AdamW8bit
    except ImportError as error:
        raise MissingPackageError("bitsandbytes", 'optimizer.name = "adamw8bit"', error) from error
    return AdamW8bit
