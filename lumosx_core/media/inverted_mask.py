"""Recognises a mask that keeps the surroundings and cuts out the subject.

ComfyUI's Load Image gives such a mask for a transparent image.
"""

from __future__ import annotations

import torch
from torch import Tensor

RING = 0.02  # thickness of the border that is looked at, as a fraction of the shorter side
FLAT = 2 / 255  # standard deviation below which a region has one colour


def looks_inverted(image: Tensor, mask: Tensor) -> bool:
    """Whether a mask of a face, a garment or a thing is the wrong way round.

    The subject of a reference image is in the middle and the border is its surroundings, so a mask is inverted if it
    keeps the border and cuts something out of the inside:

    - nearly all of the border is kept, and a twentieth of the image or more is cut out;
    - or most of the border and all corners, and most of the middle is cut out (the subject touches the border);
    - or much of the border, and what is kept has one colour while what is cut out has several: nobody masks nothing.

    A mask that keeps everything, or touches the border as a large subject does, is none of these. A background, from
    which people may be cut, is not to be asked about.

    Args:
        image: (H, W, 3), 0..1.
        mask: (H, W), 1 where something is kept.
    """
    height, width = mask.shape
    kept = mask >= 0.5
    cut = ~kept
    if not cut.any() or not kept.any():
        return False
    thickness = max(1, round(RING * min(height, width)))
    ring = torch.ones_like(kept)
    ring[thickness : height - thickness, thickness : width - thickness] = False
    border = kept[ring].float().mean().item()
    if border >= 0.95 and cut.float().mean().item() >= 0.05:
        return True
    corners = bool(kept[[0, 0, -1, -1], [0, -1, 0, -1]].all())
    middle = cut[height // 4 : height - height // 4, width // 4 : width - width // 4].float().mean().item()
    if border >= 0.75 and corners and middle >= 0.75:
        return True
    return border >= 0.4 and middle >= 0.05 and _flat(image[kept]) and not _flat(image[cut])


def _flat(colours: Tensor) -> bool:
    """Whether (N, 3) colours are one colour."""
    return len(colours) < 2 or colours.float().std(dim=0).max().item() < FLAT
