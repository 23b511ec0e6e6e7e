"""Guided sampling of an encoded scene: which images and which text the network gets in each pass of each step."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from torch import Tensor

from ..sampling.guidance import sample_guided
from ..sampling.schedule import sigma_at
from ..scene.encoded import EncodedScene

Velocity = Callable[[Tensor, Tensor, Tensor, "EncodedScene | None"], Tensor]
"""(latents (B, C, T, h, w), timestep (B,), text (B, n, text_dim), scene) -> velocity (B, C, T, h, w)."""


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
    callback: Callable[[int, Tensor, Tensor], None] | None = None,
) -> Tensor:
    """Turn noise into the latents of videos of a scene.

    Args:
        noise: (B, C, T, h, w), on the device that computes.
        text, negative_text: (1 or B, n, text_dim).
        scene: None: a video without references.
        steps, shift, cfg: as in `sample_guided`.
        schedule_shift: of the model's own schedule, by which start and end of a subject are counted.
        negative_references: "kept": the negative pass sees the images, as released; "dropped": it does not.

    Returns:
        (B, C, T, h, w).
    """
    texts = {negative: each.expand(len(noise), -1, -1) for negative, each in ((False, text), (True, negative_text))}
    level = partial(sigma_at, shift=schedule_shift)

    def predict(latents: Tensor, sigma: float, timestep: Tensor, negative: bool) -> Tensor:
        dropped = negative and negative_references == "dropped"
        seen = None if scene is None or dropped else scene.at(sigma, level)
        return velocity(latents, timestep, texts[negative], seen)

    return sample_guided(predict, noise, steps=steps, shift=shift, cfg=cfg, callback=callback)
