"""The three frames of a clip that say who and what is in it: at 5, 50 and 95 % (paper)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from lumosx_core.media.video_file import frame_times, opened_video

from ..data.clips import read_frames

POSITIONS = (0.05, 0.5, 0.95)
MIDDLE = 1


def key_frames_of(path: Path) -> list[int]:
    """Which frames of a video these are, counted from 0. Of a very short one some may be the same.

    Raises:
        LumosXError: the video cannot be read.
        MissingPackageError: av is not installed.
    """
    with opened_video(path) as container:
        count = len(frame_times(container, path))
    return [min(count - 1, int(position * count)) for position in POSITIONS]


def read_key_frames(path: Path, frames: Sequence[int]) -> list[Tensor]:
    """Frames of a video, each (H, W, 3) float32 in 0..1.

    Raises:
        LumosXError: the video cannot be read, or has fewer frames.
        MissingPackageError: av is not installed.
    """
    pixels = read_frames(path, set(frames))
    return [torch.from_numpy(pixels[frame].copy()).float() / 255 for frame in frames]
