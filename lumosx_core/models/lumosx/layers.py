"""The layers of the network, named as Wan2.1 names them; which of them compute in float32 is as released.

Shapes: B videos, L tokens, J text tokens, D channels.
"""

from __future__ import annotations

import math
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, autocast, nn

from .block import WanBlock, relational_block
from .config import LumosXConfig
from .relations import Relations


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
        return relational_block(cast(WanBlock, self), x, modulation, text, relations, video_only=video_only)


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
