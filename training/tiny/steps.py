"""The loop by which the small VAE and the small text encoder are trained."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable

import torch
from torch import Tensor

WARMUP = 50  # steps
REPORT = 50  # steps between lines


def take_steps(
    parameters: Iterable[Tensor],
    optimizer: torch.optim.Optimizer,
    steps: int,
    compute: Callable[[], tuple[Tensor, list[float]]],
) -> None:
    """Optimise for `steps` steps, each group's rate rising for WARMUP steps and falling by a cosine to a fiftieth.

    Args:
        parameters: those whose gradient is clipped to a norm of 1.
        compute: gives the loss of the next step, and numbers whose means are printed.
    """
    parameters = list(parameters)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: min(1, (step + 1) / WARMUP) * (0.02 + 0.49 * (1 + math.cos(math.pi * step / steps)))
    )
    started, recent = time.time(), []
    for step in range(1, steps + 1):
        loss, numbers = compute()
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        schedule.step()
        recent.append(numbers)
        if step % REPORT == 0:
            means = torch.tensor(recent[-REPORT:]).mean(0).tolist()
            print(step, f"{time.time() - started:.0f} s", " ".join(f"{mean:.4f}" for mean in means), flush=True)
