"""One transformer block with LumosX's relational attention, written against any block with Wan2.1's submodules.

`LumosXModel` and ComfyUI's own `WanModel` both run this forward, so quantised, patched or offloaded layers of the host
keep working: a layer is only ever called, never looked into.

Shapes: B videos, L tokens (video, then pictures), D channels, J text tokens.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ...scene.layout import ReferenceLayout
from .csam import AttentionFunction, grouped_self_attention, scaled_dot_product_attention
from .mcam import biased_cross_attention, word_weights
from .r2pe import rotary_table, rotate, token_positions


@dataclass(frozen=True)
class Relations:
    """What the relational parts of every block need in one forward pass.

    Args:
        layout: how the pictures are divided into groups.
        grid: (h, w), the size of a frame in tokens.
        cos, sin: (L, d/2) float32, the rotary table of all tokens.
        words: (R, J) or (B, R, J) float32, from word_weights.
        mcam_ratio: strength of MCAM; 0 turns it off.
        csam: False lets every token see every token, as in plain Wan2.1.
        attention: the attention function used for all calls.
        text_bias: (J,), added to the logits of each text token; None: nothing is added.
        key_bias: (L,) float32, added to the logits of each token that the video looks at; None: nothing is added.
        observe: is shown the queries (B, N, Lq, d) and keys (B, N, L, d) of each self-attention, positions applied, to
            look at and leave as they are; None: nobody looks.
        change_attention: takes the output of self-attention (B, L, D) before its projection, and the queries and keys
            (B, L, N, d), positions applied, and returns what takes its place; None: nothing is changed.
        change_text_attention: takes the tokens (B, L, D) after cross-attention and returns what takes their place;
            None: nothing is changed.
    """

    layout: ReferenceLayout
    grid: tuple[int, int]
    cos: Tensor
    sin: Tensor
    words: Tensor
    mcam_ratio: float = 0.5
    csam: bool = True
    attention: AttentionFunction = scaled_dot_product_attention
    text_bias: Tensor | None = None
    key_bias: Tensor | None = None
    observe: Callable[[Tensor, Tensor], None] | None = None
    change_attention: Callable[[Tensor, Tensor, Tensor], Tensor] | None = None
    change_text_attention: Callable[[Tensor], Tensor] | None = None

    @property
    def picture_tokens(self) -> int:
        return self.grid[0] * self.grid[1]

    @property
    def video_tokens(self) -> int:
        return self.cos.shape[0] - self.layout.pictures * self.picture_tokens

    @classmethod
    def build(
        cls,
        layout: ReferenceLayout,
        phrase_mask: Tensor,
        frames: int,
        grid: tuple[int, int],
        head_dim: int,
        *,
        device: torch.device,
        r2pe: bool = True,
        strengths: Sequence[float] | None = None,
        **options,
    ) -> Relations:
        """Prepare the relations of `layout` for a video of `frames` x `grid` tokens on `device`.

        Args:
            strengths: R numbers above 0 that multiply the weight which the video's attention gives each picture; None:
                all are 1.
        """
        cos, sin = rotary_table(token_positions(layout, frames, *grid, r2pe=r2pe), head_dim, device=device)
        words = word_weights(phrase_mask.to(device), layout)
        key_bias = None
        if strengths is not None:
            tokens = grid[0] * grid[1]
            per_picture = torch.tensor(strengths, dtype=torch.float32).log().repeat_interleave(tokens)
            key_bias = torch.cat([torch.zeros(frames * tokens), per_picture]).to(device)
        return cls(layout, grid, cos, sin, words, key_bias=key_bias, **options)


def relational_block(
    block: nn.Module, x: Tensor, modulation: Tensor, text: Tensor, relations: Relations, *, video_only: bool = False
) -> Tensor:
    """Run one Wan2.1 block with CSAM in its self-attention and MCAM in its cross-attention.

    Args:
        block: has norm1, self_attn, norm3, cross_attn, norm2, ffn and the parameter `modulation` (1, 6, D).
        x: (B, L, D).
        modulation: (B, 1, 6, D), the projected time embedding.
        text: (B, J, D).
        video_only: return the video's tokens alone, for the last block: what pictures only ask for is not computed.

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


def self_attention(module: nn.Module, x: Tensor, relations: Relations, *, video_only: bool = False) -> Tensor:
    """Self-attention with R2PE positions and CSAM ranges, after its output projection: (B, L, D), or (B, V, D)."""
    asking = relations.video_tokens if video_only else x.shape[1]
    # One after the other, so that only one of them is in memory more than once.
    v = _heads(module, module.v(x))
    q = _heads(module, module.norm_q(module.q(x[:, :asking])))
    q = rotate(q, relations.cos[:asking], relations.sin[:asking]).to(v.dtype)
    k = rotate(_heads(module, module.norm_k(module.k(x))), relations.cos, relations.sin).to(v.dtype)
    q, k, v = (part.transpose(1, 2) for part in (q, k, v))
    if relations.observe is not None:
        relations.observe(q, k)
    attention, bias = relations.attention, relations.key_bias
    if bias is not None:
        bias = bias.to(q.dtype).view(1, 1, 1, -1)
    if relations.csam and not video_only:  # the video sees everything with CSAM, too
        out = grouped_self_attention(q, k, v, relations.layout, relations.picture_tokens, attention, bias)
    elif bias is None or video_only:
        out = attention(q, k, v, attn_mask=bias)
    else:
        video, pictures = q[:, :, : relations.video_tokens], q[:, :, relations.video_tokens :]
        out = torch.cat([attention(video, k, v, attn_mask=bias), attention(pictures, k, v)], dim=2)
    out = out.transpose(1, 2).flatten(2)
    if relations.change_attention is not None:
        out = relations.change_attention(out, q.transpose(1, 2), k.transpose(1, 2))
    return module.o(out)


def cross_attention(module: nn.Module, x: Tensor, text: Tensor, relations: Relations) -> Tensor:
    """Cross-attention over the text with the bias of MCAM, after its output projection, in the shape of x.

    Args:
        x: (B, L, D), or (B, V, D) for the video alone, which has no bias.
    """
    with_pictures = x.shape[1] > relations.video_tokens
    v = _heads(module, module.v(text))
    # Under autocast a norm with float32 weights returns float32; attention functions want one dtype.
    q = _heads(module, module.norm_q(module.q(x)).to(v.dtype))
    k = _heads(module, module.norm_k(module.k(text)).to(v.dtype))
    q, k, v = (part.transpose(1, 2) for part in (q, k, v))
    words = relations.words if with_pictures else relations.words[..., :0, :]
    out = biased_cross_attention(
        q, k, v, words, relations.grid, relations.mcam_ratio, relations.attention, relations.text_bias
    )
    return module.o(out.transpose(1, 2).flatten(2))


def _heads(module: nn.Module, x: Tensor) -> Tensor:
    """(B, L, D) -> (B, L, heads, d)."""
    return x.unflatten(-1, (module.num_heads, -1))
