"""The local facial extractor: what a face looks like, as a few tokens that image tokens attend to.

Shapes: N faces, Q face tokens, I tokens of the face embedding, T tokens of the vision tower, D channels.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from ..cogvideox.layers import cast_like
from .config import SCALES, ExtractorConfig


def split_heads(x: Tensor, dim_head: int) -> Tensor:
    """(.., tokens, heads*d) -> (.., heads, tokens, d)."""
    return x.unflatten(-1, (-1, dim_head)).transpose(-3, -2)


def soft_attention(query: Tensor, key: Tensor, sets: int = 1) -> Tensor:
    """Weights (.., tokens, sets, keys) of queries and keys that are both scaled already, softmax in float32.

    Args:
        sets: the keys are those of several sets, one behind the other, each attended to by itself.
    """
    weights = (query @ key.transpose(-2, -1)).unflatten(-1, (sets, -1))
    return torch.softmax(weights.float(), dim=-1).type(weights.dtype)


def half_scale(dim_head: int) -> float:
    """The factor of queries and of keys, whose square is 1/sqrt(d); in two halves float16 does not overflow."""
    return 1 / math.sqrt(math.sqrt(dim_head))


class PerceiverAttention(nn.Module):
    """Attention from the state to the face's features and the state itself."""

    def __init__(self, config: ExtractorConfig, operations: Any = nn, **factory):
        super().__init__()
        inner = config.dim_head * config.heads
        self.dim_head = config.dim_head
        self.norm1 = operations.LayerNorm(config.dim, **factory)
        self.norm2 = operations.LayerNorm(config.dim, **factory)
        self.to_q = operations.Linear(config.dim, inner, bias=False, **factory)
        self.to_kv = operations.Linear(config.dim, 2 * inner, bias=False, **factory)
        self.to_out = operations.Linear(inner, config.dim, bias=False, **factory)

    def forward(self, features: Tensor, state: Tensor) -> Tensor:
        """Features (N, I + T, D) and state (N, Q + I, D) -> (N, Q + I, D)."""
        features, state = self.norm1(features), self.norm2(state)
        query = split_heads(self.to_q(state), self.dim_head)
        key, value = (
            split_heads(part, self.dim_head)
            for part in self.to_kv(torch.cat([features, state], dim=1)).chunk(2, dim=-1)
        )
        scale = half_scale(self.dim_head)
        attended = soft_attention(query * scale, key * scale).flatten(-2) @ value
        return self.to_out(attended.transpose(1, 2).flatten(2))


class LocalFacialExtractor(nn.Module):
    """Face embedding and hidden states of the vision tower to face tokens.

    The state is learned queries and the tokens of the face embedding; it reads the hidden states of one depth after
    the other, and its queries are the face tokens.

    Source: ConsisID (arXiv 2411.17440), section 3.3; Ingredients (arXiv 2501.01790).
    """

    def __init__(self, config: ExtractorConfig, operations: Any = nn, **factory):
        super().__init__()
        self.config = config
        dim = config.dim
        self.latents = nn.Parameter(torch.empty(1, config.num_queries, dim, **factory))
        self.proj_out = nn.Parameter(torch.empty(dim, config.output_dim, **factory))
        self.layers = nn.ModuleList(
            nn.ModuleList(
                [
                    PerceiverAttention(config, operations, **factory),
                    nn.Sequential(
                        operations.LayerNorm(dim, **factory),
                        operations.Linear(dim, dim * config.ff_mult, bias=False, **factory),
                        nn.GELU(),
                        operations.Linear(dim * config.ff_mult, dim, bias=False, **factory),
                    ),
                ]
            )
            for _ in range(config.depth)
        )
        for scale in range(SCALES):
            self.add_module(f"mapping_{scale}", _mapping(config.vit_in, dim, dim, operations, **factory))
        self.id_embedding_mapping = _mapping(config.id_in, dim, dim * config.num_id_token, operations, **factory)
        for parameter in (self.latents, self.proj_out):
            if not parameter.is_meta:  # on meta it would draw nothing, and import torch._dynamo for a second
                nn.init.normal_(parameter, std=dim**-0.5)

    def forward(self, id_cond: Tensor, hidden: Sequence[Tensor]) -> Tensor:
        """Face embeddings (N, id_in) and five hidden states (N, T, vit_in) -> face tokens (N, Q, output_dim)."""
        identity = self.id_embedding_mapping(id_cond).unflatten(-1, (self.config.num_id_token, -1))  # (N, I, D)
        queries = cast_like(self.latents, identity).expand(len(identity), -1, -1)
        state = torch.cat([queries, identity], dim=1)
        layers_each = self.config.depth // SCALES
        for scale in range(SCALES):
            features = torch.cat([identity, self.get_submodule(f"mapping_{scale}")(hidden[scale])], dim=1)
            for layer in range(scale * layers_each, (scale + 1) * layers_each):
                attention, feed_forward = self.layers[layer].children()
                state = attention(features, state) + state
                state = feed_forward(state) + state
        return state[:, : self.config.num_queries] @ cast_like(self.proj_out, state)


def _mapping(inputs: int, dim: int, outputs: int, operations: Any, **factory) -> nn.Sequential:
    return nn.Sequential(
        operations.Linear(inputs, dim, **factory),
        operations.LayerNorm(dim, **factory),
        nn.LeakyReLU(),
        operations.Linear(dim, dim, **factory),
        operations.LayerNorm(dim, **factory),
        nn.LeakyReLU(),
        operations.Linear(dim, outputs, **factory),
    )
