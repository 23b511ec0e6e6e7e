"""MobileSAM's image encoder (Zhang et al., "Faster Segment Anything", 2023): TinyViT as the package timm builds it.

The rest of the network is SAM 1's. MobileSAM differs from timm's TinyViT in the stride before its last stage, which
keeps 64 x 64 positions, and in SAM's neck behind it.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from ...errors import MissingPackageError

_SIDE, _PATCH = 1024, 16  # pixels; no tensor tells them, and there is one size only
_PREFIX = "image_encoder."
_UNUSED = ("norm_head.", "head.")  # of the classifier that the encoder was trained from
_NAMES = (
    (re.compile(r"^patch_embed\.seq\.0\."), "patch_embed.conv1."),
    (re.compile(r"^patch_embed\.seq\.2\."), "patch_embed.conv2."),
    # What leads to the next stage is the end of a layer there, and the beginning of a stage here.
    (re.compile(r"^layers\.(\d+)\.downsample\."), lambda match: f"stages.{int(match[1]) + 1}.downsample."),
    (re.compile(r"^layers\.(\d+)\."), lambda match: f"stages.{match[1]}."),
    (re.compile(r"\.c\."), ".conv."),
)


def is_mobile_sam(tensors: Mapping[str, Tensor]) -> bool:
    """Whether tensors are MobileSAM's: a SAM whose image encoder is a TinyViT."""
    return f"{_PREFIX}patch_embed.seq.0.c.weight" in tensors


def mobile_encoder(tensors: Mapping[str, Tensor], feature: str) -> Any:
    """The image encoder in the sizes that the tensors have, with weights yet to be loaded.

    Args:
        feature: what it is for, for the message about a missing package.

    Raises:
        MissingPackageError: timm is not installed.
        KeyError: a tensor that tells a size is missing.
    """
    try:
        from timm.models.tiny_vit import TinyVit
    except ImportError as error:
        raise MissingPackageError("timm", f"{feature} (MobileSAM)", error) from error

    numbers = [re.match(rf"{_PREFIX}layers\.(\d+)\.blocks\.(\d+)\.", name) for name in tensors]
    blocks = {(int(match[1]), int(match[2])) for match in numbers if match}
    depths = [sum(layer == i for layer, _ in blocks) for i in range(1 + max((layer for layer, _ in blocks), default=0))]
    # Of each layer but the first, which convolves: a head's bias for each distance (dy, dx) within its window.
    biases = [tensors[f"{_PREFIX}layers.{i}.blocks.0.attn.attention_biases"].shape for i in range(1, len(depths))]
    widths = [
        tensors[f"{_PREFIX}patch_embed.seq.2.c.weight"].shape[0],
        *(tensors[f"{_PREFIX}layers.{i}.downsample.conv3.c.weight"].shape[0] for i in range(len(depths) - 1)),
    ]
    # Not on meta as SAM 1's: its tables of distances are in no file, and it is small.
    body = TinyVit(
        num_classes=0,
        embed_dims=tuple(widths),
        depths=tuple(depths),
        num_heads=(1, *(heads for heads, _ in biases)),
        window_sizes=(1, *(math.isqrt(distances) for _, distances in biases)),
        drop_path_rate=0.0,
    )
    return _MobileEncoder(body, widths[-1], tensors[f"{_PREFIX}neck.0.weight"].shape[0])


def as_timm_names(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """MobileSAM's tensors by the names that they have in the network of `mobile_encoder`."""
    renamed = {}
    for name, tensor in tensors.items():
        inner = name.removeprefix(_PREFIX)
        if inner == name or inner.startswith("neck."):
            renamed[name] = tensor
        elif not inner.startswith(_UNUSED):
            for pattern, replacement in _NAMES:
                inner = pattern.sub(replacement, inner)
            renamed[f"{_PREFIX}body.{inner}"] = tensor
    return renamed


class _MobileEncoder(nn.Module):
    """(1, 3, 1024, 1024) pixels -> (1, channels, 64, 64)."""

    img_size, patch_size = _SIDE, _PATCH

    def __init__(self, body: Any, width: int, channels: int):
        from segment_anything.modeling.common import LayerNorm2d

        super().__init__()
        body.stages[-1].downsample.conv2.conv.stride = (1, 1)
        body.head = nn.Identity()
        self.body = body
        self.neck = nn.Sequential(
            nn.Conv2d(width, channels, 1, bias=False),
            LayerNorm2d(channels),
            nn.Conv2d(channels, channels, 3, padding=1, bias=False),
            LayerNorm2d(channels),
        )

    def forward(self, pixels: Tensor) -> Tensor:
        return self.neck(self.body.forward_features(pixels))
