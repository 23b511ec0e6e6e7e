"""Clean latents predicted with classifier-free guidance, at the timesteps of the released schedule."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from .schedule import flow_timesteps
from .solver import PredictClean


def guided_prediction(
    velocity: Callable[[Tensor, float, Tensor, bool], Tensor],
    *,
    steps: int,
    shift: float,
    cfg: float,
) -> PredictClean:
    """What the solver asks of a network, with the released timesteps and guidance.

    Args:
        velocity: (latents, sigma, timestep (B,), negative) -> what the network predicts; `negative` asks for the
            prediction for the negative prompt.
        steps, shift: of the schedule.
        cfg: guidance, how far to move from the negative prediction to the other; 1 does without the negative one.
    """
    timesteps = flow_timesteps(steps, shift)

    def predict_clean(latents: Tensor, sigma: Tensor, step: int) -> Tensor:
        timestep = timesteps[step].to(latents.device).expand(len(latents))
        level = sigma.item()
        guided = velocity(latents, level, timestep, False)
        if cfg != 1:
            negative = velocity(latents, level, timestep, True)
            guided = negative + cfg * (guided - negative)
        return latents - level * guided

    return predict_clean
