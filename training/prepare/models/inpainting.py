"""Backgrounds without people and things: the built-in fill, or an inpainting pipeline."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from lumosx_core.auto_scene.cutouts.background_fill import fill
from lumosx_core.errors import LumosXError, MissingPackageError
from lumosx_core.media.images import to_pil, to_tensor

from ..required import require_package, require_path
from ..scene_settings import BackgroundSettings

Inpaint = Callable[[Tensor, Tensor, int], Tensor]
"""An (H, W, 3) image of 0..1, an (H, W) mask that is 1 where it has to be filled, and a seed -> (H, W, 3)."""

_MULTIPLE = 16  # pixels: sizes that pipelines of latent diffusion take


def check_inpainting(settings: BackgroundSettings) -> None:
    """Raise what `open_inpainting` would of a missing package or folder, without loading anything."""
    if settings.method == "diffusers":
        require_package("diffusers", "Inpainting backgrounds")
        require_path("background.folder", settings.folder, "the folder of an inpainting pipeline of diffusers")


def open_inpainting(settings: BackgroundSettings) -> Inpaint:
    """What fills the gaps; nothing is downloaded.

    Raises:
        LumosXError: there is no pipeline in the folder, or it cannot be loaded.
        MissingPackageError: diffusers is not installed.
    """
    if settings.method == "diffusers":
        return DiffusersInpainting(settings)
    return lambda image, mask, seed: fill(image, mask)


class DiffusersInpainting:
    """Any inpainting pipeline of diffusers, such as FLUX.1-Fill. What is not masked stays as it is, to the bit."""

    def __init__(self, settings: BackgroundSettings):
        try:
            from diffusers import AutoPipelineForInpainting
        except ImportError as error:
            raise MissingPackageError("diffusers", "Inpainting backgrounds", error) from error
        dtype = torch.bfloat16 if settings.device == "cuda" else torch.float32
        try:
            pipeline: Any = AutoPipelineForInpainting.from_pretrained(
                settings.folder, torch_dtype=dtype, local_files_only=True
            )
        except Exception as error:  # a damaged or foreign folder makes diffusers raise almost anything
            raise LumosXError(
                f"Cannot load an inpainting pipeline from {settings.folder!r} ({type(error).__name__}: "
                f"{str(error)[:300]}). Give a folder in diffusers' layout, such as that of FLUX.1-Fill-dev."
            ) from error
        pipeline.set_progress_bar_config(disable=True)
        self._pipeline = pipeline.to(settings.device)
        self._settings = settings

    @torch.no_grad()
    def __call__(self, image: Tensor, mask: Tensor, seed: int) -> Tensor:
        height, width = image.shape[:2]
        high, wide = (max(_MULTIPLE, round(side / _MULTIPLE) * _MULTIPLE) for side in (height, width))
        painted = self._pipeline(
            prompt=self._settings.prompt,
            image=to_pil(image).resize((wide, high)),
            mask_image=to_pil(mask[..., None].expand(-1, -1, 3)).convert("L").resize((wide, high)),
            height=high,
            width=wide,
            num_inference_steps=self._settings.steps,
            generator=torch.Generator().manual_seed(seed),
        ).images[0]
        filled = to_tensor(painted.convert("RGB").resize((width, height)))
        weight = mask[..., None].clamp(0, 1)
        return image * (1 - weight) + filled * weight
