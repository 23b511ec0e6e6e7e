"""Last step: the released schedule and solver as stock SAMPLER and SIGMAS."""

from __future__ import annotations

from collections.abc import Callable

import comfy.samplers
from comfy_api.latest import io
from tqdm.auto import tqdm

from ..lumosx_core.sampling.schedule import flow_sigmas, timesteps_at
from ..lumosx_core.sampling.solver import SolverState, advance
from .bridges.best_of_bridge import Pause
from .bridges.comfy_bridge import TIMESTEP_KEY


class LumosXSampler(io.ComfyNode):
    """DPM-Solver++(2M) for flow matching, as released; ComfyUI's dpmpp_2m is made for other noise schedules."""

    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="LumosXSampler",
            display_name="LumosX Sampler",
            category="LumosX",
            description="The released solver, DPM-Solver++(2M) for flow matching. Connect it to SamplerCustomAdvanced "
            "together with LumosX Sigmas.",
            inputs=[],
            outputs=[io.Sampler.Output(tooltip="For SamplerCustomAdvanced.")],
        )

    @classmethod
    def execute(cls) -> io.NodeOutput:
        return io.NodeOutput(comfy.samplers.KSAMPLER(_sample))


class LumosXSigmas(io.ComfyNode):
    """The released noise schedule."""

    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="LumosXSigmas",
            display_name="LumosX Sigmas (noise schedule)",
            category="LumosX",
            description="The released noise schedule, for SamplerCustomAdvanced.",
            inputs=[
                io.Int.Input("steps", default=50, min=1, max=1000, tooltip="Sampling steps. Released: 50."),
                io.Float.Input(
                    "shift",
                    default=8.0,
                    min=0.01,
                    max=100.0,
                    step=0.1,
                    tooltip="Higher spends more steps on composition, fewer on detail. Released: 8.",
                ),
            ],
            outputs=[io.Sigmas.Output(tooltip="For SamplerCustomAdvanced.")],
        )

    @classmethod
    def execute(cls, steps, shift) -> io.NodeOutput:
        return io.NodeOutput(flow_sigmas(steps, shift))


def pausable(sampler: comfy.samplers.Sampler) -> Callable[[Pause], comfy.samplers.Sampler] | None:
    """From a pause to the same SAMPLER with it; None for any sampler but LumosX Sampler, as it cannot be paused."""
    if getattr(sampler, "sampler_function", None) is not _sample:
        return None
    return lambda pause: comfy.samplers.KSAMPLER(_sample, {"pause": pause})


def _sample(model, noise, sigmas, extra_args=None, callback=None, disable=None, pause=None):
    extra_args = extra_args or {}
    timesteps = timesteps_at(sigmas).tolist()
    model_options = extra_args.get("model_options", {})

    def predict_clean(latents, sigma, step):
        transformer_options = {**model_options.get("transformer_options", {}), TIMESTEP_KEY: timesteps[step]}
        options = {**model_options, "transformer_options": transformer_options}
        sigma = sigma * latents.new_ones([latents.shape[0]])
        return model(latents, sigma, **{**extra_args, "model_options": options})

    pause = Pause(None, len(timesteps), None) if pause is None else pause
    state = SolverState(0, noise) if pause.state is None else pause.state.to(noise.device)
    with tqdm(total=pause.until, initial=state.step, disable=disable) as bar:

        def report(step, clean, latents):
            bar.update()
            if callback is not None:
                callback({"i": step, "x": latents, "sigma": sigmas[step], "sigma_hat": sigmas[step], "denoised": clean})

        state = advance(predict_clean, state, sigmas, pause.until, report)
    if pause.keep is not None:
        pause.keep(state)
    return state.latents
