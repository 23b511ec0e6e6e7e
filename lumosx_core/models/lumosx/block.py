"""One transformer block with LumosX's relational attention, written against any block with Wan2.1's submodules.

`LumosXModel` and ComfyUI's own `WanModel` both run this forward, so quantised, patched or offloaded layers of the host
keep working: a layer is only ever called, never looked into.

Shapes: B videos, N heads, L tokens (V of the video, then the images), D channels, d a head, J text tokens.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import torch
from torch import Tensor

from .csam import ranged_attention
from .mcam import biased_cross_attention, unread_text
from .r2pe import rotate
from .region_bias import region_attention
from .relations import Relations


class WanAttention(Protocol):
    """The submodules of one attention of a Wan2.1 block. Each is called, never looked into."""

    num_heads: int
    q: Callable[[Tensor], Tensor]
    k: Callable[[Tensor], Tensor]
    v: Callable[[Tensor], Tensor]
    o: Callable[[Tensor], Tensor]
    norm_q: Callable[[Tensor], Tensor]
    norm_k: Callable[[Tensor], Tensor]


class WanBlock(Protocol):
    """The submodules of a Wan2.1 block, ComfyUI's or ours; `modulation` is (1, 6, D)."""

    norm1: Callable[[Tensor], Tensor]
    norm2: Callable[[Tensor], Tensor]
    norm3: Callable[[Tensor], Tensor]
    ffn: Callable[[Tensor], Tensor]
    modulation: Tensor
    self_attn: WanAttention
    cross_attn: WanAttention


def relational_block(
    block: WanBlock, x: Tensor, modulation: Tensor, text: Tensor, relations: Relations, *, video_only: bool = False
) -> Tensor:
    """Run one Wan2.1 block with CSAM in its self-attention and MCAM in its cross-attention.

    Args:
        block: has norm1, self_attn, norm3, cross_attn, norm2, ffn and the parameter `modulation` (1, 6, D).
        x: (B, L, D).
        modulation: (B, 1, 6, D), the projected time embedding.
        text: (B, J, D).
        video_only: return the video's tokens alone, for the last block: the queries of the images are not computed.

    Returns:
        (B, L, D) in the dtype of x; with video_only (B, V, D), V the number of tokens of the video.
    """
    table = block.modulation.to(device=modulation.device, dtype=modulation.dtype)
    shift_attn, scale_attn, gate_attn, shift_ffn, scale_ffn, gate_ffn = (table + modulation).unbind(dim=2)
    attended = block.norm1(x) * (1 + scale_attn) + shift_attn
    if video_only:
        x = x[:, : relations.video_tokens]
    x = x + self_attention(block.self_attn, attended, relations, video_only=video_only) * gate_attn
    x = x + cross_attention(block.cross_attn, block.norm3(x), text, relations)
    if relations.change_text_attention is not None:
        x = relations.change_text_attention(x)
    return x + block.ffn(block.norm2(x) * (1 + scale_ffn) + shift_ffn) * gate_ffn


def self_attention(module: WanAttention, x: Tensor, relations: Relations, *, video_only: bool = False) -> Tensor:
    """Self-attention with R2PE positions and CSAM ranges, after its output projection: (B, L, D), or (B, V, D)."""
    queries = relations.video_tokens if video_only else x.shape[1]
    # One after the other, so that only one of them is in memory more than once.
    v = _heads(module, module.v(x))  # (B, L, N, d)
    q = _heads(module, module.norm_q(module.q(x[:, :queries])))
    q = rotate(q, relations.cos[:queries], relations.sin[:queries]).to(v.dtype)
    k = rotate(_heads(module, module.norm_k(module.k(x))), relations.cos, relations.sin).to(v.dtype)
    q, k, v = (part.transpose(1, 2) for part in (q, k, v))  # (B, N, L, d)
    if relations.observe is not None:
        relations.observe(q, k)
    bias = None if relations.key_bias is None else relations.key_bias.to(q.dtype).view(1, 1, 1, -1)
    ranges = relations.ranges(video_only=video_only)
    if relations.region_bias is None:
        out = ranged_attention(q, k, v, ranges, relations.attention, bias)
    else:
        parts = [region_attention(q[:, :, : relations.video_tokens], k, v, relations.region_bias, relations.key_bias)]
        if len(ranges) > 1:
            parts.append(ranged_attention(q, k, v, ranges[1:], relations.attention))
        out = torch.cat(parts, dim=2)
    out = out.transpose(1, 2).flatten(2)  # (B, L, D)
    if relations.change_attention is not None:
        out = relations.change_attention(out, q.transpose(1, 2), k.transpose(1, 2))
    return module.o(out)


def cross_attention(module: WanAttention, x: Tensor, text: Tensor, relations: Relations) -> Tensor:
    """Cross-attention over the text with the bias of MCAM, after its output projection, in the shape of x.

    Args:
        x: (B, L, D), or (B, V, D) for the video alone, which has no bias.
    """
    has_images = x.shape[1] > relations.video_tokens
    v = _heads(module, module.v(text))
    # Under autocast a norm with float32 weights returns float32; attention functions want one dtype.
    q = _heads(module, module.norm_q(module.q(x)).to(v.dtype))
    k = _heads(module, module.norm_k(module.k(text)).to(v.dtype))
    q, k, v = (part.transpose(1, 2) for part in (q, k, v))
    words = relations.words if has_images else relations.words[..., :0, :]
    unread = None
    if has_images and relations.unread is not None:
        unread = unread_text(text, relations.unread)
    out = biased_cross_attention(
        q, k, v, words, relations.grid, relations.mcam_ratio, relations.attention, relations.text_bias, unread
    )
    return module.o(out.transpose(1, 2).flatten(2))


def _heads(module: WanAttention, x: Tensor) -> Tensor:
    """(B, L, D) -> (B, L, heads, d)."""
    return x.unflatten(-1, (module.num_heads, -1))
