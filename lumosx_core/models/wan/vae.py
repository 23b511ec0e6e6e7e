"""The Wan 2.1 VAE: images to latents and latents to video, read from the native single file."""

from __future__ import annotations

import os

import torch
from torch import Tensor

from ...errors import LumosXError
from .names import read_state_dict
from .tiles import in_tiles
from .vae_cpu import arrange_for_cpu
from .vae_network import LATENT_CHANNELS, WanVaeNetwork
from .wrong_file import not_a_vae

# Of each latent channel, as published with Wan2.1.
LATENT_MEAN = (
    *(-0.7571, -0.7089, -0.9113, 0.1075, -0.1745, 0.9653, -0.1517, 1.5508),
    *(0.4134, -0.0715, 0.5517, -0.3632, -0.1922, -0.9497, 0.2503, -0.2921),
)
LATENT_STD = (
    *(2.8184, 1.4541, 2.3275, 2.6558, 1.2196, 1.7708, 2.6052, 2.0743),
    *(3.2687, 2.1526, 2.8652, 1.5579, 1.6382, 1.1253, 2.8251, 1.9160),
)
_PIXELS = 8  # of a side for each pixel of latents
_TILE, _OVERLAP = 256, 64  # pixels


class WanVae:
    """Encodes reference images and decodes videos.

    Latents are normalised per channel, (z - mean) / std with Wan's published constants, on both sides.
    Shapes: images and videos have H x W pixels (multiples of 8), latents h x w = H/8 x W/8.
    """

    def __init__(self, network: WanVaeNetwork):
        self.network = network.eval().requires_grad_(False)
        parameter = next(network.parameters())
        self.device, self.dtype = parameter.device, parameter.dtype
        self._mean = torch.tensor(LATENT_MEAN, device=self.device).view(1, -1, 1, 1, 1)
        self._std = torch.tensor(LATENT_STD, device=self.device).view(1, -1, 1, 1, 1)
        self._layout: torch.memory_format = torch.contiguous_format
        if self.device.type == "cpu" and self.dtype == torch.float32:
            arrange_for_cpu(self.network)
            self._layout = torch.channels_last_3d

    @classmethod
    def load(cls, path: str | os.PathLike, *, device="cpu", dtype: torch.dtype = torch.float32) -> WanVae:
        """Read a Wan 2.1 VAE in its original names (ComfyUI's safetensors or Wan's .pth); its width comes from shapes.

        Raises:
            LumosXError: the file is not a Wan 2.1 VAE, or tensors are missing.
        """
        state_dict = read_state_dict(path)
        with torch.device("meta"):
            network = WanVaeNetwork(_width(path, state_dict))
        expected = network.state_dict()
        faulty = [name for name in expected if name not in state_dict or state_dict[name].shape != expected[name].shape]
        if faulty:
            raise LumosXError(
                f"The VAE file {str(path)!r} is incomplete: {len(faulty)} of {len(expected)} tensors are missing or "
                f"have another shape, first {faulty[0]!r}. Download it again."
            )
        weights = {name: state_dict[name].to(dtype=dtype, device=device, copy=True) for name in expected}
        network.load_state_dict(weights, assign=True)
        return cls(network)

    @torch.no_grad()
    def encode_images(self, images: Tensor) -> Tensor:
        """Encode each image as one frame of its own.

        Args:
            images: (R, H, W, 3) in 0..1.

        Returns:
            (1, 16, R, H/8, W/8) normalised mean latents, float32.
        """
        return torch.cat([self._encode(image[None, None]) for image in images], dim=2)

    def encode_video(self, frames: Tensor) -> Tensor:
        """Encode one video.

        Args:
            frames: (F, H, W, 3) in 0..1; F is one more than a multiple of 4.

        Returns:
            (1, 16, (F - 1) / 4 + 1, H/8, W/8) normalised mean latents, float32.

        Raises:
            LumosXError: the VAE does not take this size.
        """
        return self.encode_videos(frames[None])

    @torch.no_grad()
    def encode_videos(self, videos: Tensor) -> Tensor:
        """Encode several videos at once, which for small ones is faster.

        Args:
            videos: (B, F, H, W, 3) in 0..1; F is one more than a multiple of 4.

        Returns:
            (B, 16, (F - 1) / 4 + 1, H/8, W/8) normalised mean latents, float32; equal to those of each video alone
            but for rounding.

        Raises:
            LumosXError: the VAE does not take this size.
        """
        if videos.ndim != 5 or videos.shape[4] != 3 or videos.shape[1] % 4 != 1 or 0 in videos.shape:
            raise LumosXError(
                f"The VAE encodes videos of shape (batch, frames, height, width, 3) with 4n + 1 frames, but got "
                f"{tuple(videos.shape)}. Cut the video to 4n + 1 RGB frames."
            )
        if videos.shape[2] % 8 or videos.shape[3] % 8:
            raise LumosXError(
                f"The VAE encodes videos whose sides are multiples of 8, but this one has {videos.shape[2]} x "
                f"{videos.shape[3]} pixels. Scale or cut it."
            )
        return self._encode(videos)

    @torch.no_grad()
    def decode(self, latents: Tensor) -> Tensor:
        """Decode one video.

        Args:
            latents: (1, 16, T, h, w) normalised.

        Returns:
            (4 * T - 3, 3, H, W) in -1..1, float32.
        """
        if latents.ndim != 5 or latents.shape[0] != 1 or latents.shape[1] != LATENT_CHANNELS:
            raise LumosXError(
                f"The VAE decodes one video at a time, latents of shape (1, 16, frames, height, width), but got "
                f"{tuple(latents.shape)}. Give one video of the batch."
            )
        return self._decode(latents)[0].movedim(1, 0)

    def decode_frames(self, latents: Tensor) -> Tensor:
        """Decode one video, as `decode` does, to frames as they are shown: (4 * T - 3, H, W, 3) in 0..1."""
        return (self.decode(latents).movedim(1, -1) / 2 + 0.5).clamp(0, 1)

    def _encode(self, video: Tensor) -> Tensor:
        """(B, F, H, W, 3) in 0..1 -> (B, 16, T, h, w)."""
        video = (video.movedim(-1, 1) - 0.5) / 0.5  # (B, 3, F, H, W) in -1..1, which the network reads
        video = video.to(self.device, self.dtype, memory_format=self._layout)
        mean = _whole_or_in_tiles(lambda part: self.network.encode(part)[0], video, _TILE, _OVERLAP, 1 / _PIXELS)
        return (mean.float() - self._mean) / self._std

    def _decode(self, latents: Tensor) -> Tensor:
        raw = latents.to(self.device).float() * self._std + self._mean
        raw = raw.to(self.dtype, memory_format=self._layout)
        tile, overlap = _TILE // _PIXELS, _OVERLAP // _PIXELS
        return _whole_or_in_tiles(self.network.decode, raw, tile, overlap, _PIXELS).float()


def _whole_or_in_tiles(work, x: Tensor, size: int, overlap: int, ratio: float) -> Tensor:
    """Do the work on the whole image; where the device's memory is too small, in overlapping tiles."""
    try:
        return work(x)
    except RuntimeError as error:
        # MPS has no type of its own for it.
        out_of_memory = isinstance(error, torch.OutOfMemoryError) or "out of memory" in str(error)
        if not out_of_memory or max(x.shape[-2:]) <= size:
            raise
    # Outside the except clause: the exception holds the frames, and with them the memory, of the failed try.
    torch.cuda.empty_cache()
    return in_tiles(work, x, size=size, overlap=overlap, ratio=ratio)


def _width(path, state_dict: dict[str, Tensor]) -> int:
    """Channels of the outermost layers, or an error that says what the file holds instead."""
    if "decoder.upsamples.0.upsamples.0.residual.2.weight" in state_dict:
        raise LumosXError(
            f"{str(path)!r} is the VAE of Wan 2.2 (48 channels); LumosX needs the one of Wan 2.1, e.g. "
            f"wan_2.1_vae.safetensors."
        )
    width = state_dict.get("decoder.head.0.gamma")
    latent = state_dict.get("conv2.weight")
    if width is None or latent is None or latent.shape[0] != LATENT_CHANNELS:
        raise LumosXError(f"{str(path)!r} {not_a_vae(state_dict)} Give a file like wan_2.1_vae.safetensors.")
    return width.shape[0]
