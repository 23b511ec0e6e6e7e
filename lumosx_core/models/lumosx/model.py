"""The LumosX video transformer: Wan2.1-T2V with reference images behind the video and relational attention.

Shapes: B videos, T latent frames, R reference images, H x W latent pixels, h x w tokens a frame, L = (T+R)*h*w tokens,
J text tokens, D channels.
"""

from __future__ import annotations

import math
from dataclasses import replace

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from ...errors import LumosXError
from ...scene.encoded import EncodedScene
from ...scene.layout import ReferenceLayout
from .config import LumosXConfig, RelationalOptions
from .csam import AttentionFunction, scaled_dot_product_attention
from .layers import Block, FullPrecisionLinear, Head, Linear, PatchEmbedding
from .relations import Relations, RelationTables

RELEASED = RelationalOptions()


class LumosXModel(nn.Module):
    """Predicts the velocity of a video whose subjects, garments, objects and background are given as images.

    State-dict names are Wan2.1's native ones: LumosX adds no parameter, so released, ComfyUI and trained files load.
    The residual stream, modulation, time embedding and head are float32 in any dtype, as released. Set `attention`
    to compute with another AttentionFunction (see csam.py).

    Source: arXiv 2603.20192; Wan2.1 (arXiv 2503.20314).
    """

    def __init__(self, config: LumosXConfig, *, device=None, dtype=None):
        super().__init__()
        factory = {"device": device, "dtype": dtype}
        dim = config.dim
        self.config = config
        self.attention: AttentionFunction = scaled_dot_product_attention
        self.tables = RelationTables()
        self.plain_scene = _no_images(config)
        self.patch_embedding = PatchEmbedding(
            config.in_dim, dim, config.patch_size, stride=config.patch_size, **factory
        )
        self.text_embedding = nn.Sequential(
            Linear(config.text_dim, dim, **factory), nn.GELU(approximate="tanh"), Linear(dim, dim, **factory)
        )
        self.time_embedding = nn.Sequential(
            FullPrecisionLinear(config.freq_dim, dim, **factory), nn.SiLU(), FullPrecisionLinear(dim, dim, **factory)
        )
        self.time_projection = nn.Sequential(nn.SiLU(), FullPrecisionLinear(dim, 6 * dim, **factory))
        self.blocks = nn.ModuleList(Block(config, **factory) for _ in range(config.num_layers))
        self.head = Head(config, **factory)
        if not self.head.modulation.is_meta:  # on meta it would draw nothing, and import torch._dynamo for a second
            self.reset_parameters()

    def reset_parameters(self) -> None:
        """Start values for training from nothing: Xavier, small embeddings, an output of zero."""
        for module in self.modules():
            if isinstance(module, nn.Linear | nn.Conv3d):
                nn.init.xavier_uniform_(module.weight.flatten(1))
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
        for module in (*self.text_embedding, *self.time_embedding):
            if isinstance(module, nn.Linear):
                nn.init.normal_(module.weight, std=0.02)
        for module in (*self.blocks, self.head):
            nn.init.normal_(module.modulation, std=self.config.dim**-0.5)
        nn.init.zeros_(self.head.head.weight)

    def forward(
        self,
        video: Tensor,
        timestep: Tensor,
        text: Tensor,
        scene: EncodedScene | None = None,
        options: RelationalOptions = RELEASED,
        *,
        include_references: bool = False,
    ) -> Tensor:
        """Predict the velocity (noise minus clean latents).

        Args:
            video: (B, 16, T, H, W), noisy latents.
            timestep: (B,), 0 (clean) to 1000 (noise).
            text: (B, up to text_len, text_dim), padded here with zeros; padded rows are attended to, as released.
            scene: the reference images; None: the network is plain Wan2.1.
            options: switches of the relational attention.
            include_references: also return what is predicted for the images.

        Returns:
            (B, 16, T, H, W), or (B, 16, T+R, H, W) with include_references; float32.

        Raises:
            LumosXError: shapes that do not fit together, or strengths that hold for a part of the schedule only.
        """
        scene = self.plain_scene if scene is None else scene
        self._check(video, timestep, text, scene)
        images = scene.layout.pictures if include_references else 0

        tokens, grid = self.patchify(video, scene)
        time, modulation = self.embed_time(timestep.to(video.device), options)
        text, text_bias = self.embed_text(text, options)
        relations = self.relate(scene, video.shape[2], grid, options, text, text_bias)
        for block in self.blocks[:-1]:
            tokens = block(tokens, modulation, text, relations)
        tokens = self.blocks[-1](tokens, modulation, text, relations, not include_references)
        tokens = tokens[:, : (video.shape[2] + images) * math.prod(grid)]
        return self.unpatchify(self.head(tokens, time), grid)[..., : video.shape[3], : video.shape[4]]

    def patchify(self, video: Tensor, scene: EncodedScene) -> tuple[Tensor, tuple[int, int]]:
        """Tokens of the video and of the images behind it, in the order frame, row, column.

        Returns:
            (B, L, D) float32, and (h, w), the size of a frame in tokens.
        """
        if scene.layout.pictures:
            references = scene.references.to(video).expand(video.shape[0], -1, -1, -1, -1)
            video = torch.cat([video, references], dim=2)  # (B, C, T+R, H, W)
        _, patch_height, patch_width = self.config.patch_size
        video = F.pad(video, (0, -video.shape[-1] % patch_width, 0, -video.shape[-2] % patch_height))
        patches = self.patch_embedding(video)  # (B, D, T+R, h, w)
        return rearrange(patches, "b d t h w -> b (t h w) d"), (patches.shape[-2], patches.shape[-1])

    def embed_time(self, timestep: Tensor, options: RelationalOptions = RELEASED) -> tuple[Tensor, Tensor]:
        """The time embedding (B, D) for the head and its projection (B, 1, 6, D) for the blocks."""
        if options.truncate_timestep:
            timestep = timestep.trunc()
        time = self.time_embedding(timestep_embedding(timestep, self.config.freq_dim))
        return time, rearrange(self.time_projection(time), "b (m d) -> b 1 m d", m=6)

    def embed_text(self, text: Tensor, options: RelationalOptions = RELEASED) -> tuple[Tensor, Tensor | None]:
        """The text (B, J, D), padded to text_len or, with `join_text_padding`, by one row and a bias (J,) on it."""
        padding = self.config.text_len - text.shape[1]
        bias = None
        if options.join_text_padding and padding > 1:
            bias = torch.zeros(text.shape[1] + 1, device=text.device)
            bias[-1] = math.log(padding)
            padding = 1
        return self.text_embedding(F.pad(text, (0, 0, 0, padding))), bias

    def relate(
        self,
        scene: EncodedScene,
        frames: int,
        grid: tuple[int, int],
        options: RelationalOptions,
        text: Tensor,
        text_bias: Tensor | None = None,
    ) -> Relations:
        """What the blocks need of the scene: looked up, or computed at its first use for this size and options."""
        relations = self.tables.of(scene, frames, grid, self.config.head_dim, options, text.device, text.shape[1])
        return replace(relations, attention=self.attention, text_bias=text_bias)

    def unpatchify(self, patches: Tensor, grid: tuple[int, int]) -> Tensor:
        """(B, frames*h*w, patch*C) of the head -> (B, C, frames, H, W), padding included."""
        _, patch_height, patch_width = self.config.patch_size
        return rearrange(
            patches,
            "b (t h w) (p q c) -> b c t (h p) (w q)",
            h=grid[0],
            w=grid[1],
            p=patch_height,
            q=patch_width,
        )

    def _check(self, video: Tensor, timestep: Tensor, text: Tensor, scene: EncodedScene) -> None:
        config = self.config
        if video.ndim != 5 or video.shape[1] != config.in_dim:
            raise LumosXError(f"video has shape {tuple(video.shape)}, expected (B, {config.in_dim}, T, H, W).")
        batch = video.shape[0]
        if timestep.shape != (batch,):
            raise LumosXError(f"timestep has shape {tuple(timestep.shape)}, expected ({batch},): one for each video.")
        if text.ndim != 3 or text.shape[::2] != (batch, config.text_dim) or text.shape[1] > config.text_len:
            raise LumosXError(
                f"text has shape {tuple(text.shape)}, expected ({batch}, up to {config.text_len}, {config.text_dim}). "
                f"Shorten a longer prompt."
            )
        images = scene.layout.pictures
        if not images:
            return
        references, expected = scene.references, (config.in_dim, images, *video.shape[3:])
        if references.shape[0] not in (1, batch) or references.shape[1:] != expected:
            raise LumosXError(
                f"references have shape {tuple(references.shape)}, but this video and layout need (1 or {batch}, "
                f"{', '.join(map(str, expected))}). Encode the scene's images for the video's size."
            )
        mask = scene.phrase_mask
        if mask is not None and tuple(mask.shape) not in (
            (images, config.text_len),
            (batch, images, config.text_len),
        ):
            raise LumosXError(
                f"phrase_mask has shape {tuple(mask.shape)}, expected {(images, config.text_len)}, or "
                f"{(batch, images, config.text_len)} for one a video."
            )


def timestep_embedding(timestep: Tensor, dim: int) -> Tensor:
    """Sinusoids of the timestep, cosines first: (B,) -> (B, dim) float32; angles in float64."""
    # On the CPU, as MPS has no float64; B numbers travel.
    frequencies = 10000.0 ** -(torch.arange(dim // 2, dtype=torch.float64) / (dim // 2))
    angles = timestep.cpu().double()[:, None] * frequencies
    return torch.cat([angles.cos(), angles.sin()], dim=-1).float().to(timestep.device)


def _no_images(config: LumosXConfig) -> EncodedScene:
    return EncodedScene(torch.zeros(1, config.in_dim, 0, 1, 1), ReferenceLayout(0), None)
