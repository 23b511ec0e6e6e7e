"""The LumosX video transformer: Wan2.1-T2V with reference pictures behind the video and relational attention.

Shapes: B videos, T latent frames, R pictures, H x W latent pixels, h x w tokens a frame, L = (T+R)*h*w tokens,
J text tokens, D channels.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, autocast, nn

from ...errors import LumosXError
from ...scene.layout import ReferenceLayout
from .block import Relations, relational_block
from .csam import AttentionFunction, scaled_dot_product_attention


@dataclass(frozen=True)
class LumosXConfig:
    """Sizes and options of the network; the defaults are the released model (1.3 billion parameters).

    Args:
        mcam_ratio: strength of MCAM; 0 turns it off.
        r2pe: False gives every picture its own place in time (for ablations).
        csam: False lets every token see every other (for ablations).
    """

    dim: int = 1536
    ffn_dim: int = 8960
    num_heads: int = 12
    num_layers: int = 30
    text_dim: int = 4096
    text_len: int = 512
    freq_dim: int = 256
    in_dim: int = 16
    out_dim: int = 16
    patch_size: tuple[int, int, int] = (1, 2, 2)
    eps: float = 1e-6
    mcam_ratio: float = 0.5
    r2pe: bool = True
    csam: bool = True

    def __post_init__(self):
        object.__setattr__(self, "patch_size", tuple(self.patch_size))
        if self.dim % self.num_heads or self.dim // self.num_heads % 2:
            raise LumosXError(
                f"dim {self.dim} does not divide into {self.num_heads} heads of an even width. Wan2.1 uses 128 a head."
            )
        if self.patch_size[0] != 1:
            raise LumosXError(f"patch_size {self.patch_size} joins frames, but each picture is a frame of its own.")


class Linear(nn.Linear):
    """A linear layer that computes in its own dtype, so that a float32 residual can feed bfloat16 weights."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.to(self.weight.dtype))


class FullPrecisionLinear(nn.Linear):
    """A linear layer computed in float32 whatever its weights are: time embedding and head, as released."""

    def forward(self, x: Tensor) -> Tensor:
        with autocast(x.device.type, enabled=False):
            return F.linear(x.float(), self.weight.float(), self.bias.float())


class PatchEmbedding(nn.Conv3d):
    """Latent patches to tokens, computed in its own dtype and returned in float32."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.to(self.weight.dtype)).float()


class LayerNorm(nn.LayerNorm):
    """Layer norm in float32, returned in float32."""

    def forward(self, x: Tensor) -> Tensor:
        weight, bias = (None if p is None else p.float() for p in (self.weight, self.bias))
        return F.layer_norm(x.float(), self.normalized_shape, weight, bias, self.eps)


class RMSNorm(nn.Module):
    """RMS norm over all channels (not per head): statistics in float32, cast back, then times the weight."""

    def __init__(self, dim: int, eps: float, *, device=None, dtype=None):
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(dim, device=device, dtype=dtype))

    def forward(self, x: Tensor) -> Tensor:
        return F.rms_norm(x.float(), x.shape[-1:], eps=self.eps).to(x.dtype) * self.weight


class Attention(nn.Module):
    """The layers of one attention; the computation itself is in block.py."""

    def __init__(self, config: LumosXConfig, **factory):
        super().__init__()
        self.num_heads = config.num_heads
        self.q, self.k, self.v, self.o = (Linear(config.dim, config.dim, **factory) for _ in range(4))
        self.norm_q = RMSNorm(config.dim, config.eps, **factory)
        self.norm_k = RMSNorm(config.dim, config.eps, **factory)


class Block(nn.Module):
    """The layers of one transformer block, named as Wan2.1 names them."""

    def __init__(self, config: LumosXConfig, **factory):
        super().__init__()
        self.norm1 = LayerNorm(config.dim, config.eps, elementwise_affine=False)
        self.self_attn = Attention(config, **factory)
        self.norm3 = LayerNorm(config.dim, config.eps, **factory)
        self.cross_attn = Attention(config, **factory)
        self.norm2 = LayerNorm(config.dim, config.eps, elementwise_affine=False)
        self.ffn = nn.Sequential(
            Linear(config.dim, config.ffn_dim, **factory),
            nn.GELU(approximate="tanh"),
            Linear(config.ffn_dim, config.dim, **factory),
        )
        self.modulation = nn.Parameter(torch.empty(1, 6, config.dim, **factory))

    def forward(
        self, x: Tensor, modulation: Tensor, text: Tensor, relations: Relations, video_only: bool = False
    ) -> Tensor:
        return relational_block(self, x, modulation, text, relations, video_only=video_only)


class Head(nn.Module):
    """Final norm, modulation and projection to latent patches, in float32."""

    def __init__(self, config: LumosXConfig, **factory):
        super().__init__()
        self.norm = LayerNorm(config.dim, config.eps, elementwise_affine=False)
        self.head = FullPrecisionLinear(config.dim, math.prod(config.patch_size) * config.out_dim, **factory)
        self.modulation = nn.Parameter(torch.empty(1, 2, config.dim, **factory))

    def forward(self, x: Tensor, time: Tensor) -> Tensor:
        shift, scale = (self.modulation.float() + time[:, None]).chunk(2, dim=1)
        return self.head(self.norm(x) * (1 + scale) + shift)


class LumosXModel(nn.Module):
    """Predicts the velocity of a video whose people, garments, objects and background are given as pictures.

    State-dict names are Wan2.1's native ones: LumosX adds no parameter, so released, ComfyUI and trained files load.
    The residual stream, modulation, time embedding and head are float32 in any dtype, as released. Set `attention`
    to compute with another AttentionFunction (see csam.py). Set `join_text_padding` to compute the padding behind the
    text, equal rows that no phrase names, as one row that counts that often: the same numbers up to rounding, and less
    work where captions are short and attention with a bias costs nothing extra, as on a CPU.

    Source: arXiv 2603.20192; Wan2.1 (arXiv 2503.20314).
    """

    def __init__(self, config: LumosXConfig, *, device=None, dtype=None):
        super().__init__()
        factory = {"device": device, "dtype": dtype}
        dim = config.dim
        self.config = config
        self.attention: AttentionFunction = scaled_dot_product_attention
        self.join_text_padding = False
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
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Start values for training from nothing: Xavier, small embeddings, an output of zero."""
        for module in self.modules():
            if isinstance(module, nn.Linear | nn.Conv3d):
                nn.init.xavier_uniform_(module.weight.flatten(1))
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
        references: Tensor | None = None,
        layout: ReferenceLayout | None = None,
        phrase_mask: Tensor | None = None,
        *,
        include_references: bool = False,
        strengths: Sequence[float] | None = None,
    ) -> Tensor:
        """Predict the velocity (noise minus clean latents).

        Args:
            video: (B, 16, T, H, W), noisy latents.
            timestep: (B,), 0 (clean) to 1000 (noise).
            text: (B, up to text_len, text_dim), padded here with zeros; padded rows are attended to, as released.
            references: (B or 1, 16, R, H, W), clean latents of the pictures in the order of the layout. None: the
                network is plain Wan2.1.
            layout: how the R pictures are divided into groups; needed with references.
            phrase_mask: (R, text_len) or (B, R, text_len) bool, the text tokens that name each picture. None: no
                picture has words.
            include_references: also return what is predicted for the pictures.
            strengths: R numbers above 0 that multiply the weight which the video's attention gives each picture; None:
                all are 1, as released. (To leave a picture out, see `SeenPictures.choose`.)

        Returns:
            (B, 16, T, H, W), or (B, 16, T+R, H, W) with include_references; float32.

        Raises:
            LumosXError: shapes that do not fit together.
        """
        config = self.config
        layout, phrase_mask = self._check(video, timestep, text, references, layout, phrase_mask)
        if strengths is not None and not (len(strengths) == layout.pictures and all(s > 0 for s in strengths)):
            raise LumosXError(
                f"strengths are {list(strengths)}, expected {layout.pictures} numbers above 0, one for each picture. "
                f"Leave a picture out of references, layout and phrase_mask instead of giving it 0."
            )
        batch, _, frames, height, width = video.shape

        # 1. Pictures become further frames behind the video.
        if references is not None:
            video = torch.cat([video, references.to(video).expand(batch, -1, -1, -1, -1)], dim=2)

        # 2. Tokens: zero-padded to whole patches, ordered by frame, row, column.
        _, patch_height, patch_width = config.patch_size
        video = F.pad(video, (0, -width % patch_width, 0, -height % patch_height))
        tokens = self.patch_embedding(video)
        grid = (tokens.shape[-2], tokens.shape[-1])
        tokens = rearrange(tokens, "b d t h w -> b (t h w) d")

        # 3. Time and text.
        time = self.time_embedding(timestep_embedding(timestep.to(video.device), config.freq_dim))
        modulation = rearrange(self.time_projection(time), "b (m d) -> b 1 m d", m=6)
        text_bias = None
        padding = config.text_len - text.shape[1]
        if self.join_text_padding and padding > 1:
            text_bias = torch.zeros(text.shape[1] + 1, device=video.device)
            text_bias[-1] = math.log(padding)
            phrase_mask = phrase_mask[..., : text.shape[1] + 1]
            padding = 1
        text = self.text_embedding(F.pad(text, (0, 0, 0, padding)))

        # 4. Blocks.
        relations = Relations.build(
            layout,
            phrase_mask,
            frames,
            grid,
            config.dim // config.num_heads,
            device=video.device,
            r2pe=config.r2pe,
            csam=config.csam,
            mcam_ratio=config.mcam_ratio,
            attention=self.attention,
            text_bias=text_bias,
            strengths=strengths,
        )
        for block in self.blocks[:-1]:
            tokens = block(tokens, modulation, text, relations)
        tokens = self.blocks[-1](tokens, modulation, text, relations, not include_references)

        # 5. Back to latents, without the padding and, unless wanted, without the pictures.
        kept = frames + (layout.pictures if include_references else 0)
        patches = self.head(tokens[:, : kept * grid[0] * grid[1]], time)
        out = rearrange(
            patches,
            "b (t h w) (p q c) -> b c t (h p) (w q)",
            h=grid[0],
            w=grid[1],
            p=patch_height,
            q=patch_width,
        )
        return out[..., :height, :width]

    def _check(self, video, timestep, text, references, layout, phrase_mask) -> tuple[ReferenceLayout, Tensor]:
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
        if references is None:
            layout = ReferenceLayout(0) if layout is None else layout
            layout.check(0)
            return layout, torch.zeros(0, config.text_len, dtype=torch.bool)
        if layout is None:
            raise LumosXError("references were given without a layout. Pass the scene's ReferenceLayout.")
        if references.ndim == 5:
            layout.check(references.shape[2])
        expected = (config.in_dim, layout.pictures, *video.shape[3:])
        if references.ndim != 5 or references.shape[0] not in (1, batch) or references.shape[1:] != expected:
            raise LumosXError(
                f"references have shape {tuple(references.shape)}, but this video and layout need (1 or {batch}, "
                f"{', '.join(map(str, expected))}). Encode the scene's pictures for the video's size."
            )
        if phrase_mask is None:
            phrase_mask = torch.zeros(layout.pictures, config.text_len, dtype=torch.bool)
        expected = (layout.pictures, config.text_len)
        if tuple(phrase_mask.shape) not in (expected, (batch, *expected)) or phrase_mask.dtype != torch.bool:
            raise LumosXError(
                f"phrase_mask has shape {tuple(phrase_mask.shape)} and dtype {phrase_mask.dtype}, expected "
                f"{expected} and torch.bool, or {(batch, *expected)} for one a video."
            )
        return layout, phrase_mask


def timestep_embedding(timestep: Tensor, dim: int) -> Tensor:
    """Sinusoids of the timestep, cosines first: (B,) -> (B, dim) float32; angles in float64."""
    # On the CPU, as MPS has no float64; B numbers travel.
    frequencies = 10000.0 ** -(torch.arange(dim // 2, dtype=torch.float64) / (dim // 2))
    angles = timestep.cpu().double()[:, None] * frequencies
    return torch.cat([angles.cos(), angles.sin()], dim=-1).float().to(timestep.device)
