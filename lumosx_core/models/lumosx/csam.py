"""CSAM: self-attention in which the video sees everything and each group of images sees only itself (section 3.3).

Shapes: B videos, N heads, L = V + R*P tokens (V of the video, P of each of R images), d channels a head, G ranges of
one size.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from ...scene.layout import ReferenceLayout

# (B, N, queries, d), (B, N, keys, d), (B, N, keys, d), attn_mask: None or an additive bias that broadcasts to
# (B, N, queries, keys) -> (B, N, queries, d), scaled by 1/sqrt(d). Any function of this form can be passed in.
AttentionFunction = Callable[..., Tensor]


def scaled_dot_product_attention(q: Tensor, k: Tensor, v: Tensor, attn_mask: Tensor | None = None) -> Tensor:
    """PyTorch's own attention, the default AttentionFunction."""
    if attn_mask is not None and q.is_cuda:
        # cuDNN, the first choice on newer cards, has a record of wrong results with a bias that broadcasts.
        with sdpa_kernel([SDPBackend.EFFICIENT_ATTENTION, SDPBackend.MATH]):
            return F.scaled_dot_product_attention(q, k, v, attn_mask=attn_mask)
    return F.scaled_dot_product_attention(q, k, v, attn_mask=attn_mask)


@dataclass(frozen=True)
class AttentionRange:
    """Consecutive tokens that attend to the same consecutive tokens.

    Args:
        queries, keys: first token and the one after the last.
        biased: whether the bias on keys applies.
    """

    queries: tuple[int, int]
    keys: tuple[int, int]
    biased: bool = False


def attention_ranges(
    layout: ReferenceLayout,
    video_tokens: int,
    image_tokens: int,
    *,
    csam: bool = True,
    biased: bool = False,
    video_only: bool = False,
) -> tuple[AttentionRange, ...]:
    """Which tokens attend to which, in the order of the tokens.

    Args:
        video_tokens, image_tokens: V and P.
        csam: False lets the images attend to everything, as in plain Wan2.1.
        biased: whether a bias is added to what the video attends to.
        video_only: leave out what the images attend to.
    """
    everything = (0, video_tokens + layout.pictures * image_tokens)
    video = AttentionRange((0, video_tokens), everything, biased)
    if video_only or not layout.pictures:
        return (video,)
    if csam:
        edges = (
            (video_tokens + image_tokens * group.start, video_tokens + image_tokens * group.stop)
            for group in layout.groups
            if group
        )
        return (video, *(AttentionRange(group, group) for group in edges))
    if biased:
        return (video, AttentionRange((video_tokens, everything[1]), everything))
    return (AttentionRange(everything, everything),)


def ranged_attention(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    ranges: Sequence[AttentionRange],
    attention: AttentionFunction = scaled_dot_product_attention,
    bias: Tensor | None = None,
) -> Tensor:
    """Attention of consecutive ranges of queries, each over its own range of keys, without any mask.

    Ranges of one size are computed in one call, side by side in the batch dimension.

    Args:
        q: (B, N, queries, d), positions already applied.
        k, v: (B, N, L, d).
        ranges: of all queries, in their order.
        bias: broadcasts to (B, N, V, L), added to the logits of biased ranges.

    Returns:
        (B, N, queries, d).
    """
    alike: defaultdict[tuple[int, int, bool], list[AttentionRange]] = defaultdict(list)
    for each in ranges:
        (start, stop), (first, last) = each.queries, each.keys
        alike[stop - start, last - first, each.biased].append(each)

    outputs: dict[int, Tensor] = {}
    for (_, _, biased), members in alike.items():
        parts = (
            _side_by_side(q, [member.queries for member in members]),
            _side_by_side(k, [member.keys for member in members]),
            _side_by_side(v, [member.keys for member in members]),
        )
        out = attention(*parts, attn_mask=bias) if biased else attention(*parts)  # (B*G, N, queries, d)
        out = out.unflatten(0, (q.shape[0], len(members)))
        outputs |= {member.queries[0]: out[:, i] for i, member in enumerate(members)}
    return torch.cat([outputs[start] for start in sorted(outputs)], dim=2)


def _side_by_side(x: Tensor, ranges: Sequence[tuple[int, int]]) -> Tensor:
    """(B, N, L, d) -> (B*G, N, size, d); a single range stays a view."""
    if len(ranges) == 1:
        return x[:, :, slice(*ranges[0])]
    return torch.stack([x[:, :, start:stop] for start, stop in ranges], dim=1).flatten(0, 1)
