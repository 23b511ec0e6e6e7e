"""A photo made smaller, as the release does it."""

from __future__ import annotations

import torch
from torch import Tensor

LONG_SIDE = 1024
"""Pixels of the long side to which larger photos are shrunk before a face is sought in them."""

_REACH = 4  # pixels to each side that the kernel sees


def shrunk(photo: Tensor, long_side: int = LONG_SIDE) -> Tensor:
    """A photo whose long side is not longer than that.

    By the Lanczos kernel of eight pixels, which does not grow with the factor: of a photo that is many times too large
    it takes some pixels only, so that fine patterns flicker. Pillow's filter of that name takes them all; the network
    was shown photos shrunk this way.

    Args:
        photo: (H, W, 3) float of 0..1.

    Returns: the photo itself if it is small enough, else whole 255ths in float32.
    """
    height, width = photo.shape[:2]
    if max(height, width) <= long_side:
        return photo
    scale = long_side / max(height, width)
    values = photo.detach().to("cpu", torch.float32)
    values = _along(_along(values, 1, max(1, int(width * scale))), 0, max(1, int(height * scale)))
    return values.mul_(255).round_().clamp_(0, 255).div_(255)


def _along(image: Tensor, axis: int, size: int) -> Tensor:
    """The image with another size along one axis; beyond its edge its last pixels go on."""
    before = image.shape[axis]
    at = (torch.arange(size, dtype=torch.float64) + 0.5) * (before / size) - 0.5
    first = at.floor().long() - _REACH + 1
    taps = first[:, None] + torch.arange(2 * _REACH)  # (size, 8)
    distance = at[:, None] - taps
    weights = torch.sinc(distance) * torch.sinc(distance / _REACH)
    weights = (weights / weights.sum(dim=1, keepdim=True)).float()
    taps = taps.clamp(0, before - 1)
    shape = [-1 if dimension == axis else 1 for dimension in range(image.ndim)]
    total = torch.zeros(())
    for tap in range(2 * _REACH):
        total = total + image.index_select(axis, taps[:, tap]) * weights[:, tap].view(shape)
    return total
