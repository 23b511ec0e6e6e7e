"""The released noise schedule: shifted flow-matching sigmas and the integer timesteps that the network receives."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from ..errors import LumosXError


def flow_sigmas(steps: int, shift: float) -> Tensor:
    """Noise levels of a run, from 1 (noise) down to 0 (clean): sigma = shift * s / (1 + (shift - 1) * s).

    Returns:
        (steps + 1,) float32.

    Raises:
        LumosXError: fewer than one step, or a shift that is not positive.
    """
    return torch.from_numpy(np.append(_levels(steps, shift), 0.0).astype(np.float32))


def flow_timesteps(steps: int, shift: float) -> Tensor:
    """The timestep that the network receives at each noise level: sigma * 1000 truncated to an integer, as released.

    Returns:
        (steps,) int64.
    """
    return torch.from_numpy((_levels(steps, shift) * 1000).astype(np.int64))


def timesteps_at(sigmas: Tensor) -> Tensor:
    """The timesteps of a run whose noise levels are given, whoever made them.

    The fraction is cut from float64 levels in the released code, and 874.9999 becomes 874. A float32 table has lost
    that, so a table of flow_sigmas is recognised and gets its own timesteps; any other is cut as it is.

    Args:
        sigmas: (steps + 1,) float32, falling.

    Returns:
        (steps,) int64 on the CPU.
    """
    sigmas = sigmas.detach().float().cpu()
    steps = len(sigmas) - 1
    if steps > 1 and 0 < sigmas[-2] < 1:
        last = float(sigmas[-2])
        shift = round((steps - 1) * last / (1 - last), 3)
        if shift > 0 and torch.equal(flow_sigmas(steps, shift), sigmas):
            return flow_timesteps(steps, shift)
    return (sigmas[:-1] * 1000).long()


def sigma_at(fraction: float, shift: float) -> float:
    """The noise level at a fraction of the schedule: 0 is its start, 1 its end; as ComfyUI counts for Wan2.1."""
    s = 1 - fraction
    return shift * s / (1 + (shift - 1) * s)


def _levels(steps: int, shift: float) -> np.ndarray:
    if steps < 1:
        raise LumosXError(f"steps is {steps}, expected 1 or more.")
    if not 0 < shift < float("inf"):
        raise LumosXError(f"shift is {shift}, expected more than 0.")
    # NumPy's linspace and PyTorch's differ in the last bit, which decides between two timesteps at round levels.
    s = np.linspace(1, 0, steps + 1)[:steps]
    return shift * s / (1 + (shift - 1) * s)
