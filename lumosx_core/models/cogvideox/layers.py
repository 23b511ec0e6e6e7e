"""The layers of the CogVideoX transformer, named as diffusers names them.

`operations` is where layers with weights come from: `torch.nn`, or a namespace of the host with Linear, LayerNorm and
Conv2d that casts and moves weights as they are used.

Shapes: B rows, J text tokens, S image tokens, D channels, T channels of the time embedding.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .config import CogVideoXConfig
from .positions import position_table, rotate

AttentionFunction = Callable[[Tensor, Tensor, Tensor], Tensor]
"""Queries, keys and values, each (B, heads, tokens, d), to the attended values in the same shape."""

QK_NORM_EPS = 1e-6

ATTENTION_LAYERS = ("attn1.to_q", "attn1.to_k", "attn1.to_v", "attn1.to_out.0")
FEED_FORWARD_LAYERS = ("ff.net.0.proj", "ff.net.2")
"""Ends of the names of a block's linear layers, beside those of its modulation: what a LoRA trains."""


def attention(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """PyTorch's own attention over all tokens."""
    return F.scaled_dot_product_attention(query, key, value)


def cast_like(parameter: Tensor, x: Tensor) -> Tensor:
    """A parameter that belongs to no layer, on the device and in the dtype of the activations."""
    return parameter.to(device=x.device, dtype=x.dtype)


class TimeEmbedding(nn.Module):
    """Sinusoids of the timestep to the embedding that modulates every block: (B, D) -> (B, T)."""

    def __init__(self, config: CogVideoXConfig, operations: Any = nn, **factory):
        super().__init__()
        self.linear_1 = operations.Linear(config.width, config.time_embed_dim, **factory)
        self.linear_2 = operations.Linear(config.time_embed_dim, config.time_embed_dim, **factory)

    def forward(self, sinusoids: Tensor) -> Tensor:
        return self.linear_2(F.silu(self.linear_1(sinusoids)))


class PatchEmbedding(nn.Module):
    """Text and latent patches to tokens, with the position of each added.

    `pos_embedding` is a learned table for the network's own number of frames; for another number of frames it is
    computed, and the text has none. It is not trained further, as upstream.
    """

    def __init__(self, config: CogVideoXConfig, operations: Any = nn, **factory):
        super().__init__()
        self.config = config
        patch = config.patch_size
        self.proj = operations.Conv2d(config.in_channels, config.width, kernel_size=patch, stride=patch, **factory)
        self.text_proj = operations.Linear(config.text_embed_dim, config.width, **factory)
        self.pos_embedding = nn.Parameter(position_table(config, config.latent_frames, **factory), requires_grad=False)

    def forward(self, text: Tensor, latents: Tensor) -> Tensor:
        """(B, J, text_dim) and (B, F, C, H, W) -> (B, J + S, D), the text first."""
        text = self.text_proj(text)
        batch, frames = latents.shape[:2]
        patches = self.proj(latents.flatten(0, 1))  # (B*F, D, h, w)
        image = patches.unflatten(0, (batch, frames)).flatten(3).transpose(2, 3).flatten(1, 2)  # (B, F*h*w, D)
        tokens = torch.cat([text, image], dim=1)
        return tokens + self.positions(frames, tokens)

    def positions(self, frames: int, tokens: Tensor) -> Tensor:
        """The table for this many latent frames: (1, J + S, D)."""
        if frames == self.config.latent_frames:
            return cast_like(self.pos_embedding, tokens)
        return position_table(self.config, frames, device=tokens.device, dtype=tokens.dtype)


class ModulatedNorm(nn.Module):
    """Layer norm of image and text, each with its own shift, scale and gate from the time embedding."""

    def __init__(self, config: CogVideoXConfig, operations: Any = nn, **factory):
        super().__init__()
        self.linear = operations.Linear(config.time_embed_dim, 6 * config.width, **factory)
        self.norm = operations.LayerNorm(config.width, eps=config.norm_eps, **factory)

    def forward(self, image: Tensor, text: Tensor, time: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """The modulated image (B, S, D) and text (B, J, D), and their gates (B, 1, D)."""
        shift, scale, gate, text_shift, text_scale, text_gate = self.linear(F.silu(time))[:, None].chunk(6, dim=-1)
        image = self.norm(image) * (1 + scale) + shift
        text = self.norm(text) * (1 + text_scale) + text_shift
        return image, text, gate, text_gate


class JointAttention(nn.Module):
    """Self-attention of text and image together; queries and keys are normalised in each head, the image's rotated."""

    def __init__(self, config: CogVideoXConfig, operations: Any = nn, **factory):
        super().__init__()
        width, head = config.width, config.attention_head_dim
        self.head_dim = head
        bias = config.attention_bias
        self.norm_q = operations.LayerNorm(head, eps=QK_NORM_EPS, **factory)
        self.norm_k = operations.LayerNorm(head, eps=QK_NORM_EPS, **factory)
        self.to_q = operations.Linear(width, width, bias=bias, **factory)
        self.to_k = operations.Linear(width, width, bias=bias, **factory)
        self.to_v = operations.Linear(width, width, bias=bias, **factory)
        self.to_out = nn.ModuleList([operations.Linear(width, width, **factory)])

    def forward(
        self,
        tokens: Tensor,
        text_tokens: int,
        rope: tuple[Tensor, Tensor] | None,
        attend: AttentionFunction = attention,
    ) -> Tensor:
        """(B, J + S, D), of which the first `text_tokens` are text, -> (B, J + S, D)."""
        query, key, value = (
            layer(tokens).unflatten(-1, (-1, self.head_dim)).transpose(1, 2)  # (B, heads, J + S, d)
            for layer in (self.to_q, self.to_k, self.to_v)
        )
        query, key = self.norm_q(query), self.norm_k(key)
        if rope is not None:
            query[:, :, text_tokens:] = rotate(query[:, :, text_tokens:], rope)
            key[:, :, text_tokens:] = rotate(key[:, :, text_tokens:], rope)
        return self.to_out[0](attend(query, key, value).transpose(1, 2).flatten(2))


class GeluProjection(nn.Module):
    """The first layer of the feed-forward network, with tanh-approximated GELU."""

    def __init__(self, width: int, hidden: int, operations: Any = nn, **factory):
        super().__init__()
        self.proj = operations.Linear(width, hidden, **factory)

    def forward(self, x: Tensor) -> Tensor:
        return F.gelu(self.proj(x), approximate="tanh")


class FeedForward(nn.Module):
    """Two linear layers, four times as wide between them."""

    def __init__(self, config: CogVideoXConfig, operations: Any = nn, **factory):
        super().__init__()
        width = config.width
        # The released names count a dropout between the layers.
        self.net = nn.Sequential(
            GeluProjection(width, 4 * width, operations, **factory),
            nn.Identity(),
            operations.Linear(4 * width, width, **factory),
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x)


class Block(nn.Module):
    """One transformer block: joint attention and feed-forward, both modulated and gated by the time embedding."""

    def __init__(self, config: CogVideoXConfig, operations: Any = nn, **factory):
        super().__init__()
        self.norm1 = ModulatedNorm(config, operations, **factory)
        self.attn1 = JointAttention(config, operations, **factory)
        self.norm2 = ModulatedNorm(config, operations, **factory)
        self.ff = FeedForward(config, operations, **factory)

    def forward(
        self,
        image: Tensor,
        text: Tensor,
        time: Tensor,
        rope: tuple[Tensor, Tensor] | None = None,
        attend: AttentionFunction = attention,
    ) -> tuple[Tensor, Tensor]:
        """Image (B, S, D) and text (B, J, D) -> the same."""
        split = text.shape[1]
        normed, normed_text, gate, text_gate = self.norm1(image, text, time)
        update = self.attn1(torch.cat([normed_text, normed], dim=1), split, rope, attend)
        image = image + gate * update[:, split:]
        text = text + text_gate * update[:, :split]

        normed, normed_text, gate, text_gate = self.norm2(image, text, time)
        update = self.ff(torch.cat([normed_text, normed], dim=1))
        return image + gate * update[:, split:], text + text_gate * update[:, :split]


class FinalNorm(nn.Module):
    """The last norm, with shift and scale from the time embedding."""

    def __init__(self, config: CogVideoXConfig, operations: Any = nn, **factory):
        super().__init__()
        self.linear = operations.Linear(config.time_embed_dim, 2 * config.width, **factory)
        self.norm = operations.LayerNorm(config.width, eps=config.norm_eps, **factory)

    def forward(self, image: Tensor, time: Tensor) -> Tensor:
        shift, scale = self.linear(F.silu(time))[:, None].chunk(2, dim=-1)
        return self.norm(image) * (1 + scale) + shift
