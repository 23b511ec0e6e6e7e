"""The injection of faces: cross-attention to each face, weighted by a router that decides whose face a token shows.

Keys and values depend on the faces only, so they are computed once for a set of faces (`FaceKeys`); queries depend on
the image only, so they are computed once for all faces; and values and output layer are linear, so they follow the
router's weights. The result is that of a whole cross-attention for each face.

Shapes: R rows, S image tokens, N faces, Q tokens of a face, D channels of the image, E of a face.
"""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, autocast, nn

from .config import IngredientsConfig
from .extractor import half_scale, soft_attention, split_heads


@dataclass(frozen=True, eq=False)
class FaceKeys:
    """What one injection computes of the faces alone; where each row has faces of its own, R comes before N.

    Args:
        router: (N, inner_dim), the router's keys.
        key: (N, heads, Q, d), scaled by 1/sqrt(sqrt(d)).
        value: (N, heads, Q, d).
    """

    router: Tensor
    key: Tensor
    value: Tensor

    def of_rows(self, rows: list[int]) -> FaceKeys:
        """Those of some rows; faces that all rows share stay as they are."""
        if self.router.ndim == 2:
            return self
        return FaceKeys(self.router[rows], self.key[rows], self.value[rows])

    def to(self, device: torch.device | str, dtype: torch.dtype | None = None) -> FaceKeys:
        """The same on a device and, if one is named, in another dtype."""
        return FaceKeys(*(part.to(device=device, dtype=dtype) for part in (self.router, self.key, self.value)))


class Router(nn.Module):
    """Scores how well each face fits each image token: one head, no scale, no class for the background.

    Source: Ingredients (arXiv 2501.01790), section 3.3.
    """

    def __init__(self, config: IngredientsConfig, operations: Any = nn, **factory):
        super().__init__()
        router = config.router
        self.norm1 = operations.LayerNorm(router.id_dim, **factory)
        self.norm2 = operations.LayerNorm(router.dim, **factory)
        self.id_merge = operations.Linear(router.id_length, 1, bias=False, **factory)
        self.to_q = operations.Linear(router.dim, router.inner_dim, bias=False, **factory)
        self.to_kv = operations.Linear(router.id_dim, router.inner_dim, bias=False, **factory)

    def keys(self, faces: Tensor) -> Tensor:
        """([R,] N, Q, E) -> ([R,] N, inner_dim): the tokens of a face merged into one."""
        merged = self.id_merge(self.norm1(faces).transpose(-2, -1)).squeeze(-1)  # ([R,] N, E)
        return self.to_kv(merged)

    def forward(self, image: Tensor, keys: Tensor) -> Tensor:
        """Image tokens (R, S, D) and keys ([R,] N, inner_dim) -> logits (R, S, N) float32."""
        query = self.to_q(self.norm2(image))
        # Unscaled products of many channels leave the range of float16 and lose their differences in bfloat16.
        with nullcontext() if query.is_meta else autocast(query.device.type, enabled=False):  # meta has no autocast
            return query.float() @ keys.float().mT


class PerceiverCrossAttention(nn.Module):
    """Attention from image tokens to the tokens of each face, summed with the router's weights."""

    def __init__(self, config: IngredientsConfig, operations: Any = nn, **factory):
        super().__init__()
        width, kv_dim = config.transformer.width, config.local_facial_extractor.output_dim
        heads = config.perceiver_cross_attention
        inner = heads.dim_head * heads.heads
        self.dim_head = heads.dim_head
        self.norm1 = operations.LayerNorm(kv_dim, **factory)
        self.norm2 = operations.LayerNorm(width, **factory)
        self.to_q = operations.Linear(width, inner, bias=False, **factory)
        self.to_kv = operations.Linear(kv_dim, 2 * inner, bias=False, **factory)
        self.to_out = operations.Linear(inner, width, bias=False, **factory)

    def keys_and_values(self, faces: Tensor) -> tuple[Tensor, Tensor]:
        """([R,] N, Q, E) -> scaled keys and values, each ([R,] N, heads, Q, d)."""
        key, value = (split_heads(part, self.dim_head) for part in self.to_kv(self.norm1(faces)).chunk(2, dim=-1))
        return key * half_scale(self.dim_head), value

    def forward(self, image: Tensor, key: Tensor, value: Tensor, weights: Tensor | None = None) -> Tensor:
        """Image tokens (R, S, D) and keys and values of N faces, ([R,] N, heads, Q, d) -> (R, S, D).

        Args:
            weights: (R, S, N), how much of each face a token receives; None: one face, all of it.
        """
        query = split_heads(self.to_q(self.norm2(image)), self.dim_head) * half_scale(self.dim_head)
        sets = key.shape[-4]
        keys, values = (x.transpose(-4, -3).flatten(-3, -2) for x in (key, value))  # ([R,] heads, N*Q, d)
        if keys.ndim == 3:
            keys, values = keys[None], values[None]
        chances = soft_attention(query, keys, sets=sets)  # (R, heads, S, N, Q)
        if weights is not None:
            chances = chances * weights[:, None, :, :, None].to(chances.dtype)
        mixed = chances.flatten(-2) @ values  # (R, heads, S, d)
        return self.to_out(mixed.transpose(1, 2).flatten(2))


def face_keys(router: Router, attention: PerceiverCrossAttention, faces: Tensor) -> FaceKeys:
    """What one injection computes of the face tokens ([R,] N, Q, E)."""
    return FaceKeys(router.keys(faces), *attention.keys_and_values(faces))


def route(logits: Tensor) -> Tensor:
    """Logits (.., N) to the weights of the faces, softmax in float32; soft in inference, too."""
    return torch.softmax(logits.float(), dim=-1)
