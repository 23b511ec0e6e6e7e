"""DPM-Solver++(2M), midpoint, for flow matching (arXiv 2211.01095 with alpha = 1 - sigma)."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable

from torch import Tensor

from ..errors import LumosXError


def sample_dpmpp_2m(
    predict_clean: Callable[[Tensor, Tensor, int], Tensor],
    latents: Tensor,
    sigmas: Tensor,
    callback: Callable[[int, Tensor, Tensor], None] | None = None,
) -> Tensor:
    """Follow the flow from noise to clean latents.

    Args:
        predict_clean: (latents, sigma, step) -> the clean latents predicted from them; sigma is a 0-dim tensor.
        latents: noise at sigmas[0], any shape.
        sigmas: (steps + 1,), falling; the last may be 0.
        callback: called as (step, clean, latents) after each prediction, before the latents move on.

    Returns:
        Latents at sigmas[-1], in the shape of `latents` and the dtype of the predictions.

    Raises:
        LumosXError: sigmas that do not fall.
    """
    levels = sigmas.tolist()
    if any(later >= earlier for earlier, later in itertools.pairwise(levels)):
        raise LumosXError(f"The sigmas do not fall at each step: {levels[:4]}... Connect LumosX Sigmas or a scheduler.")
    log_snr = [_log_snr(sigma) for sigma in levels]
    previous = None
    for step, (sigma, next_sigma) in enumerate(itertools.pairwise(levels)):
        clean = predict_clean(latents, sigmas[step], step)
        if callback is not None:
            callback(step, clean, latents)
        if next_sigma == 0:
            return clean
        h = log_snr[step + 1] - log_snr[step]
        direction = clean
        # At sigma 1 the log-SNR is minus infinity, so the step after it has no finite distance to correct over.
        if previous is not None and math.isfinite(log_snr[step - 1]):
            r = (log_snr[step] - log_snr[step - 1]) / h
            direction = clean + (clean - previous) / (2 * r)
        latents = (next_sigma / sigma) * latents - (1 - next_sigma) * math.expm1(-h) * direction
        previous = clean
    return latents


def _log_snr(sigma: float) -> float:
    if sigma >= 1:
        return -math.inf
    return math.log1p(-sigma) - math.log(sigma) if sigma > 0 else math.inf
