"""CSAM: self-attention in which the video sees everything and each group of pictures sees only itself (section 3.3).

Shapes: B videos, N heads, L = V + R*P tokens (V of the video, P of each of R pictures), d channels a head.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor

from .layout import ReferenceLayout

# (B, N, queries, d), (B, N, keys, d), (B, N, keys, d), attn_mask: None or an additive bias that broadcasts to
# (B, N, queries, keys) -> (B, N, queries, d), scaled by 1/sqrt(d). Any function of this form can be passed in.
AttentionFunction = Callable[..., Tensor]


def scaled_dot_product_attention(q: Tensor, k: Tensor, v: Tensor, attn_mask: Tensor | None = None) -> Tensor:
    """PyTorch's own attention, the default AttentionFunction."""
    return F.scaled_dot_product_attention(q, k, v, attn_mask=attn_mask)


def grouped_self_attention(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    layout: ReferenceLayout,
    picture_tokens: int,
    attention: AttentionFunction = scaled_dot_product_attention,
) -> Tensor:
    """Self-attention over the ranges of CSAM, without any mask.

    One call lets the video's queries see all keys. The pictures' queries never leave their group, so groups stand
    in the batch dimension, one call for each group size.

    Args:
        q, k, v: (B, N, L, d), positions already applied.
        picture_tokens: P.

    Returns:
        (B, N, L, d).
    """
    video_tokens = q.shape[2] - layout.pictures * picture_tokens
    video = attention(q[:, :, :video_tokens], k, v)
    if not layout.pictures:
        return video

    q, k, v = (rearrange(x[:, :, video_tokens:], "b n (r p) d -> b n r p d", p=picture_tokens) for x in (q, k, v))
    order, outputs = [], []
    for size, pictures in _pictures_by_group_size(layout).items():
        groups = (rearrange(x[:, :, pictures], "b n (g s) p d -> (b g) n (s p) d", s=size) for x in (q, k, v))
        out = attention(*groups)
        outputs.append(rearrange(out, "(b g) n (s p) d -> b n (g s) p d", b=q.shape[0], s=size))
        order += pictures
    back = sorted(range(len(order)), key=order.__getitem__)
    references = torch.cat(outputs, dim=2)[:, :, back]
    return torch.cat([video, references.flatten(2, 3)], dim=2)


def _pictures_by_group_size(layout: ReferenceLayout) -> dict[int, list[int]]:
    by_size = defaultdict(list)
    for group in layout.groups:
        if group:
            by_size[len(group)].extend(group)
    return by_size
