"""The network of T5 1.1 and UMT5 encoders under Hugging Face's names, as ComfyUI's single files have them.

Formulas: T5 1.1 (arXiv 2002.05202), with one table of relative positions for all blocks; umT5 (arXiv 2304.09151) has
one in every block. Tests hold it equal to those in transformers, and UMT5 on both hosts to ComfyUI's.

Shapes: B prompts of L tokens, D channels.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

FARTHEST = 128
"""Tokens apart from which on all distances share one row of the table."""


@dataclass(frozen=True)
class T5Sizes:
    """The sizes of an encoder: D, channels of all heads, heads, feed-forward channels, blocks, rows of the table.

    Args:
        one_table: the first block alone has a table of positions, and all use it (T5); otherwise each has its own.
    """

    width: int
    inner: int
    heads: int
    feed_forward: int
    blocks: int
    buckets: int
    one_table: bool = False


class T5Network(nn.Module):
    """The blocks and the last norm. The embeddings of tokens are not a part of it: the table stays in its file."""

    def __init__(self, sizes: T5Sizes):
        super().__init__()
        tables = (not sizes.one_table or index == 0 for index in range(sizes.blocks))
        self.block = nn.ModuleList(Block(sizes, table) for table in tables)
        self.final_layer_norm = RMSNorm(sizes.width)

    def forward(self, embeddings: Tensor, real: Tensor) -> Tensor:
        """States (B, L, D) of embeddings (B, L, D); tokens are seen where `real` (B, L) is true."""
        x, seen, bias = embeddings, real[:, None, None], None
        for block in self.block:
            x, bias = block(x, seen, bias)
        return self.final_layer_norm(x)


class RMSNorm(nn.Module):
    """Divide by the root mean square over the channels."""

    def __init__(self, width: int):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        return self.weight * (x * torch.rsqrt(x.square().mean(-1, keepdim=True) + 1e-6))


class Block(nn.Module):
    """Self-attention and a gated feed-forward part, each on normed input and added to it."""

    def __init__(self, sizes: T5Sizes, table: bool):
        super().__init__()
        self.layer = nn.ModuleList([AttentionLayer(sizes, table), FeedForwardLayer(sizes)])

    def forward(self, x: Tensor, seen: Tensor, bias: Tensor | None) -> tuple[Tensor, Tensor]:
        """The states, and the bias (B, heads, L, L) for blocks without a table; `bias`: that of the block before."""
        attention, feed_forward = self.layer
        x, bias = attention(x, seen, bias)
        return feed_forward(x), bias


class AttentionLayer(nn.Module):
    """The first part of a block."""

    def __init__(self, sizes: T5Sizes, table: bool):
        super().__init__()
        self.SelfAttention = SelfAttention(sizes, table)
        self.layer_norm = RMSNorm(sizes.width)

    def forward(self, x: Tensor, seen: Tensor, bias: Tensor | None) -> tuple[Tensor, Tensor]:
        attended, bias = self.SelfAttention(self.layer_norm(x), seen, bias)
        return x + attended, bias


class FeedForwardLayer(nn.Module):
    """The second part of a block."""

    def __init__(self, sizes: T5Sizes):
        super().__init__()
        self.DenseReluDense = FeedForward(sizes)
        self.layer_norm = RMSNorm(sizes.width)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.DenseReluDense(self.layer_norm(x))


class SelfAttention(nn.Module):
    """Attention whose logits are not scaled, with a learned number for each distance and head added to them."""

    def __init__(self, sizes: T5Sizes, table: bool):
        super().__init__()
        self.heads = sizes.heads
        self.q, self.k, self.v = (nn.Linear(sizes.width, sizes.inner, bias=False) for _ in range(3))
        self.o = nn.Linear(sizes.inner, sizes.width, bias=False)
        self.relative_attention_bias: nn.Embedding | None = None
        if table:
            # Zeros: to draw numbers on the meta device torch imports its compiler, which takes a second.
            zeros = torch.zeros(sizes.buckets, sizes.heads)
            self.relative_attention_bias = nn.Embedding.from_pretrained(zeros, freeze=False)

    def forward(self, x: Tensor, seen: Tensor, bias: Tensor | None) -> tuple[Tensor, Tensor]:
        q, k, v = (part(x).unflatten(-1, (self.heads, -1)).transpose(1, 2) for part in (self.q, self.k, self.v))
        if self.relative_attention_bias is not None:
            buckets = distance_buckets(x.shape[1], self.relative_attention_bias.num_embeddings, x.device)
            bias = self.relative_attention_bias(buckets).movedim(-1, 0)[None]
            bias = torch.where(seen, bias, torch.finfo(bias.dtype).min).contiguous()
        assert bias is not None  # the first block has a table
        attended = F.scaled_dot_product_attention(q, k, v, bias, scale=1.0).transpose(1, 2).flatten(2)
        return self.o(attended), bias


class FeedForward(nn.Module):
    """Two linear layers, the first gated by a GELU in its tanh form."""

    def __init__(self, sizes: T5Sizes):
        super().__init__()
        self.wi_0, self.wi_1 = (nn.Linear(sizes.width, sizes.feed_forward, bias=False) for _ in range(2))
        self.wo = nn.Linear(sizes.feed_forward, sizes.width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        x, linear = self.wi_0(x), self.wi_1(x)
        gate = 0.5 * x * (1.0 + torch.tanh(math.sqrt(2.0 / math.pi) * (x + 0.044715 * torch.pow(x, 3.0))))
        return self.wo(gate * linear)


def distance_buckets(length: int, buckets: int, device: torch.device) -> Tensor:
    """(L, L) rows of the table for each pair of tokens: half of it for each direction.

    In each half, the first half is for the nearest tokens one by one, the rest for logarithmically wider steps.
    """
    at = torch.arange(length, device=device)
    ahead = at[None, :] - at[:, None]  # of the token that looks
    half = buckets // 2
    distance, exact = ahead.abs(), half // 2
    steps = torch.log(distance.float() / exact) / math.log(FARTHEST / exact) * (half - exact)
    far = (exact + steps.to(torch.long)).clamp(max=half - 1)
    return (ahead > 0) * half + torch.where(distance < exact, distance, far)
