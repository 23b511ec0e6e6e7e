"""Work on a large image in overlapping tiles, blended where they overlap: slower, but with the memory of one tile."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor


def in_tiles(work: Callable[[Tensor], Tensor], x: Tensor, *, size: int, overlap: int, ratio: float) -> Tensor:
    """What `work` makes of `x`, tile by tile.

    Args:
        work: takes (..., h, w), at most `size` x `size`, and returns (..., h * ratio, w * ratio).
        x: (..., H, W).
        size, overlap: of the tiles, in units of `x`; across an overlap one tile fades into the next.
        ratio: sides of the result, in units of those of `x`.
    """
    height, width = x.shape[-2:]
    result = None
    for top in _starts(height, size, overlap):
        for left in _starts(width, size, overlap):
            tile = work(x[..., top : top + size, left : left + size])
            if result is None:
                result = tile.new_zeros(*tile.shape[:-2], round(height * ratio), round(width * ratio))
            fade = round(overlap * ratio)
            rows = _fading(tile.shape[-2], fade, first=top == 0, last=top + size >= height)
            columns = _fading(tile.shape[-1], fade, first=left == 0, last=left + size >= width)
            place = result[..., round(top * ratio) :, round(left * ratio) :][..., : len(rows), : len(columns)]
            place += tile * (rows[:, None] * columns).to(tile)
    assert result is not None
    return result


def _starts(length: int, size: int, overlap: int) -> range:
    return range(0, max(length - overlap, 1), size - overlap)


def _fading(length: int, fade: int, *, first: bool, last: bool) -> Tensor:
    """(length,) weights that add up to one with those of the neighbours."""
    weights, rising = torch.ones(length), torch.arange(fade) / fade
    if not first:
        weights[:fade] = rising
    if not last:
        weights[-fade:] = 1 - rising
    return weights
