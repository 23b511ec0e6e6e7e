"""Video files as training clips: a chosen number of frames a second, a chosen length, a chosen size.

A file is read twice. First only its packets are listed, which shows truncation and gives the time of every
frame, at any frame rate and also at a varying one. Then it is decoded up to the last frame that is needed, each one
scaled at once, so that a long film takes no more memory than the clip.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from lumosx_core.errors import LumosXError
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
from lumosx_core.models.family import ModelSpec
from lumosx_core.models.lumosx.spec import SPEC

MAX_CLIP_BYTES = 2**31


@dataclass(frozen=True)
class ClipSettings:
    """How a clip is taken from a video file.

    Args:
        frames: the lengths a clip may have, each 4n + 1; the longest that the video has is taken.
        sizes: the (height, width) a clip may have, multiples of 16; the one nearest in shape is taken. Empty: the
            video's own size, rounded down to multiples of 16.
        fps: frames a second of the clip.
        trim: frames of the file to leave out at each end, where cuts and fades are; fewer if the rest would be short.
        whole: decode the file to its end, to find damage behind the clip too.
        spec: of the model that the clips are for.
    """

    frames: tuple[int, ...] = (SPEC.frames,)
    sizes: tuple[tuple[int, int], ...] = ()
    fps: float = SPEC.frames_per_second
    trim: int = 0
    whole: bool = False
    spec: ModelSpec = SPEC

    def __post_init__(self):
        object.__setattr__(self, "frames", tuple(sorted(self.frames)))
        object.__setattr__(self, "sizes", tuple((height, width) for height, width in self.sizes))
        if not self.frames:
            raise LumosXError(
                f"No clip length is given. Give at least one number of frames, such as {self.spec.frames}."
            )
        for frames in self.frames:
            self.spec.check_size(self.spec.size_multiple, self.spec.size_multiple, frames)
        for height, width in self.sizes:
            self.spec.check_size(width, height, self.frames[0])
        if not (math.isfinite(self.fps) and self.fps > 0) or self.trim < 0:
            raise LumosXError(f"fps {self.fps} and trim {self.trim} do not fit: fps must be above 0, trim 0 or more.")


@dataclass(frozen=True)
class VideoInfo:
    """A video as its file describes it.

    Args:
        height, width: in pixels, as it is shown (upright, pixels square).
        seconds: its duration.
        frames: how many frames it gives at the wanted rate.
        notes: what is worth a warning, such as HDR that is tone-mapped.
    """

    height: int
    width: int
    seconds: float
    frames: int
    notes: tuple[str, ...] = ()


def read_clip(path: str | Path, settings: ClipSettings) -> tuple[Tensor, VideoInfo]:
    """Read a clip from the start of a video file (behind what is trimmed), each time the frame nearest in time.

    Returns: (F, H, W, 3) uint8, and what the file contains.

    Raises:
        LumosXError: no such file, not a video, no frame in it, truncated or damaged (a few wrong bytes within a
            frame can look like an image to the decoder), or too short.
        MissingPackageError: av (PyAV) is not installed.
    """
    path = Path(path)
    with opened_video(path) as container:
        times = frame_times(container, path)
    with opened_video(path) as container:
        return _read(container, times, settings, path)


def clip_frames(path: Path, settings: ClipSettings) -> tuple[list[int], int]:
    """Which frames of a video file `read_clip` takes, counted from 0 (one may be there twice), and how many it has.

    Raises:
        LumosXError: as `read_clip`.
        MissingPackageError: av (PyAV) is not installed.
    """
    with opened_video(path) as container:
        times = frame_times(container, path)
    return _places(times, settings, path)[0], len(times)


def read_frames(path: str | Path, places: Collection[int]) -> dict[int, np.ndarray]:
    """Single frames of a video file, counted from 0 as they are shown.

    Returns: (H, W, 3) uint8 of each place.

    Raises:
        LumosXError: as `read_clip`, or the video has fewer frames.
        MissingPackageError: av (PyAV) is not installed.
    """
    path = Path(path)
    frames = {}
    with opened_video(path) as container:
        tags = file_tags(container, path)
        for place, frame in enumerate(decoded_frames(container, path)):
            if place in places:
                colour = clip_colour(frame, tags, path)
                frames[place] = colour.finish(turned(colour.pixels(frame), frame))
            if len(frames) == len(set(places)):
                return frames
    lacking = sorted(set(places) - set(frames))
    raise LumosXError(f"The video {path} has no frame {lacking[0]}: it is truncated, or the wrong video.")


def fit_clip(video: Tensor, settings: ClipSettings) -> Tensor:
    """Bring frames that are already at the wanted rate to the length and size of a clip.

    Args:
        video: (F, H, W, 3), uint8, or float in 0..1.

    Returns: (f, h, w, 3) of the same dtype; float goes through 8 bits only if the size changes.

    Raises:
        LumosXError: fewer frames than the shortest length.
    """
    frames, height, width, _ = video.shape
    video = video[: _clip_length(frames, settings)]
    size = _clip_size(height, width, settings)
    if size == (height, width):
        return video
    pixels = video if video.dtype == torch.uint8 else (video.clamp(0, 1) * 255).round().to(torch.uint8)
    fitted = torch.from_numpy(np.stack([cover(frame, *size) for frame in pixels.cpu().numpy()]))
    return fitted if video.dtype == torch.uint8 else fitted.to(video.dtype) / 255


def cover(frame: np.ndarray, height: int, width: int, pixel_aspect: float = 1.0) -> np.ndarray:
    """Scale a frame until it covers a size, keeping its proportions, and crop it evenly.

    Args:
        frame: (H, W, 3) uint8, or uint16.
        pixel_aspect: width of a pixel of the frame over its height.

    Returns: (height, width, 3) of the same dtype.
    """
    h, w = frame.shape[:2]
    scale = max(height / h, width / (w * pixel_aspect))
    visible_h, visible_w = min(h, height / scale), min(w, width / (scale * pixel_aspect))
    top, left = (h - visible_h) / 2, (w - visible_w) / 2
    if (h, w) == (height, width) == (visible_h, visible_w):
        return frame
    box = (left, top, left + visible_w, top + visible_h)
    if frame.dtype == np.uint16:  # Pillow scales no RGB of 16 bits
        channels = [Image.fromarray(frame[..., i].astype(np.float32)) for i in range(3)]
        scaled = [each.resize((width, height), Image.Resampling.BICUBIC, box=box) for each in channels]
        return np.stack([np.asarray(each) for each in scaled], axis=-1).clip(0, 65535).astype(np.uint16)
    return np.asarray(Image.fromarray(frame).resize((width, height), Image.Resampling.BICUBIC, box=box))


# Choosing


def _clip_length(available: int, settings: ClipSettings) -> int:
    fitting = [frames for frames in settings.frames if frames <= available]
    if not fitting:
        raise LumosXError(
            f"The video has {available} frames at {settings.fps:g} frames a second, but the shortest clip has "
            f"{settings.frames[0]}. Allow shorter clips, or take a video of at least "
            f"{settings.frames[0] / settings.fps:.2f} seconds."
        )
    return fitting[-1]


def _clip_size(height: int, width: int, settings: ClipSettings) -> tuple[int, int]:
    """The allowed size whose shape is nearest: of that, the first whose area is nearest."""
    if not settings.sizes:
        return max(16, height // 16 * 16), max(16, width // 16 * 16)

    def distance(size: tuple[int, int]) -> tuple[float, float]:
        shape = math.log(size[1] / size[0]) - math.log(width / height)
        return round(abs(shape), 6), abs(math.log(size[0] * size[1]) - math.log(height * width))

    return min(settings.sizes, key=distance)


def _places(times: Sequence[float], settings: ClipSettings, path: Path) -> tuple[list[int], VideoInfo]:
    """Which frames of the file make the clip (one may be there twice), and what the file gives altogether."""
    count = len(times)
    lasting = (times[-1] - times[0]) / (count - 1) if count > 1 else 1 / settings.fps
    seconds = times[-1] - times[0] + lasting
    available = int(seconds * settings.fps + 0.01)  # times in a file are rounded to its clock
    try:
        length = _clip_length(available, settings)
    except LumosXError as error:
        raise LumosXError(f"{path} is too short. {error}") from error
    needed = math.ceil(length / settings.fps / lasting - 0.01)
    trim = min(settings.trim, max(0, count - needed) // 2)
    wanted = times[trim] + np.arange(length) / settings.fps
    after = np.searchsorted(times, wanted).clip(1, max(1, count - 1))
    before = after - 1
    stamps = np.asarray(times)
    after = np.minimum(after, count - 1)
    # Where two are equally near, as often with 24 frames a second, the earlier one, however the clock was rounded.
    nearest = np.where(wanted - stamps[before] <= stamps[after] - wanted + 1e-4, before, after)
    return nearest.tolist(), VideoInfo(0, 0, seconds, available)


# Reading


def _read(container, times: Sequence[float], settings: ClipSettings, path: Path) -> tuple[Tensor, VideoInfo]:
    places, info = _places(times, settings, path)
    repeats = Counter(places)
    clip: list[np.ndarray] = []
    decoded = 0
    tags = file_tags(container, path)
    for frame in decoded_frames(container, path):
        if not decoded:
            notes = clip_colour(frame, tags, path).notes
            height, width, pixel_aspect = shown_size(frame, container, path)
            size = _clip_size(height, width, settings)
            _check_memory(len(places), *size, path)
        if repeats[decoded]:
            colour = clip_colour(frame, tags, path)
            fitted = cover(turned(colour.pixels(frame), frame), *size, pixel_aspect)
            clip += [colour.finish(fitted)] * repeats[decoded]
        decoded += 1
        if decoded > places[-1] and not settings.whole:
            break
    expected = len(times) if settings.whole else places[-1] + 1
    if decoded < expected:
        raise damaged(path, f"of its {len(times)} frames only {decoded} can be decoded")
    return torch.from_numpy(np.stack(clip)), VideoInfo(height, width, info.seconds, info.frames, notes)


def _check_memory(frames: int, height: int, width: int, path: Path) -> None:
    if frames * height * width * 3 > MAX_CLIP_BYTES:
        raise LumosXError(
            f"A clip of {frames} frames of {width} x {height} pixels from {path} would need more than "
            f"{MAX_CLIP_BYTES // 2**30} GB. Take a smaller size, or fewer frames."
        )
