"""The VAE of CogVideoX as a VAE of ComfyUI, computed by diffusers' class.

Newer hosts have a VAE of CogVideoX of their own. It is not used: it always encodes to the mean of the posterior, and
its decoder normalises over the whole clip where the released one normalises over parts of two latent frames.
"""

from __future__ import annotations

import comfy.model_patcher
import comfy.sd
import torch
from torch import Tensor

from ...lumosx_core.errors import LumosXError
from ...lumosx_core.models.cogvideox.vae import CogVideoXVae

TEMPORAL, SPATIAL = 4, 8  # frames of a latent frame, pixels of a latent pixel along each side
CHUNK = 9  # frames that the decoder has in memory at once, at most
BYTES_A_PIXEL = 256 * 6  # of activations, times the size of a number: 256 channels in six copies


class CogVideoXHostVae(comfy.sd.VAE):
    """A VAE whose latents are not scaled: scaling is part of ComfyUI's MODEL."""

    def __init__(self, vae: CogVideoXVae):
        super().__init__(sd={"pixel_space_vae": torch.tensor(1.0)})  # for devices, dtypes, and whatever a host adds
        self.first_stage_model = _Autoencoder(vae).to(self.vae_dtype)
        self.latent_channels = vae.channels
        self.latent_dim = 3
        self.disable_offload = True  # its layers are not ComfyUI's, so they cannot fetch weights one by one
        self.size = None
        self.upscale_ratio = (lambda frames: max(0, frames * TEMPORAL - 3), SPATIAL, SPATIAL)
        self.upscale_index_formula = (TEMPORAL, SPATIAL, SPATIAL)
        self.downscale_ratio = (lambda frames: max(0, (frames + 3) // TEMPORAL), SPATIAL, SPATIAL)
        self.downscale_index_formula = (TEMPORAL, SPATIAL, SPATIAL)
        self.memory_used_encode = lambda shape, dtype: _bytes(shape[2], shape[3] * shape[4], dtype)
        self.memory_used_decode = lambda shape, dtype: _bytes(
            TEMPORAL * shape[2], shape[3] * shape[4] * SPATIAL**2, dtype
        )
        self.patcher = comfy.model_patcher.ModelPatcher(
            self.first_stage_model, load_device=self.patcher.load_device, offload_device=self.patcher.offload_device
        )
        self.model_size()


def _bytes(frames: int, pixels: int, dtype: torch.dtype) -> int:
    return min(CHUNK, frames) * pixels * BYTES_A_PIXEL * dtype.itemsize


class _Autoencoder(torch.nn.Module):
    def __init__(self, vae: CogVideoXVae):
        super().__init__()
        self.network = vae.network

    def encode(self, pixels: Tensor) -> Tensor:
        """(B, 3, F, H, W) of -1..1 -> (B, C, T, h, w), sampled, always with the same noise."""
        posterior = self.network.encode(pixels).latent_dist
        noise = torch.randn(posterior.mean.shape, generator=torch.Generator().manual_seed(0))
        return posterior.mean + posterior.std * noise.to(posterior.mean)

    def decode(self, latents: Tensor) -> Tensor:
        """(B, C, T, h, w) -> (B, 3, F, H, W) of about -1..1."""
        return self.network.decode(latents).sample


def encode_canvas(vae, canvas: Tensor, channels: int) -> Tensor:
    """The conditioning image as one frame.

    Args:
        canvas: (H, W, 3), 0..1.

    Returns:
        (1, C, 1, h, w), not scaled.

    Raises:
        LumosXError: the VAE is of another model.
    """
    height, width, _ = canvas.shape
    latent = vae.encode(canvas[None])
    expected = (1, channels, 1, height // SPATIAL, width // SPATIAL)
    if tuple(latent.shape) != expected:
        raise LumosXError(
            f"The VAE encodes an image of {width}x{height} to a latent of shape {tuple(latent.shape)}, but "
            f"Ingredients (CogVideoX) needs {expected}. Use the VAE of CogVideoX, with Ingredients (CogVideoX) Load VAE."
        )
    return latent
