"""Guided sampling of encoded faces with the released solver."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from ..cogvideox.dpm import CogVideoXSchedule, sample_dpm
from ..cogvideox.positions import rotary_table
from .conditions import FaceConditions
from .model import IngredientsModel, Observer


class StepNoise:
    """The noise that the solver adds, drawn on the CPU, so that every device makes the same video.

    Args:
        shape: of the latents, (B, C, T, h, w).
        seed: of the video; its start noise is another draw.
    """

    def __init__(self, shape: torch.Size, seed: int):
        self.shape = shape
        self.generator = torch.Generator().manual_seed((seed + 1) % 2**64)

    def __call__(self, step: int, draw: int) -> Tensor:
        return torch.randn(self.shape, generator=self.generator, dtype=torch.float32)


def sample_faces(
    model: IngredientsModel,
    noise: Tensor,
    text: Tensor,
    negative_text: Tensor,
    faces: FaceConditions,
    *,
    steps: int,
    cfg: float,
    seed: int,
    snr_shift: float = 1.0,
    guidance: str = "shared",
    observe: Observer | None = None,
    callback: Callable[[int, Tensor, Tensor], None] | None = None,
) -> Tensor:
    """Turn noise into the latents of videos that show these faces.

    Args:
        noise: (B, C, T, h, w), on the device that computes.
        text, negative_text: (1 or B, 226, text_dim).
        faces: on the same device.
        steps: of the schedule, spaced as released.
        cfg: guidance, constant; 1 does without the negative prompt.
        seed: of the noise that is added in each step.
        snr_shift: by which the schedule's signal-to-noise ratio is divided.
        guidance, observe: see `IngredientsModel.forward`.
        callback: as in `sample_dpm`.

    Returns:
        (B, C, T, h, w) float32.
    """
    videos, _, frames, height, width = noise.shape
    dtype = next(model.parameters()).dtype
    guided = cfg != 1
    branches = [negative_text, text] if guided else [text]  # in the released order
    texts = torch.cat([each.expand(videos, -1, -1) for each in branches]).to(dtype)
    prepared = model.prepare_faces(model.encode_faces(faces.id_cond.to(dtype), faces.id_vit_hidden.to(dtype)))
    image = faces.image_latents.to(dtype).transpose(1, 2).expand(len(texts), -1, -1, -1, -1)  # (rows, T, C, h, w)
    rope = rotary_table(model.config.transformer, frames, height, width, noise.device)

    def predict_v(latents: Tensor, timestep: Tensor) -> Tensor:
        rows = latents.to(dtype).transpose(1, 2).repeat(len(branches), 1, 1, 1, 1)
        predicted = model(
            torch.cat([rows, image], dim=2),
            timestep.repeat(len(branches)),
            texts,
            prepared,
            rope=rope,
            guidance=guidance if guided else "per_branch",
            observe=observe,
        )
        predicted = predicted.float().transpose(1, 2)
        if not guided:
            return predicted
        negative, positive = predicted.chunk(2)
        return negative + cfg * (positive - negative)

    schedule = CogVideoXSchedule(snr_shift_scale=snr_shift)
    noise_of = StepNoise(noise.shape, seed)
    return sample_dpm(predict_v, noise, steps, schedule, noise_of=noise_of, callback=callback)
