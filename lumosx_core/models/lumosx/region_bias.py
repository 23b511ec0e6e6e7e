"""Regions of a video that attend more to some tokens than to others, without a mask over all pairs of tokens.

What a query adds to the logit of a key is a product of a few factors of the query with as many of the key, so it fits
into channels behind those of the head: attention stays one call without a mask, whose cost is that of the channels.

Shapes: B videos, N heads, L tokens of which V are the video's, d channels a head, S factors.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Tensor

from ...scene.layout import ReferenceLayout
from .csam import scaled_dot_product_attention

FULL_SPEED = 8  # attention kernels want a head's channels in multiples of it


@dataclass(frozen=True, eq=False)
class RegionBias:
    """An addition to the logits of the video's self-attention: `queries @ keys`.

    Args:
        queries: (B, V, S) float32.
        keys: (S, L) float32.
    """

    queries: Tensor
    keys: Tensor
    _channels: dict = field(default_factory=dict, init=False, repr=False)

    def channels(self, head: int, key_bias: Tensor | None) -> tuple[Tensor, Tensor]:
        """What is added behind the `head` channels of queries and keys: (B, 1, V, more), (1, 1, L, more).

        Attention divides logits by the root of all channels, so queries are multiplied by it. All layers of a pass have
        the same, and so do all passes with the same regions.
        """
        key = (head, None if key_bias is None else id(key_bias))
        if key not in self._channels:
            of_queries, of_keys = self.queries, self.keys.T[None]
            if key_bias is not None:
                of_queries = torch.cat([of_queries, torch.ones_like(of_queries[..., :1])], dim=-1)
                of_keys = torch.cat([of_keys, key_bias.float().view(1, -1, 1)], dim=-1)
            more = -(-of_keys.shape[-1] // FULL_SPEED) * FULL_SPEED
            of_queries = F.pad(of_queries * math.sqrt(head + more), (0, more - of_queries.shape[-1]))
            of_keys = F.pad(of_keys, (0, more - of_keys.shape[-1]))
            self._channels[key] = of_queries[:, None], of_keys[:, None], key_bias  # kept, so that no other has its id
        return self._channels[key][:2]


def subject_bias(regions: Tensor, layout: ReferenceLayout, image_tokens: int, strength: float) -> RegionBias:
    """Draw each subject's region to the subject's own reference images, and off those of other subjects.

    In a region of weight 1 the subject's own images have logits higher by `strength`, those of others lower by it;
    background, objects and the video itself have the ones they had.

    Args:
        regions: (B, S, V), the weight of each subject at each token of the video, 0 to 1.
        layout: of the images behind the video, with S subjects.
        image_tokens: P.
        strength: 0 or more.
    """
    video_tokens = regions.shape[-1]
    keys = torch.zeros(regions.shape[1], video_tokens + layout.pictures * image_tokens, device=regions.device)
    for subject, group in enumerate(layout.groups[layout.standalone :]):
        keys[subject, video_tokens + group.start * image_tokens : video_tokens + group.stop * image_tokens] = 1
    others = regions.sum(dim=1, keepdim=True) - regions
    return RegionBias(strength * (regions - others).transpose(1, 2), keys)


def region_attention(q: Tensor, k: Tensor, v: Tensor, bias: RegionBias, key_bias: Tensor | None = None) -> Tensor:
    """Attention of the video to all tokens with a bias of its regions.

    Always PyTorch's own: other kernels have no heads of more than 128 channels, and quantise queries and keys, for
    which the added channels are too large.

    Args:
        q: (B, N, V, d), positions applied.
        k, v: (B, N, L, d).
        key_bias: (L,), added to the logits of each key, too; None: nothing is added.

    Returns:
        (B, N, V, d).
    """
    channels = q.shape[-1]
    of_queries, of_keys = bias.channels(channels, key_bias)
    more = of_keys.shape[-1]
    q = torch.cat(
        [q * math.sqrt((channels + more) / channels), of_queries.to(q.dtype).expand(*q.shape[:3], -1)], dim=-1
    )
    k = torch.cat([k, of_keys.to(k.dtype).expand(*k.shape[:3], -1)], dim=-1)
    return scaled_dot_product_attention(q, k, F.pad(v, (0, more)))[..., :channels]
