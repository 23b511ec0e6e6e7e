"""R2PE: rotary positions that give all images of one subject a single position in time (LumosX, section 3.2).

Shapes: L tokens = T*h*w of the video, then R*h*w of the reference images; d channels a head.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ...scene.layout import ReferenceLayout

THETA = 10000.0


def token_positions(layout: ReferenceLayout, frames: int, height: int, width: int, r2pe: bool = True) -> Tensor:
    """The integer (time, row, column) of every token.

    Video tokens have the time of their own frame. The images follow: each standalone image takes the next moment, and
    so does each subject as a whole; image j of a subject is shifted by j images along both rows and columns, so that
    no two of its images overlap. (The paper prints the shift with rows and columns exchanged; the released code is
    what counts.)

    Args:
        frames, height, width: the video's size in tokens.
        r2pe: False gives every image its own moment and no shift: plain Wan2.1 positions.

    Returns:
        (L, 3) int64 on the CPU.
    """
    corners = [(t, 0, 0) for t in range(frames)]  # of each frame, then of each image
    if r2pe:
        for moment, group in enumerate(layout.groups):
            corners += [(frames + moment, member * height, member * width) for member in range(len(group))]
    else:
        corners += [(frames + image, 0, 0) for image in range(layout.pictures)]
    rows, columns = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    within = torch.stack([torch.zeros_like(rows), rows, columns], dim=-1).view(1, height * width, 3)
    return (torch.tensor(corners, dtype=torch.int64).view(-1, 1, 3) + within).view(-1, 3)


def rotary_table(positions: Tensor, head_dim: int, device: torch.device | str = "cpu") -> tuple[Tensor, Tensor]:
    """Cosine and sine of the rotation angles at integer positions.

    The d/2 channel pairs are divided as in Wan2.1: d//6 for rows, d//6 for columns, the rest for time. Angles are
    taken in float64: at position 1000 float32 has lost four digits of them.

    Args:
        positions: (L, 3) int64 on the CPU.

    Returns:
        cos, sin: (L, d/2) float32 on the device.
    """
    spatial = head_dim // 6
    angles = []
    for axis, pairs in enumerate((head_dim // 2 - 2 * spatial, spatial, spatial)):
        frequencies = THETA ** -(torch.arange(pairs, dtype=torch.float64) / pairs)
        # Many tokens share a position on an axis, so a small table of positions is built, in float64 on the CPU as MPS
        # has none, and then looked up on the device.
        table = torch.arange(int(positions[:, axis].max()) + 1, dtype=torch.float64)[:, None] * frequencies
        index = positions[:, axis].to(device)
        angles.append([part.float().to(device)[index] for part in (table.cos(), table.sin())])
    cos, sin = (torch.cat(parts, dim=-1) for parts in zip(*angles, strict=True))
    return cos, sin


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotate interleaved channel pairs in float32 (within 3e-6 of the reference's complex128).

    Args:
        x: (B, L, heads, d).
        cos, sin: (L, d/2) float32.
    """
    even, odd = x.float().unflatten(-1, (-1, 2)).unbind(-1)
    cos, sin = cos[:, None], sin[:, None]
    return torch.stack([even * cos - odd * sin, even * sin + odd * cos], dim=-1).flatten(-2).to(x.dtype)
