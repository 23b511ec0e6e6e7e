"""The frames of a video as it is shown, one at a time, with their real times."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np
from PIL import Image

from lumosx_core.media.clip_colour import clip_colour
from lumosx_core.media.video_file import (
    damaged,
    decoded_frames,
    file_tags,
    frame_times,
    opened_video,
    shown_size,
    turned,
)

from ..data.clips import cover

_STEADY = 0.1  # of a frame: by how much times may be off their grid at a constant rate


@dataclass(frozen=True)
class Timeline:
    """When a video shows its frames.

    Args:
        times: of the frames, in seconds from the first one, ascending.
        clock: seconds of one tick of the file's clock; every time is a multiple of it.
    """

    times: tuple[float, ...]
    clock: Fraction

    @property
    def last_duration(self) -> float:
        """How long the last frame is shown: as long as frames are on average, since files do not say."""
        count = len(self.times)
        return self.times[-1] / (count - 1) if count > 1 else 1 / 25

    @property
    def seconds(self) -> float:
        return self.times[-1] + self.last_duration

    @property
    def frames_per_second(self) -> float:
        """On average."""
        return len(self.times) / self.seconds

    @property
    def is_constant(self) -> bool:
        """Whether all frames are shown equally long, but for the rounding of the file's clock."""
        grid = np.arange(len(self.times)) * self.last_duration
        slack = max(_STEADY * self.last_duration, 1.01 * float(self.clock))
        return bool(np.abs(np.asarray(self.times) - grid).max() <= slack)

    def end_of(self, frame: int) -> float:
        """When the frame in front of this index stops to be shown."""
        return self.times[frame] if frame < len(self.times) else self.seconds


def read_timeline(path: Path) -> Timeline:
    """The times of all frames, without decoding them.

    Raises:
        LumosXError: no such file, not a video, no frame in it, or truncated.
        MissingPackageError: av (PyAV) is not installed.
    """
    with opened_video(path) as container:
        times = frame_times(container, path)
        bases = [stream.time_base for stream in container.streams.video if stream.time_base]
    clock = Fraction(bases[0]) if bases else Fraction(1, 90000)
    return Timeline(tuple(time - times[0] for time in times), clock)


def video_frames(path: Path, short_side: int = 0) -> Iterator[np.ndarray]:
    """Each frame as (H, W, 3) uint8 sRGB: upright, pixels square.

    Args:
        short_side: pixels to which the shorter side is reduced; 0, or more than it has, leaves the size.

    Raises:
        LumosXError: as `read_timeline`, or a frame is damaged.
    """
    return (frame for _, frame in chosen_frames(path, None, short_side))


def chosen_frames(path: Path, wanted: Collection[int] | None, short_side: int = 0) -> Iterator[tuple[int, np.ndarray]]:
    """Some frames with their indices, in order; the others are decoded and not converted.

    Args:
        wanted: indices; None: all.
        short_side: as for `video_frames`.

    Raises:
        LumosXError: as `read_timeline`, or a frame is damaged.
    """
    if wanted is not None and not wanted:
        return
    last = None if wanted is None else max(wanted)
    with opened_video(path) as container:
        tags = file_tags(container, path)
        size: tuple[int, int] | None = None
        for number, frame in enumerate(decoded_frames(container, path)):
            if wanted is not None and number not in wanted:
                continue
            colour = clip_colour(frame, tags, path)
            if size is None:
                height, width, aspect = shown_size(frame, container, path)
                scale = min(1.0, short_side / min(height, width)) if short_side else 1.0
                size = max(1, round(height * scale)), max(1, round(width * scale))
            pixels = cover(turned(colour.pixels(frame), frame), *size, aspect)
            yield number, colour.finish(pixels)
            if number == last:
                return
        if size is None:
            raise damaged(path, "it has no frames")


def reduced(frame: np.ndarray, short_side: int) -> np.ndarray:
    """An (H, W, 3) uint8 frame whose shorter side has at most so many pixels."""
    height, width = frame.shape[:2]
    scale = short_side / min(height, width)
    if scale >= 1:
        return frame
    size = max(1, round(width * scale)), max(1, round(height * scale))
    return np.asarray(Image.fromarray(frame).resize(size, Image.Resampling.BOX))
