"""CogVideoX's noise schedule and its solver, a stochastic DPM-Solver++(2M).

Sources: zero terminal SNR and trailing timesteps (arXiv 2305.08891), velocity prediction (arXiv 2202.00512),
SDE-DPM-Solver++(2M) (arXiv 2211.01095). Tests hold it equal to `CogVideoXDPMScheduler` of diffusers.

Notation: alpha is the cumulative product of the DDPM schedule, the fraction of signal power. Noisy latents are
sqrt(alpha) * clean + sqrt(1 - alpha) * noise; the network predicts v = sqrt(alpha) * noise - sqrt(1 - alpha) * clean.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ...errors import LumosXError, shown

# Keys of a scheduler_config.json whose other values would change the result -> the value that is computed here.
_FIXED: Mapping[str, Any] = {
    "beta_schedule": "scaled_linear",
    "prediction_type": "v_prediction",
    "rescale_betas_zero_snr": True,
    "set_alpha_to_one": True,
    "steps_offset": 0,
    "timestep_spacing": "trailing",
    "trained_betas": None,
}
_HARMLESS = ("clip_sample", "clip_sample_range", "sample_max_value")  # the solver never reads them


@dataclass(frozen=True)
class DpmStep:
    """The numbers of one step of the solver, in float64.

    latents <- keep * latents + signal * ((1 + past) * clean - past * previous clean) + noise * draw

    Args:
        timestep: that the network receives.
        alpha: of the latents before the step.
        draws: how often the reference draws noise in this step; the last draw is the one that is added.
    """

    timestep: int
    alpha: float
    keep: float
    signal: float
    past: float
    noise: float
    draws: int

    def clean(self, latents: Tensor, velocity: Tensor) -> Tensor:
        """The clean latents that a predicted velocity means."""
        return math.sqrt(self.alpha) * latents - math.sqrt(1 - self.alpha) * velocity

    def advance(self, latents: Tensor, clean: Tensor, previous: Tensor | None, draw: Tensor) -> Tensor:
        """The latents after the step.

        Args:
            previous: the clean latents of the step before; None in the first step.
            draw: standard normal noise in the shape of `latents`.
        """
        if self.past and previous is not None:
            clean = (1 + self.past) * clean - self.past * previous
        return self.keep * latents + self.signal * clean + self.noise * draw


@dataclass(frozen=True)
class CogVideoXSchedule:
    """The noise schedule; the defaults are those of CogVideoX-5B-I2V.

    Args:
        beta_start, beta_end: of the scaled-linear schedule.
        snr_shift_scale: by which the signal-to-noise ratio is divided.
        num_train_timesteps: timesteps of training.
    """

    beta_start: float = 0.00085
    beta_end: float = 0.012
    snr_shift_scale: float = 1.0
    num_train_timesteps: int = 1000

    def __post_init__(self):
        if not 0 < self.beta_start < self.beta_end < 1:
            raise LumosXError(
                f"beta_start {self.beta_start} and beta_end {self.beta_end} are no noise schedule: expected "
                f"0 < beta_start < beta_end < 1. CogVideoX uses 0.00085 and 0.012."
            )
        if not 0 < self.snr_shift_scale < math.inf:
            raise LumosXError(f"snr_shift_scale is {self.snr_shift_scale}, expected more than 0. CogVideoX uses 1.")
        if not 2 <= self.num_train_timesteps <= 100_000:
            raise LumosXError(f"num_train_timesteps is {self.num_train_timesteps}, expected 1000 as in CogVideoX.")

    @classmethod
    def from_dict(cls, config: Mapping[str, Any]) -> CogVideoXSchedule:
        """The schedule of a `scheduler_config.json`.

        Raises:
            LumosXError: a key or value that stands for another schedule or solver.
        """
        if not isinstance(config, Mapping):
            raise LumosXError(f"The scheduler's config is {shown(config, 60)!r}, expected a JSON object.")
        numbers: dict[str, Any] = {}
        for key, value in config.items():
            if str(key).startswith("_") or key in _HARMLESS:
                continue
            if key in _FIXED:
                if type(value) is not type(_FIXED[key]) or value != _FIXED[key]:
                    raise LumosXError(
                        f"The scheduler's config has {key} = {shown(value, 60)!r}, but CogVideoX's solver needs "
                        f"{_FIXED[key]!r}. Take the scheduler folder that was released with the network."
                    )
            elif key in cls.__dataclass_fields__:
                kind = int if key == "num_train_timesteps" else (int, float)
                if isinstance(value, bool) or not isinstance(value, kind):
                    raise LumosXError(f"The scheduler's config has {key} = {shown(value, 60)!r}, expected a number.")
                numbers[key] = value
            else:
                raise LumosXError(
                    f"The scheduler's config has the key {shown(key, 60)!r}, which CogVideoX's solver does not know. "
                    f"Take the scheduler folder that was released with the network."
                )
        return cls(**numbers)

    @cached_property
    def alphas_cumprod(self) -> Tensor:
        """(timesteps,) float64: alpha of each timestep, falling; 0 at the last one."""
        betas = torch.linspace(
            math.sqrt(self.beta_start), math.sqrt(self.beta_end), self.num_train_timesteps, dtype=torch.float64
        ).square()
        alphas = (1 - betas).cumprod(0)
        alphas = alphas / (self.snr_shift_scale + (1 - self.snr_shift_scale) * alphas)
        roots = alphas.sqrt()
        first, last = roots[0].clone(), roots[-1].clone()
        return ((roots - last) * (first / (first - last))).square()

    def timesteps(self, steps: int) -> Tensor:
        """(steps,) int64, falling from the last timestep of training: "trailing" spacing.

        For 61 steps, and some larger numbers, rounding gives diffusers a further timestep of -1, at which it would
        denoise pure noise again; it is left out here.

        Raises:
            LumosXError: fewer than one step, or more than the schedule has.
        """
        if not 1 <= steps <= self.num_train_timesteps:
            raise LumosXError(
                f"steps is {steps}, expected 1 to {self.num_train_timesteps}. The released model uses 50."
            )
        spaced = np.arange(self.num_train_timesteps, 0, -self.num_train_timesteps / steps)[:steps]
        return torch.from_numpy(np.round(spaced).astype(np.int64) - 1)

    def steps(self, steps: int) -> list[DpmStep]:
        """The steps of a run as released.

        Each goes `num_train_timesteps // steps` timesteps down. Where that does not divide evenly it is not quite the
        next timestep, and the last step may end just above the clean latents; both are as released.
        """
        alphas, timesteps = self.alphas_cumprod.tolist(), self.timesteps(steps).tolist()
        stride = self.num_train_timesteps // steps
        made = []
        for index, timestep in enumerate(timesteps):
            following = alphas[timestep - stride] if timestep >= stride else 1.0
            before = alphas[timesteps[index - 1]] if index else None
            made.append(_step(timestep, alphas[timestep], following, before))
        return made


def dpm_steps(alphas: Sequence[float], timesteps: Sequence[int] | None = None) -> list[DpmStep]:
    """The steps through given noise levels, for samplers that come with a table of their own.

    Args:
        alphas: (steps + 1,) rising; the last may be 1. A sigma of ComfyUI, the noise in units of the signal, is
            alpha = 1 / (1 + sigma ** 2).
        timesteps: (steps,) that the network receives, where they are of interest.

    Raises:
        LumosXError: alphas that do not rise, or are outside of 0 to 1.
    """
    levels = [float(alpha) for alpha in alphas]
    rising = all(0 <= a < b <= 1 for a, b in itertools.pairwise(levels))
    if len(levels) < 2 or not rising:
        raise LumosXError(
            f"The noise levels do not fall at each step: alphas {levels[:4]}... Connect a scheduler such as simple."
        )
    timesteps = [0] * (len(levels) - 1) if timesteps is None else timesteps
    return [
        _step(int(timestep), levels[i], levels[i + 1], levels[i - 1] if i else None)
        for i, timestep in enumerate(timesteps)
    ]


def sample_dpm(
    predict_v: Callable[[Tensor, Tensor], Tensor],
    noise: Tensor,
    steps: int,
    schedule: CogVideoXSchedule | None = None,
    *,
    noise_of: Callable[[int, int], Tensor] | None = None,
    generator: torch.Generator | None = None,
    callback: Callable[[int, Tensor, Tensor], None] | None = None,
) -> Tensor:
    """From noise to latents with the released solver, in float32.

    Args:
        predict_v: (latents, timestep (B,) int64) -> the velocity, guided already, in the shape of `latents`.
        noise: (B, ...) standard normal.
        steps: of the run.
        schedule: None: that of CogVideoX-5B-I2V.
        noise_of: (step, draw) -> the noise of a draw in the shape of `noise`; see `DpmStep.draws`. It is called for
            each draw, also for those that are not added.
        generator: draws the noise where there is no `noise_of`, on its own device; None: torch's own.
        callback: called after each step as (step, clean latents, latents).

    Returns:
        (B, ...) float32.

    Raises:
        LumosXError: a number of steps without a schedule.
    """
    schedule = schedule or CogVideoXSchedule()
    if noise_of is None:
        device = generator.device if generator is not None else torch.device("cpu")

        def noise_of(step: int, draw: int) -> Tensor:
            return torch.randn(noise.shape, generator=generator, device=device)

    latents, previous = noise.float(), None
    for index, step in enumerate(schedule.steps(steps)):
        timestep = torch.full((len(latents),), step.timestep, dtype=torch.int64, device=latents.device)
        clean = step.clean(latents, predict_v(latents, timestep).float())
        drawn = [noise_of(index, draw) for draw in range(step.draws)][-1].to(latents)
        latents = step.advance(latents, clean, previous, drawn)
        previous = clean
        if callback is not None:
            callback(index, clean, latents)
    return latents


def _step(timestep: int, alpha: float, following: float, before: float | None) -> DpmStep:
    """One step from `alpha` to `following`; `before` is the level of the step before it, None in the first step."""
    now = _log_snr(alpha)
    h = _log_snr(following) - now
    second_order = before is not None and following < 1
    past = 0.0
    if second_order:
        assert before is not None
        past = h / (2 * (now - _log_snr(before)))  # 0 behind the first step, whose log-SNR is minus infinity
    return DpmStep(
        timestep=timestep,
        alpha=alpha,
        keep=math.sqrt((1 - following) / (1 - alpha)) * math.exp(-h),
        signal=-math.expm1(-2 * h) * math.sqrt(following),
        past=past,
        noise=math.sqrt(1 - following) * math.sqrt(-math.expm1(-2 * h)),
        draws=2 if second_order else 1,
    )


def _log_snr(alpha: float) -> float:
    """Half the logarithm of the signal-to-noise ratio."""
    if alpha <= 0:
        return -math.inf
    return 0.5 * (math.log(alpha) - math.log1p(-alpha)) if alpha < 1 else math.inf
