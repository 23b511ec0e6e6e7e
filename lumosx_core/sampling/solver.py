"""DPM-Solver++(2M), midpoint, for flow matching (arXiv 2211.01095 with alpha = 1 - sigma)."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from ..errors import LumosXError

PredictClean = Callable[[Tensor, Tensor, int], Tensor]
"""(latents, sigma, step) -> the clean latents predicted from them; sigma is a 0-dim tensor."""
StepReport = Callable[[int, Tensor, Tensor], None]
"""Called as (step, clean, latents) after each prediction, before the latents move on."""


@dataclass(frozen=True, eq=False)
class SolverState:
    """A run between two steps: all that the rest of it depends on.

    Args:
        step: steps that are done.
        latents: at the noise level of `step`.
        previous: the clean latents that the last step predicted; None before the first.
    """

    step: int
    latents: Tensor
    previous: Tensor | None = None

    def to(self, device: torch.device | str) -> SolverState:
        """The same on a device; no bit changes."""
        previous = None if self.previous is None else self.previous.to(device)
        return SolverState(self.step, self.latents.to(device), previous)


def sample_dpmpp_2m(
    predict_clean: PredictClean, latents: Tensor, sigmas: Tensor, callback: StepReport | None = None
) -> Tensor:
    """Follow the flow from noise to clean latents.

    Args:
        latents: noise at sigmas[0], any shape.
        sigmas: (steps + 1,), falling; the last may be 0.

    Returns:
        Latents at sigmas[-1], in the shape of `latents` and the dtype of the predictions.

    Raises:
        LumosXError: sigmas that do not fall.
    """
    return advance(predict_clean, SolverState(0, latents), sigmas, len(sigmas) - 1, callback).latents


def advance(
    predict_clean: PredictClean,
    state: SolverState,
    sigmas: Tensor,
    until: int,
    callback: StepReport | None = None,
) -> SolverState:
    """Follow the flow from where a run was paused; the result is bit-identical to that of a run without pauses.

    Args:
        state: a run of the same sigmas.
        sigmas: (steps + 1,), falling, of the whole run; the last may be 0.
        until: the step at which to pause, `state.step` to steps: so many are done then.

    Raises:
        LumosXError: sigmas that do not fall.
    """
    levels = sigmas.tolist()
    if any(later >= earlier for earlier, later in itertools.pairwise(levels)):
        raise LumosXError(f"The sigmas do not fall at each step: {levels[:4]}... Connect LumosX Sigmas or a scheduler.")
    log_snr = [_log_snr(sigma) for sigma in levels]
    latents, previous = state.latents, state.previous
    for step in range(state.step, until):
        sigma, next_sigma = levels[step : step + 2]
        clean = predict_clean(latents, sigmas[step], step)
        if callback is not None:
            callback(step, clean, latents)
        if next_sigma == 0:
            return SolverState(step + 1, clean, clean)
        h = log_snr[step + 1] - log_snr[step]
        direction = clean
        # At sigma 1 the log-SNR is minus infinity, so the step after it has no finite distance to correct over.
        if previous is not None and math.isfinite(log_snr[step - 1]):
            r = (log_snr[step] - log_snr[step - 1]) / h
            direction = clean + (clean - previous) / (2 * r)
        latents = (next_sigma / sigma) * latents - (1 - next_sigma) * math.expm1(-h) * direction
        previous = clean
    return SolverState(until, latents, previous)


def _log_snr(sigma: float) -> float:
    if sigma >= 1:
        return -math.inf
    return math.log1p(-sigma) - math.log(sigma) if sigma > 0 else math.inf
