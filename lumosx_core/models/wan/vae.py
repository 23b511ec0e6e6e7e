"""The Wan 2.1 VAE: images to latents and latents to video, read from the native single file."""

from __future__ import annotations

import os

import torch
from torch import Tensor

from ...errors import LumosXError, MissingPackageError
from .names import read_state_dict
from .vae_cpu import arrange_for_cpu
from .wrong_file import not_a_vae

LATENT_CHANNELS = 16


class WanVae:
    """Encodes reference images and decodes videos.

    Latents are normalised per channel, (z - mean) / std with Wan's published constants, on both sides.
    Shapes: images and videos have H x W pixels (multiples of 8), latents h x w = H/8 x W/8.
    """

    def __init__(self, network):
        self.network = network.eval().requires_grad_(False)
        config = network.config
        parameter = next(network.parameters())
        self.device, self.dtype = parameter.device, parameter.dtype
        self._mean = torch.tensor(config.latents_mean, device=self.device).view(1, -1, 1, 1, 1)
        self._std = torch.tensor(config.latents_std, device=self.device).view(1, -1, 1, 1, 1)
        self._layout = torch.contiguous_format
        if self.device.type == "cpu" and self.dtype == torch.float32:
            arrange_for_cpu(self.network)
            self._layout = torch.channels_last_3d

    @classmethod
    def load(cls, path: str | os.PathLike, *, device="cpu", dtype: torch.dtype = torch.float32) -> WanVae:
        """Read a Wan 2.1 VAE in its original names (ComfyUI's safetensors or Wan's .pth); its width comes from shapes.

        Raises:
            LumosXError: the file is not a Wan 2.1 VAE, or tensors are missing.
            MissingPackageError: diffusers is not installed.
        """
        try:
            from diffusers import AutoencoderKLWan
            from diffusers.loaders.single_file_utils import convert_wan_vae_to_diffusers
        except ImportError as error:
            raise MissingPackageError("diffusers", "Encoding images and decoding videos", error) from error

        state_dict = read_state_dict(path)
        width = _width(path, state_dict)
        with torch.device("meta"):
            network = AutoencoderKLWan(base_dim=width, z_dim=LATENT_CHANNELS)
        converted = {
            name: tensor.to(dtype=dtype, device=device, copy=True)
            for name, tensor in convert_wan_vae_to_diffusers(state_dict).items()
        }
        expected = network.state_dict()
        faulty = [name for name in expected if name not in converted or converted[name].shape != expected[name].shape]
        if faulty:
            raise LumosXError(
                f"The VAE file {str(path)!r} is incomplete: {len(faulty)} of {len(expected)} tensors are missing or "
                f"have another shape, first {faulty[0]!r}. Download it again."
            )
        network.load_state_dict({name: converted[name] for name in expected}, assign=True)
        return cls(network)

    @torch.no_grad()
    def encode_images(self, images: Tensor) -> Tensor:
        """Encode each image as one frame of its own.

        Args:
            images: (R, H, W, 3) in 0..1.

        Returns:
            (1, 16, R, H/8, W/8) normalised mean latents, float32.
        """
        latents = [self._in_tiles_if_needed(self._encode, image[None, None]) for image in images]
        return torch.cat(latents, dim=2)

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
        return self._in_tiles_if_needed(self._encode, videos)

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
        return self._in_tiles_if_needed(self._decode, latents)[0].movedim(1, 0)

    def decode_frames(self, latents: Tensor) -> Tensor:
        """Decode one video, as `decode` does, to frames as they are shown: (4 * T - 3, H, W, 3) in 0..1."""
        return (self.decode(latents).movedim(1, -1) / 2 + 0.5).clamp(0, 1)

    def _encode(self, video: Tensor) -> Tensor:
        """(B, F, H, W, 3) in 0..1 -> (B, 16, T, h, w)."""
        video = (video.movedim(-1, 1) - 0.5) / 0.5  # (B, 3, F, H, W) in -1..1, which the network reads
        video = video.to(self.device, self.dtype, memory_format=self._layout)
        mean = self.network.encode(video).latent_dist.mode()
        return (mean.float() - self._mean) / self._std

    def _decode(self, latents: Tensor) -> Tensor:
        raw = latents.to(self.device).float() * self._std + self._mean
        raw = raw.to(self.dtype, memory_format=self._layout)
        return self.network.decode(raw).sample.float()

    def _in_tiles_if_needed(self, work, tensor: Tensor) -> Tensor:
        """Do the work on the whole image; where the device's memory is too small, in overlapping tiles."""
        try:
            return work(tensor)
        except RuntimeError as error:
            # MPS has no type of its own for it.
            out_of_memory = isinstance(error, torch.OutOfMemoryError) or "out of memory" in str(error)
            if not out_of_memory or self.network.use_tiling:
                raise
        # Outside the except clause: the exception holds the frames, and with them the memory, of the failed try.
        torch.cuda.empty_cache()
        self.network.enable_tiling()
        try:
            return work(tensor)
        finally:
            self.network.disable_tiling()


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
