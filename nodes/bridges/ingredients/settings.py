"""Ingredients (CogVideoX) as ComfyUI describes models: latents, previews, dtypes and noise levels."""

from __future__ import annotations

from functools import partial
from typing import Any, ClassVar

import comfy.latent_formats
import comfy.model_sampling
import comfy.supported_models_base
import torch
from torch import Tensor

from ....lumosx_core.models.cogvideox.dpm import CogVideoXSchedule
from ....lumosx_core.models.ingredients.config import IngredientsConfig

SCALE = 0.7
DTYPES = [torch.bfloat16, torch.float32]  # float16 is left out: the base model was released in bfloat16 and overflows
# Rough colours of each latent channel, for previews while sampling: those that CogVideoX nodes for ComfyUI are known to
# use, rounded; not measured here. ComfyUI's own latent formats of CogVideoX have none.
PREVIEW_COLOURS = [
    [0.1195, 0.0992, -0.0048],
    [-0.0012, 0.0550, 0.0213],
    [-0.0141, -0.0087, -0.0210],
    [0.0306, 0.1219, 0.0140],
    [0.0927, 0.0303, 0.0508],
    [0.0379, 0.0494, 0.0586],
    [0.0177, 0.0088, 0.0360],
    [0.1061, 0.0234, 0.0572],
    [0.1274, -0.0110, 0.0433],
    [-0.0187, 0.0822, 0.1061],
    [0.0084, 0.0762, 0.0930],
    [0.1294, 0.1236, 0.0448],
    [0.0457, 0.0411, -0.0177],
    [0.0002, -0.0140, 0.0533],
    [0.0808, 0.1155, -0.0215],
    [-0.0152, -0.0058, 0.0722],
]


class LatentFormat(comfy.latent_formats.LatentFormat):
    """Latents of so many channels, as the VAE gives them, and as the network sees them: times 0.7."""

    latent_dimensions = 3
    temporal_downscale_ratio = 4

    def __init__(self, channels: int):
        self.latent_channels = channels
        self.scale_factor = SCALE
        if channels == len(PREVIEW_COLOURS):  # a miniature has other channels
            self.latent_rgb_factors = PREVIEW_COLOURS


class Settings(comfy.supported_models_base.BASE):
    """ComfyUI's description of the model."""

    unet_extra_config: ClassVar[dict[str, Any]] = {}
    # "linear" is ComfyUI's name for what diffusers calls scaled_linear.
    sampling_settings: ClassVar[dict[str, Any]] = {
        "beta_schedule": "linear",
        "linear_start": CogVideoXSchedule.beta_start,
        "linear_end": CogVideoXSchedule.beta_end,
        "zsnr": True,
    }
    supported_inference_dtypes = DTYPES
    memory_usage_factor = 1.2  # counted from the shapes: about 3 GB for both branches at the released size

    def __init__(self, config: IngredientsConfig):
        self.latent_format = partial(LatentFormat, config.transformer.out_channels)
        super().__init__({"config": config})


def noise_levels(schedule: CogVideoXSchedule) -> Tensor:
    """(timesteps,) the sigma of each timestep, in units of the signal; the last is large, not infinite."""
    levels = comfy.model_sampling.ModelSamplingDiscrete(Settings(IngredientsConfig())).sigmas
    if schedule == CogVideoXSchedule():
        return levels  # ComfyUI's own table, which its schedulers choose from
    alphas = schedule.alphas_cumprod[:-1]
    return torch.cat([((1 - alphas) / alphas).sqrt().float(), levels[-1:]])
