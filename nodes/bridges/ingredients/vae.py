"""The VAE of CogVideoX as a VAE of ComfyUI, computed by diffusers' class.

Newer hosts have a VAE of CogVideoX of their own. It is not used: it always encodes to the mean of the posterior, and
its decoder normalises over the whole clip where the released one normalises over parts of two latent frames.
"""

from __future__ import annotations

import comfy.model_patcher
import comfy.sd
import torch
from torch import Tensor

from ....lumosx_core.errors import LumosXError
from ....lumosx_core.models.cogvideox.vae import SPATIAL_STRIDE, TEMPORAL_STRIDE, CogVideoXVae
from ....lumosx_core.models.latent_cache import LatentCache

LATENTS = LatentCache()  # of the last conditioning images, so that another prompt does not encode them again
CHUNK = 9  # frames that the decoder has in memory at once, at most
NUMBERS_A_PIXEL = 256 * 6  # of activations: 256 channels in about six copies


class CogVideoXHostVae(comfy.sd.VAE):
    """A VAE whose latents are not scaled: scaling is part of ComfyUI's MODEL."""

    def __init__(self, vae: CogVideoXVae):
        super().__init__(sd={"pixel_space_vae": torch.tensor(1.0)})  # for devices, dtypes, and whatever a host adds
        self.first_stage_model = CogVideoXAutoencoder(vae).to(self.vae_dtype)
        self.latent_channels = vae.config.latent_channels
        self.latent_dim = 3
        self.process_input = self.process_output = lambda pixels: pixels  # 0..1 on both sides
        self.disable_offload = True  # its layers are not ComfyUI's, so they cannot fetch weights one by one
        self.size = None
        self.upscale_ratio = (lambda frames: max(0, frames * TEMPORAL_STRIDE - 3), SPATIAL_STRIDE, SPATIAL_STRIDE)
        self.upscale_index_formula = (TEMPORAL_STRIDE, SPATIAL_STRIDE, SPATIAL_STRIDE)
        self.downscale_ratio = (lambda frames: max(0, (frames + 3) // TEMPORAL_STRIDE), SPATIAL_STRIDE, SPATIAL_STRIDE)
        self.downscale_index_formula = (TEMPORAL_STRIDE, SPATIAL_STRIDE, SPATIAL_STRIDE)
        self.memory_used_encode = lambda shape, dtype: _bytes(shape[2], shape[3] * shape[4], dtype)
        self.memory_used_decode = lambda shape, dtype: _bytes(
            TEMPORAL_STRIDE * shape[2], shape[3] * shape[4] * SPATIAL_STRIDE**2, dtype
        )
        made: comfy.model_patcher.ModelPatcher = self.patcher  # type: ignore[has-type]
        self.patcher = comfy.model_patcher.ModelPatcher(
            self.first_stage_model, load_device=made.load_device, offload_device=made.offload_device
        )
        self.model_size()


def _bytes(frames: int, pixels: int, dtype: torch.dtype) -> int:
    return min(CHUNK, frames) * pixels * NUMBERS_A_PIXEL * dtype.itemsize


class CogVideoXAutoencoder(torch.nn.Module):
    """The core's VAE with the interface of ComfyUI's networks: channels first, latents not scaled."""

    def __init__(self, vae: CogVideoXVae):
        super().__init__()
        self.network = vae.network
        self._vae = vae

    def encode(self, pixels: Tensor) -> Tensor:
        """(B, 3, F, H, W) of 0..1 -> (B, C, T, h, w), sampled, always with the same noise."""
        return self._on(pixels).encode_videos(pixels.movedim(1, -1)) / self._vae.config.scaling_factor

    def decode(self, latents: Tensor) -> Tensor:
        """(B, C, T, h, w) -> (B, 3, 4 * T - 3, H, W) of 0..1."""
        vae = self._on(latents)
        videos = [vae.decode_frames(video * vae.config.scaling_factor) for video in latents.split(1)]
        return torch.stack(videos).movedim(-1, 1)

    def _on(self, x: Tensor) -> CogVideoXVae:
        """The VAE where ComfyUI has put its weights."""
        self._vae.device, self._vae.dtype = x.device, x.dtype
        return self._vae


def check_vae(vae) -> None:
    """Raise LumosXError unless this is a VAE of CogVideoX, ours or ComfyUI's own; Wan's gives such latents, too."""
    kind = type(vae.first_stage_model).__name__
    if not isinstance(vae.first_stage_model, CogVideoXAutoencoder) and kind != "AutoencoderKLCogVideoX":
        raise LumosXError(
            f"The VAE is of another model ({kind}), but Ingredients (CogVideoX) needs the VAE of CogVideoX. Connect "
            "Ingredients (CogVideoX) Load VAE."
        )


def encode_canvas(vae, canvas: Tensor) -> Tensor:
    """The conditioning image as one frame.

    Args:
        vae: that `check_vae` accepts.
        canvas: (H, W, 3), 0..1.

    Returns:
        (1, C, 1, h, w), not scaled.
    """
    settings = (vae.patcher.patches_uuid, vae.vae_dtype)
    return LATENTS.encoded(vae, canvas[None], vae.encode, settings)
