"""The VAE of CogVideoX: images to latents and latents to video, through diffusers' AutoencoderKLCogVideoX."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ...errors import LumosXError, MissingPackageError, shown
from ...files.formats.unwrapped_names import unwrapped_names
from ...files.read_weights import open_weights
from .vae_config import VaeConfig, vae_config

SPATIAL_STRIDE, TEMPORAL_STRIDE = 8, 4
_WRAPPERS = ("first_stage_model.", "vae.", "module.")
_FIRST = ("encoder.conv_in.conv.weight", "decoder.conv_in.conv.weight")
_WHERE_TO_GET = "Give the folder vae that was released with the network, or a file such as cogvideox_vae.safetensors."


def is_cogvideox_vae(names: Collection[str]) -> bool:
    """Whether tensors of these names are a CogVideoX VAE, perhaps an incomplete one."""
    return all(name in names for name in _FIRST)


def not_a_cogvideox_vae(names: Collection[str]) -> str:
    """What tensors of these names are instead of a CogVideoX VAE, for messages."""
    if any(name.startswith(("encoder.downsamples.", "decoder.upsamples.", "decoder.middle.")) for name in names):
        return "is the VAE of Wan, not that of CogVideoX."
    if any(name in names for name in _FIRST):
        return "is a part of a CogVideoX VAE, or one of another size."
    if any(
        name.startswith(("encoder.down.", "decoder.up.", "encoder.down_blocks.", "decoder.up_blocks."))
        for name in names
    ):
        return "is the VAE of another model, such as Stable Diffusion, not that of CogVideoX."
    kinds = {
        "a text encoder": ("encoder.block.", "shared.", "text_model."),
        "a video or image network": ("blocks.", "patch_embed", "transformer_blocks.", "double_blocks."),
        "a VAE": ("encoder.", "decoder."),
    }
    kind = next((kind for kind, starts in kinds.items() if any(name.startswith(starts) for name in names)), None)
    found = ", ".join(shown(name, 80) for name in sorted(names)[:3]) or "no tensors"
    return f"{f'is {kind} and' if kind else 'is'} not the VAE of CogVideoX (found {found})."


class CogVideoXVae:
    """Encodes the conditioning image and decodes videos.

    Latents are multiplied by the scaling factor (0.7), as the transformer sees them. The VAE draws latents from its
    posterior, as upstream does: with `generator`, or with one of seed 0 made for the call, so that the same images
    always have the same latents.

    Shapes: images and videos have H x W pixels (multiples of 8), latents C channels and h x w = H/8 x W/8.
    """

    def __init__(self, network: Any, config: VaeConfig):
        self.network = network.eval().requires_grad_(False)
        self.config = config
        # diffusers' tiles, half as high and wide as what it was trained on, overlap by a sixth and a fifth. Only where
        # that is a whole number of latent pixels does the result have its right size.
        tall, broad = 6 * SPATIAL_STRIDE, 5 * SPATIAL_STRIDE
        network.enable_tiling(
            max(config.sample_height // 2 // tall, 1) * tall, max(config.sample_width // 2 // broad, 1) * broad
        )
        network.use_tiling = False
        parameter = next(network.parameters())
        self.device, self.dtype = parameter.device, parameter.dtype

    @classmethod
    def load(cls, path: str | os.PathLike, *, device="cpu", dtype: torch.dtype = torch.float32) -> CogVideoXVae:
        """Read a VAE.

        Args:
            path: the released folder `vae`, a folder that has it, or one safetensors file in diffusers' names. The
                sizes are in `config.json`, or in the metadata of a file; without either they are the released ones.

        Raises:
            LumosXError: a file is damaged or missing, or it is another VAE.
            MissingPackageError: diffusers is not installed.
        """
        path = vae_folder(Path(path))
        tensors = open_weights(path, vae_names)
        if not is_cogvideox_vae(tensors):
            raise LumosXError(f"{str(path)!r} {not_a_cogvideox_vae(tensors)} {_WHERE_TO_GET}")
        config = vae_config(path) or VaeConfig()
        network = _empty_network(config)
        expected = network.state_dict()
        faulty = [name for name in expected if name not in tensors or tensors[name].shape != expected[name].shape]
        if faulty:
            raise LumosXError(
                f"The VAE {str(path)!r} is incomplete or of another size than its config, "
                f"{config.block_out_channels}, says: {len(faulty)} of {len(expected)} tensors are missing or have "
                f"another shape, first {faulty[0]!r}. {_WHERE_TO_GET}"
            )
        if extra := [name for name in tensors if name not in expected]:
            raise LumosXError(
                f"The VAE {str(path)!r} has {len(extra)} tensors that the VAE of CogVideoX-5B-I2V does not have, such "
                f"as {extra[0]!r}. {_WHERE_TO_GET}"
            )
        weights = {name: tensors[name].load().to(dtype=dtype, device=device, copy=True) for name in expected}
        network.load_state_dict(weights, assign=True)
        return cls(network, config)

    @torch.no_grad()
    def encode_images(self, images: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Encode each image as one frame of its own.

        Args:
            images: (R, H, W, 3) in 0..1.
            generator: draws from the posterior; None: one of seed 0.

        Returns:
            (1, C, R, h, w) scaled latents, float32.

        Raises:
            LumosXError: the VAE does not take this size.
        """
        _check_video(images[:, None] if images.ndim == 4 else images)
        generator = generator or torch.Generator().manual_seed(0)
        return torch.cat([self._encode(image[None, None], generator) for image in images], dim=2)

    @torch.no_grad()
    def encode_videos(self, videos: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Encode several videos of the same size.

        Args:
            videos: (B, F, H, W, 3) in 0..1; F is one more than a multiple of 4.
            generator: see `encode_images`.

        Returns:
            (B, C, (F - 1) / 4 + 1, h, w) scaled latents, float32.

        Raises:
            LumosXError: the VAE does not take this size.
        """
        _check_video(videos)
        generator = generator or torch.Generator().manual_seed(0)
        return torch.cat([self._encode(video[None], generator) for video in videos])

    @torch.no_grad()
    def decode_frames(self, latents: Tensor) -> Tensor:
        """Decode one video.

        The network upsamples an odd number of latent frames T to 4 * T - 3 frames, as it was trained. An even number
        becomes 4 * T, of which the first three, copies of the first frame, are cut: the videos of 8n + 1 frames are
        those that the VAE was made for.

        Args:
            latents: (1, C, T, h, w), scaled.

        Returns:
            (4 * T - 3, H, W, 3) in 0..1, float32.
        """
        channels = self.config.latent_channels
        if latents.ndim != 5 or latents.shape[0] != 1 or latents.shape[1] != channels or 0 in latents.shape:
            raise LumosXError(
                f"The VAE decodes one video at a time, latents of shape (1, {channels}, frames, height, width), but "
                f"got {tuple(latents.shape)}. Give one video of the batch."
            )
        raw = latents.to(self.device, torch.float32) / self.config.scaling_factor
        frames = self._whole_or_in_tiles(lambda x: self.network.decode(x).sample, raw.to(self.dtype), SPATIAL_STRIDE)
        surplus = frames.shape[2] - (TEMPORAL_STRIDE * (latents.shape[2] - 1) + 1)
        video = frames[0, :, surplus:].movedim(0, -1).float()
        return (video / 2 + 0.5).clamp(0, 1)

    def _encode(self, video: Tensor, generator: torch.Generator) -> Tensor:
        """(1, F, H, W, 3) in 0..1 -> (1, C, T, h, w)."""
        video = (video.movedim(-1, 1).to(self.device, torch.float32) * 2 - 1).to(self.dtype)
        posterior = self._whole_or_in_tiles(lambda x: self.network.encode(x).latent_dist, video, 1)
        # On the generator's own device: the same seed gives the same latents everywhere.
        noise = torch.randn(posterior.mean.shape, generator=generator, device=generator.device)
        sample = posterior.mean.float() + posterior.std.float() * noise.to(self.device)
        return sample * self.config.scaling_factor

    def _whole_or_in_tiles(self, work: Callable[[Tensor], Any], x: Tensor, ratio: int) -> Any:
        """Do the work on the whole image where a GPU's memory suffices, else in diffusers' overlapping tiles.

        A CPU takes tiles at once where the image is larger than one, as upstream does: for a whole video of the
        released size it would need 36 GB, and the system ends a process that takes more than there is.
        """
        network = self.network
        tile = network.tile_sample_min_height, network.tile_sample_min_width
        fits = all(side * ratio <= most for side, most in zip(x.shape[-2:], tile, strict=True))
        network.use_tiling = self.device.type == "cpu" and x.shape[2] > 1 and not fits
        try:
            return work(x)
        except RuntimeError as error:
            # MPS has no type of its own for it.
            out_of_memory = isinstance(error, torch.OutOfMemoryError) or "out of memory" in str(error)
            if not out_of_memory or fits or network.use_tiling:
                raise
        # Outside the except clause: the exception holds the frames, and with them the memory, of the failed try.
        torch.cuda.empty_cache()
        network.use_tiling = True
        return work(x)


def vae_folder(path: Path) -> Path:
    """The folder `vae` of a released folder; any other path as it is."""
    inner = path / "vae"
    return inner if os.path.isdir(inner) else path


def vae_names(names: Iterable[str]) -> dict[str, str]:
    """diffusers' names of a VAE's tensors -> the names they have in a file."""
    return unwrapped_names(names, _WRAPPERS, lambda name: name.startswith(("encoder.", "decoder.")))


def _empty_network(config: VaeConfig) -> Any:
    """diffusers' network without weights."""
    try:
        from diffusers import AutoencoderKLCogVideoX
    except ImportError as error:
        raise MissingPackageError("diffusers", "The VAE of CogVideoX", error) from error
    with torch.device("meta"):
        return AutoencoderKLCogVideoX(
            down_block_types=("CogVideoXDownBlock3D",) * 4,
            up_block_types=("CogVideoXUpBlock3D",) * 4,
            **config.to_dict(),
        )


def _check_video(videos: Tensor) -> None:
    """Raise LumosXError unless these are (B, F, H, W, 3) that the VAE takes."""
    if videos.ndim != 5 or videos.shape[4] != 3 or videos.shape[1] % TEMPORAL_STRIDE != 1 or 0 in videos.shape:
        raise LumosXError(
            f"The VAE encodes videos of shape (batch, frames, height, width, 3) with 4n + 1 frames, but got "
            f"{tuple(videos.shape)}. Cut the video to 4n + 1 RGB frames."
        )
    height, width = videos.shape[2:4]
    if height % SPATIAL_STRIDE or width % SPATIAL_STRIDE:
        raise LumosXError(
            f"The VAE encodes images whose sides are multiples of {SPATIAL_STRIDE}, but this one has {width} x "
            f"{height} pixels. Scale or cut it."
        )
