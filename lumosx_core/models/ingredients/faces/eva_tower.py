"""The image tower of EVA02-CLIP under the names of its release, up to its intermediate states.

Formulas: EVA-02 (arXiv 2303.11331): a pre-norm vision transformer with rotary positions, a gated feed-forward part, and
a norm inside of both parts. Tests hold it equal to numbers recorded from the released code, and to timm's.

Shapes: B images, T = 1 + patches tokens (a class token first), D channels.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ....errors import LumosXError

TRAINED_GRID = 16  # patches a side of the images that the rotary positions were first trained on
EPS = 1e-6
_HEAD = 64  # channels of a head
_MINIATURE_HEAD = 16  # of networks too narrow for the released width


class NotThisTower(LumosXError):
    """Why tensors are not of such a tower, as the end of a sentence."""


@dataclass(frozen=True)
class EvaSizes:
    """The sizes of a tower.

    Args:
        width: channels, D.
        heads: of attention.
        blocks: their number.
        feed_forward: channels of the gated part.
        patch: pixels of a patch's side.
        grid: patches of an image's side.
        out: channels of the pooled output.
    """

    width: int
    heads: int
    blocks: int
    feed_forward: int
    patch: int
    grid: int
    out: int

    @property
    def side(self) -> int:
        """Pixels of the square images."""
        return self.patch * self.grid

    @property
    def tokens(self) -> int:
        """T: the class token and the patches."""
        return 1 + self.grid**2

    @classmethod
    def of(cls, tensors: Mapping[str, Any]) -> EvaSizes:
        """The sizes of a checkpoint, from the shapes of its tensors.

        The number of heads is in no shape: the release has heads of 64 channels, and a width that 64 does not divide
        is a miniature's, with heads of 16.

        Raises:
            NotThisTower: a tensor is missing or has a shape that no such tower has; the message names it.
        """

        def shape(name: str, dimensions: int) -> tuple[int, ...]:
            if name not in tensors:
                raise NotThisTower(f"it has no tensor {name!r}")
            found = tuple(tensors[name].shape)
            if len(found) != dimensions or 0 in found:
                raise NotThisTower(f"{name!r} has shape {found}, expected {dimensions} dimensions")
            return found

        width, _, patch, _ = shape("patch_embed.proj.weight", 4)
        grid = math.isqrt(max(0, shape("pos_embed", 3)[1] - 1))
        numbers = {int(part) for name in tensors if (part := _block_of(name))}
        head = next((size for size in (_HEAD, _MINIATURE_HEAD) if width % size == 0), None)
        if head is None:
            raise NotThisTower(f"it has {width} channels, expected a multiple of {_MINIATURE_HEAD}")
        return cls(
            width=width,
            heads=width // head,
            blocks=1 + max(numbers, default=-1),
            feed_forward=shape("blocks.0.mlp.w1.weight", 2)[0],
            patch=patch,
            grid=grid,
            out=shape("head.weight", 2)[0],
        )


def _block_of(name: str) -> str:
    parts = name.split(".")
    # Four digits: no network has more blocks, and a longer number is not one to count up to.
    return parts[1] if len(parts) > 2 and parts[0] == "blocks" and parts[1].isdecimal() and len(parts[1]) <= 4 else ""


class EvaTower(nn.Module):
    """Images to the states between blocks, and to one vector.

    Args:
        sizes: of the network.
    """

    def __init__(self, sizes: EvaSizes):
        super().__init__()
        self.sizes = sizes
        self.cls_token = nn.Parameter(torch.zeros(1, 1, sizes.width))
        self.pos_embed = nn.Parameter(torch.zeros(1, sizes.tokens, sizes.width))
        self.patch_embed = PatchEmbedding(sizes)
        self.blocks = nn.ModuleList(Block(sizes) for _ in range(sizes.blocks))
        self.norm = nn.LayerNorm(sizes.width, eps=EPS)
        self.head = nn.Linear(sizes.width, sizes.out)

    def forward(self, images: Tensor, states_before: tuple[int, ...]) -> tuple[Tensor, Tensor]:
        """The inputs of some blocks, and the output of the class token.

        Args:
            images: (B, 3, side, side), normalised.
            states_before: numbers of blocks, ascending from 0.

        Returns:
            (B, S, T, D) inputs of the S blocks, not normed; (B, out).
        """
        x = self.patch_embed(images)
        x = torch.cat([self.cls_token.expand(len(x), -1, -1), x], dim=1) + self.pos_embed
        rotation = rotation_table(self.sizes.grid, self.sizes.width // self.sizes.heads, x.device, x.dtype)
        states = []
        for number, block in enumerate(self.blocks):
            if number in states_before:
                states.append(x)
            x = block(x, rotation)
        return torch.stack(states, dim=1), self.head(self.norm(x)[:, 0])


class PatchEmbedding(nn.Module):
    """Each patch of an image to one token."""

    def __init__(self, sizes: EvaSizes):
        super().__init__()
        self.proj = nn.Conv2d(3, sizes.width, sizes.patch, stride=sizes.patch)

    def forward(self, images: Tensor) -> Tensor:
        return self.proj(images).flatten(2).transpose(1, 2)  # (B, 3, side, side) -> (B, patches, D), row by row


class Block(nn.Module):
    """Self-attention and a gated feed-forward part, each on normed input and added to it."""

    def __init__(self, sizes: EvaSizes):
        super().__init__()
        self.norm1 = nn.LayerNorm(sizes.width, eps=EPS)
        self.attn = SelfAttention(sizes)
        self.norm2 = nn.LayerNorm(sizes.width, eps=EPS)
        self.mlp = GatedFeedForward(sizes)

    def forward(self, x: Tensor, rotation: tuple[Tensor, Tensor]) -> Tensor:
        x = x + self.attn(self.norm1(x), rotation)
        return x + self.mlp(self.norm2(x))


class SelfAttention(nn.Module):
    """Attention with biases for queries and values only; patches are rotated by their position, the class token not."""

    def __init__(self, sizes: EvaSizes):
        super().__init__()
        self.heads = sizes.heads
        self.q_proj, self.k_proj, self.v_proj = (nn.Linear(sizes.width, sizes.width, bias=False) for _ in range(3))
        self.q_bias = nn.Parameter(torch.zeros(sizes.width))
        self.v_bias = nn.Parameter(torch.zeros(sizes.width))
        self.inner_attn_ln = nn.LayerNorm(sizes.width, eps=EPS)
        self.proj = nn.Linear(sizes.width, sizes.width)

    def forward(self, x: Tensor, rotation: tuple[Tensor, Tensor]) -> Tensor:
        q, k, v = self.q_proj(x) + self.q_bias, self.k_proj(x), self.v_proj(x) + self.v_bias
        q, k, v = (part.unflatten(-1, (self.heads, -1)).transpose(1, 2) for part in (q, k, v))  # (B, heads, T, D/heads)
        q, k = (torch.cat([part[:, :, :1], rotated(part[:, :, 1:], rotation)], dim=2) for part in (q, k))
        return self.proj(self.inner_attn_ln(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)))


class GatedFeedForward(nn.Module):
    """SwiGLU with a norm before the last layer."""

    def __init__(self, sizes: EvaSizes):
        super().__init__()
        self.w1, self.w2 = (nn.Linear(sizes.width, sizes.feed_forward) for _ in range(2))
        self.ffn_ln = nn.LayerNorm(sizes.feed_forward, eps=EPS)
        self.w3 = nn.Linear(sizes.feed_forward, sizes.width)

    def forward(self, x: Tensor) -> Tensor:
        return self.w3(self.ffn_ln(F.silu(self.w1(x)) * self.w2(x)))


def rotation_table(grid: int, channels: int, device: torch.device, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """(cos, sin) of each patch's rotation, (grid * grid, channels): half of the channels turn by row, half by column.

    Positions are stretched to the grid of the first training, so that neighbours of a finer grid are less apart.
    """
    frequencies = 1e4 ** (-torch.arange(0, channels // 2, 2, device=device).float() / (channels // 2))
    positions = torch.arange(grid, device=device).float() / grid * TRAINED_GRID
    angles = torch.outer(positions, frequencies).repeat_interleave(2, dim=-1)  # (grid, channels / 2), pairs alike
    by_row, by_column = angles[:, None].expand(-1, grid, -1), angles[None].expand(grid, -1, -1)
    both = torch.cat([by_row, by_column], dim=-1).flatten(0, 1)
    return both.cos().to(dtype), both.sin().to(dtype)


def rotated(x: Tensor, rotation: tuple[Tensor, Tensor]) -> Tensor:
    """Each pair of neighbouring channels of (..., patches, channels), turned by its patch's angle."""
    cos, sin = rotation
    pairs = x.unflatten(-1, (-1, 2))
    across = torch.stack([-pairs[..., 1], pairs[..., 0]], dim=-1).flatten(-2)
    return x * cos + across * sin
