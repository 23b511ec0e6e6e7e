"""Guided sampling of an encoded scene: which images and which text the network gets in each pass of each step."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from torch import Tensor

from ..sampling.guidance import guided_prediction
from ..sampling.schedule import flow_sigmas, sigma_at
from ..sampling.solver import PredictClean, StepReport, sample_dpmpp_2m
from ..scene.encoded import EncodedScene

Velocity = Callable[[Tensor, Tensor, Tensor, "EncodedScene | None"], Tensor]
"""(latents (B, C, T, h, w), timestep (B,), text (B, n, text_dim), scene) -> velocity (B, C, T, h, w)."""


def scene_prediction(
    velocity: Velocity,
    text: Tensor,
    negative_text: Tensor,
    scene: EncodedScene | None,
    *,
    steps: int,
    shift: float,
    cfg: float,
    schedule_shift: float,
    negative_references: str = "kept",
) -> PredictClean:
    """What the solver asks of a network that is given a scene.

    Args:
        text, negative_text: (1 or B, n, text_dim).
        scene: None: a video without references.
        steps, shift, cfg: as in `guided_prediction`.
        schedule_shift: of the model's own schedule, by which start and end of a subject are counted.
        negative_references: "kept": the negative pass sees the images, as released; "dropped": it does not;
            "zeroed": it sees zeros for their latents, as Phantom's.
    """
    level = partial(sigma_at, shift=schedule_shift)
    of_negative = scene
    if scene is not None and negative_references != "kept":
        of_negative = scene.zeroed() if negative_references == "zeroed" else None

    def predict(latents: Tensor, sigma: float, timestep: Tensor, negative: bool) -> Tensor:
        shown = of_negative if negative else scene
        seen = None if shown is None else shown.at(sigma, level)
        words = (negative_text if negative else text).expand(len(latents), -1, -1)
        return velocity(latents, timestep, words, seen)

    return guided_prediction(predict, steps=steps, shift=shift, cfg=cfg)


def sample_scene(
    velocity: Velocity,
    noise: Tensor,
    text: Tensor,
    negative_text: Tensor,
    scene: EncodedScene | None,
    *,
    steps: int,
    shift: float,
    cfg: float,
    schedule_shift: float,
    negative_references: str = "kept",
    callback: StepReport | None = None,
) -> Tensor:
    """Turn noise into the latents of videos of a scene; arguments as in `scene_prediction`.

    Args:
        noise: (B, C, T, h, w), on the device that computes.

    Returns:
        (B, C, T, h, w).
    """
    predict_clean = scene_prediction(
        velocity,
        text,
        negative_text,
        scene,
        steps=steps,
        shift=shift,
        cfg=cfg,
        schedule_shift=schedule_shift,
        negative_references=negative_references,
    )
    return sample_dpmpp_2m(predict_clean, noise, flow_sigmas(steps, shift), callback)
