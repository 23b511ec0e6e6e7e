"""Positions of tokens: the rotation of queries and keys, the position table, and the embedding of the timestep.

Shapes: F latent frames, H x W latent pixels, h x w tokens a frame, D channels, d channels of a head.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ...errors import LumosXError
from .config import CogVideoXConfig

THETA = 10000.0
TRAINED_ROWS, TRAINED_COLUMNS = 30, 45
"""Tokens of a frame of 720 x 480 pixels; the rotation stretches every other frame onto them."""


def rotary_table(
    config: CogVideoXConfig, frames: int, height: int, width: int, device: torch.device | str | None = None
) -> tuple[Tensor, Tensor]:
    """Cosines and sines that rotate the image tokens' queries and keys.

    A head's channels are divided 1/4 time, 3/8 height, 3/8 width; neighbours are rotated together. Frames have whole
    numbers; rows and columns have, too, in a frame of 30 x 45 tokens, onto which a smaller or larger one is stretched.

    Args:
        frames: latent frames.
        height, width: latent pixels.

    Returns:
        cos and sin, each (F*h*w, d) float32, tokens in the order frame, row, column.

    Raises:
        LumosXError: another size than the network's own, for which it has no positions.

    Source: CogVideoX (arXiv 2408.06072), section 2.2.
    """
    check_size(config, height, width)
    rows, columns = height // config.patch_size, width // config.patch_size
    head = config.attention_head_dim
    time = _angles(_spread(0, frames, frames, device), head // 4)
    row_range, column_range = _trained_range(rows, columns)
    row = _angles(_spread(*row_range, rows, device), head // 8 * 3)
    column = _angles(_spread(*column_range, columns, device), head // 8 * 3)
    shape = (frames, rows, columns, -1)
    angles = torch.cat(
        [time[:, None, None].expand(shape), row[None, :, None].expand(shape), column[None, None].expand(shape)], dim=-1
    )
    angles = angles.reshape(frames * rows * columns, head)
    return angles.cos(), angles.sin()


def rotate(x: Tensor, table: tuple[Tensor, Tensor]) -> Tensor:
    """Rotate neighbouring channels of (B, heads, tokens, d) by the table's angles, in float32."""
    cos, sin = (part.to(x.device) for part in table)
    real, imaginary = x.unflatten(-1, (-1, 2)).unbind(-1)
    turned = torch.stack([-imaginary, real], dim=-1).flatten(-2)
    return (x.float() * cos + turned.float() * sin).to(x.dtype)


def position_table(config: CogVideoXConfig, frames: int, *, device=None, dtype: torch.dtype | None = None) -> Tensor:
    """Sinusoids of time (a quarter of the channels), column and row, zeros for the text: what untrained tables contain.

    The network uses them where it has no learned table, for another number of frames.

    Args:
        frames: latent frames.

    Returns:
        (1, text + F*h*w, D), tokens in the order text, frame, row, column.
    """
    width = config.width
    rows, columns = config.sample_height // config.patch_size, config.sample_width // config.patch_size
    spatial, temporal = config.spatial_interpolation_scale, config.temporal_interpolation_scale
    time, column, row = (
        _sinusoids(positions, scale, dim, device).to(device=device, dtype=dtype or torch.get_default_dtype())
        for positions, scale, dim in (
            (frames, temporal, width // 4),
            (columns, spatial, width // 8 * 3),
            (rows, spatial, width // 8 * 3),
        )
    )
    shape = (frames, rows, columns, -1)
    image = torch.cat(
        [time[:, None, None].expand(shape), column[None, None].expand(shape), row[None, :, None].expand(shape)], dim=-1
    )
    text = image.new_zeros(config.max_text_seq_length, width)
    return torch.cat([text, image.reshape(-1, width)])[None]


def timestep_embedding(timestep: Tensor, dim: int) -> Tensor:
    """Sinusoids of the timestep, cosines first: (B,) -> (B, dim) float32."""
    half = torch.arange(dim // 2, dtype=torch.float32, device=timestep.device)
    angles = timestep[:, None].float() * torch.exp(-math.log(THETA) * half / (dim // 2))
    return torch.cat([angles.cos(), angles.sin()], dim=-1)


def check_size(config: CogVideoXConfig, height: int, width: int) -> None:
    """Raise LumosXError for a size that the learned position table does not have."""
    if (height, width) != (config.sample_height, config.sample_width):
        raise LumosXError(
            f"The latents have {width} x {height} pixels, but the network's position table is learned for "
            f"{config.sample_width} x {config.sample_height} only. Make the video "
            f"{8 * config.sample_width} x {8 * config.sample_height} pixels."
        )


def _trained_range(rows: int, columns: int) -> tuple[tuple[int, int], tuple[int, int]]:
    """Where a frame is in the trained one: as large as fits there in its own shape, and centred; (start, end)."""
    if rows / columns > TRAINED_ROWS / TRAINED_COLUMNS:
        height, width = TRAINED_ROWS, round(TRAINED_ROWS / rows * columns)
    else:
        height, width = round(TRAINED_COLUMNS / columns * rows), TRAINED_COLUMNS
    top, left = round((TRAINED_ROWS - height) / 2), round((TRAINED_COLUMNS - width) / 2)
    return (top, top + height), (left, left + width)


def _spread(start: int, end: int, positions: int, device) -> Tensor:
    """Positions from `start` on; as released, the last one is `end` less its own part of `end`, wherever they start."""
    return torch.linspace(start, end * (positions - 1) / positions, positions, device=device, dtype=torch.float32)


def _angles(positions: Tensor, dim: int) -> Tensor:
    """Angle of each position and channel: (positions, dim), each frequency twice."""
    channels = torch.arange(0, dim, 2, dtype=torch.float32, device=positions.device)
    return torch.outer(positions, 1.0 / THETA ** (channels / dim)).repeat_interleave(2, dim=-1)


def _sinusoids(positions: int, scale: float, dim: int, target) -> Tensor:
    """Sines, then cosines: (positions, dim) float64, computed on the CPU, as MPS has no float64; on meta nothing is."""
    device = target if target is not None and torch.device(target).type == "meta" else "cpu"
    frequencies = 1.0 / THETA ** (torch.arange(dim // 2, dtype=torch.float64, device=device) / (dim / 2))
    scaled = torch.arange(positions, dtype=torch.float32, device=device) / scale  # float32, as released
    angles = torch.outer(scaled.double(), frequencies)
    return torch.cat([angles.sin(), angles.cos()], dim=-1)
