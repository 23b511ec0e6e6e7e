"""Sampling of Ingredients (CogVideoX): the released solver and schedule as stock SAMPLER and SIGMAS."""

from __future__ import annotations

import math
from collections.abc import Callable

import comfy.samplers
import torch
from comfy_api.latest import io
from torch import Tensor
from tqdm.auto import tqdm

from ...lumosx_core.models.cogvideox.dpm import CogVideoXSchedule, DpmStep, dpm_steps
from ...lumosx_core.models.ingredients.spec import SPEC
from ..bridges.ingredients.model import schedule_of_model
from ..bridges.ingredients.settings import noise_levels
from ..inputs.host_schema import found_by
from .load import CATEGORY

SAME = 1e-4  # relative distance of two noise levels that are the same

NoiseOf = Callable[[int, int], Tensor]
"""(step, draw) -> the noise of a draw, in the shape of the latents."""


class IngredientsSampler(io.ComfyNode):
    """CogVideoX's own stochastic DPM-Solver++(2M), as released."""

    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="IngredientsSampler",
            display_name="Ingredients (CogVideoX) Sampler",
            **found_by("CogVideoX", "DPM"),
            category=CATEGORY,
            description="The released solver of CogVideoX. Connect it to SamplerCustomAdvanced together with "
            "Ingredients (CogVideoX) Sigmas. KSampler with dpmpp_2m_sde and simple comes close to it.",
            inputs=[],
            outputs=[io.Sampler.Output(tooltip="For SamplerCustomAdvanced.")],
        )

    @classmethod
    def execute(cls) -> io.NodeOutput:
        return io.NodeOutput(comfy.samplers.KSAMPLER(sample_as_released))


class IngredientsSigmas(io.ComfyNode):
    """CogVideoX's own timesteps."""

    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="IngredientsSigmas",
            display_name="Ingredients (CogVideoX) Sigmas (noise schedule)",
            **found_by("CogVideoX", "scheduler"),
            category=CATEGORY,
            description="The released noise schedule of CogVideoX, for SamplerCustomAdvanced.",
            inputs=[
                io.Int.Input(
                    "steps", default=SPEC.steps, min=1, max=1000, tooltip=f"Sampling steps. Released: {SPEC.steps}."
                ),
                io.Model.Input(
                    "model",
                    optional=True,
                    tooltip="From Ingredients (CogVideoX) Load Model. Only needed for a network that was released with "
                    "another noise schedule.",
                ),
            ],
            outputs=[io.Sigmas.Output(tooltip="For SamplerCustomAdvanced.")],
        )

    @classmethod
    def execute(cls, steps, model=None) -> io.NodeOutput:
        schedule = CogVideoXSchedule() if model is None else schedule_of_model(model.model)
        levels = noise_levels(schedule)[schedule.timesteps(steps)]
        return io.NodeOutput(torch.cat([levels, torch.zeros(1)]))


def sample_as_released(
    model, noise, sigmas, extra_args=None, callback=None, disable=None, noise_of: NoiseOf | None = None
) -> Tensor:
    """A sampler function of ComfyUI that computes what `sample_dpm` does.

    Args:
        noise: the start, scaled by ComfyUI: clean latents + sigma * noise.
        sigmas: (steps + 1,).
        noise_of: the noise that is added; None: drawn on the CPU from the seed after the start's.
    """
    extra_args = extra_args or {}
    if noise_of is None:
        # One further than the start, which ComfyUI draws from the seed itself.
        generator = torch.Generator().manual_seed(((extra_args.get("seed") or 0) + 1) % 2**64)

        def noise_of(step: int, draw: int) -> Tensor:
            return torch.randn(noise.shape, generator=generator)

    levels = [float(sigma) for sigma in sigmas]
    latents, previous = noise / math.sqrt(1 + levels[0] ** 2), None
    schedule = schedule_of_model(model.inner_model.model_patcher.model)
    for index, step in enumerate(tqdm(_steps(levels, schedule), disable=disable)):
        sigma, scale = levels[index], math.sqrt(1 + levels[index] ** 2)
        denoised = model(latents * scale, sigma * latents.new_ones([len(latents)]), **extra_args)
        # ComfyUI's first level is not quite pure noise, CogVideoX's is: so the velocity is taken, which has no level.
        clean = step.clean(latents, (latents - scale * denoised) / sigma)
        if callback is not None:
            callback({"i": index, "x": latents * scale, "sigma": sigma, "sigma_hat": sigma, "denoised": clean})
        drawn = [noise_of(index, draw) for draw in range(step.draws)][-1]
        latents = step.advance(latents, clean, previous, drawn.to(latents))
        previous = clean
    return latents * math.sqrt(1 + levels[-1] ** 2)


def _steps(sigmas: list[float], schedule: CogVideoXSchedule) -> list[DpmStep]:
    """The released steps where the sigmas are a whole released schedule, else steps between these very levels."""
    table = noise_levels(schedule)
    distances = (table.log()[:, None] - torch.tensor(sigmas[:-1]).log()).abs()
    timesteps = distances.argmin(dim=0).tolist()
    on_table = bool((distances.amin(dim=0) < SAME).all())
    if on_table and sigmas[-1] == 0 and timesteps == schedule.timesteps(len(timesteps)).tolist():
        return schedule.steps(len(timesteps))
    alphas = schedule.alphas_cumprod
    exact = [
        float(alphas[timestep]) if distance < SAME else 1 / (1 + sigma**2)
        for sigma, timestep, distance in zip(sigmas, timesteps, distances.amin(dim=0).tolist(), strict=False)
    ]
    return dpm_steps([*exact, 1 / (1 + sigmas[-1] ** 2)], timesteps)
