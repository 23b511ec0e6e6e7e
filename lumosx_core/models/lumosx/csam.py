"""CSAM: self-attention in which the video sees everything and each group of pictures sees only itself (section 3.3).

Shapes: B videos, N heads, L = V + R*P tokens (V of the video, P of each of R pictures), d channels a head.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable

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


def grouped_self_attention(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    layout: ReferenceLayout,
    picture_tokens: int,
    attention: AttentionFunction = scaled_dot_product_attention,
    video_bias: Tensor | None = None,
) -> Tensor:
    """Self-attention over the ranges of CSAM, without any mask.

    One call lets the video's queries see all keys. The pictures' queries never leave their group, so groups stand
    in the batch dimension, one call for each group size.

    Args:
        q, k, v: (B, N, L, d), positions already applied.
        picture_tokens: P.
        video_bias: broadcasts to (B, N, V, L), added to the logits of the video's queries; None: nothing is added.

    Returns:
        (B, N, L, d).
    """
    video_tokens = q.shape[2] - layout.pictures * picture_tokens
    by_size = defaultdict(list)  # the range of tokens of each group
    for group in layout.groups:
        if group:
            by_size[len(group)].append([video_tokens + picture_tokens * end for end in (group.start, group.stop)])

    outputs = {0: attention(q[:, :, :video_tokens], k, v, attn_mask=video_bias)}
    for ranges in by_size.values():
        groups = (torch.stack([x[:, :, start:stop] for start, stop in ranges], dim=1).flatten(0, 1) for x in (q, k, v))
        out = attention(*groups).unflatten(0, (q.shape[0], len(ranges)))
        outputs |= {start: out[:, i] for i, (start, _) in enumerate(ranges)}
    return torch.cat([outputs[start] for start in sorted(outputs)], dim=2)
