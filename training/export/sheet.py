"""A reference sheet: all reference images of a sample on one canvas, a row for each subject, without text."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from lumosx_core.media.images import to_pil

from .owned_images import OwnedImage

GAP = 0.02  # of the canvas's shorter side, between panels and around them


def rows_of(images: Sequence[OwnedImage]) -> list[list[OwnedImage]]:
    """The rows of the sheet: each subject's images, then one row of what belongs to nobody."""
    owners = sorted({image.owner for image in images if image.owner is not None})
    rows = [[image for image in images if image.owner == owner] for owner in owners]
    shared = [image for image in images if image.owner is None]
    return rows + ([shared] if shared else [])


def draw_sheet(images: Sequence[OwnedImage], width: int, height: int, *, ground: str) -> Tensor:
    """Each image fitted into a panel of its own; panels of a row are equally wide.

    Args:
        ground: colour of the canvas, "black" or "white".

    Returns: (height, width, 3) float32, 0..1.
    """
    canvas = Image.new("RGB", (width, height), ground)
    rows = rows_of(images)
    gap = max(1, round(GAP * min(width, height)))
    for r, row in enumerate(rows):
        top, bottom = _edges(r, len(rows), height, gap)
        for c, image in enumerate(row):
            left, right = _edges(c, len(row), width, gap)
            panel = to_pil(image.image)
            ratio = min((right - left) / panel.width, (bottom - top) / panel.height)
            size = max(1, int(panel.width * ratio)), max(1, int(panel.height * ratio))
            panel = panel.resize(size, Image.Resampling.BICUBIC)
            canvas.paste(panel, ((left + right - size[0]) // 2, (top + bottom - size[1]) // 2))
    return torch.from_numpy(np.asarray(canvas, dtype=np.float32) / 255)


def _edges(index: int, count: int, length: int, gap: int) -> tuple[int, int]:
    """Where panel `index` of `count` begins and ends along a side of `length` pixels; at least one pixel each."""
    room = max(count, length - gap * (count + 1)) / count
    start = int(gap + index * (room + gap))
    start = min(start, length - 1)
    return start, max(start + 1, min(length, int(start + room)))
