"""From noise to latents with the released schedule, solver and classifier-free guidance."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from .schedule import flow_sigmas, flow_timesteps
from .solver import sample_dpmpp_2m


def sample_guided(
    velocity: Callable[[Tensor, float, Tensor, bool], Tensor],
    noise: Tensor,
    *,
    steps: int,
    shift: float,
    cfg: float,
    callback: Callable[[int, Tensor, Tensor], None] | None = None,
) -> Tensor:
    """Sample with DPM-Solver++(2M).

    Args:
        velocity: (latents, sigma, timestep (B,), negative) -> what the network predicts; `negative` asks for the
            prediction for the negative prompt.
        noise: (B, 16, T, h, w), on the device that computes.
        steps, shift: of the schedule.
        cfg: guidance, how far to move from the negative prediction to the other; 1 does without the negative one.
        callback: as in `sample_dpmpp_2m`.

    Returns:
        (B, 16, T, h, w).
    """
    timesteps = flow_timesteps(steps, shift).to(noise.device)

    def predict_clean(latents: Tensor, sigma: Tensor, step: int) -> Tensor:
        timestep = timesteps[step].expand(len(latents))
        level = sigma.item()
        guided = velocity(latents, level, timestep, False)
        if cfg != 1:
            negative = velocity(latents, level, timestep, True)
            guided = negative + cfg * (guided - negative)
        return latents - level * guided

    return sample_dpmpp_2m(predict_clean, noise, flow_sigmas(steps, shift), callback)
