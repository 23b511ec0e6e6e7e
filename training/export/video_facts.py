"""Size, rate and number of frames of a written video, counted by decoding it."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from lumosx_core.errors import LumosXError, MissingPackageError, shown


@dataclass(frozen=True)
class VideoFacts:
    """What a file of a video contains; sides in pixels."""

    width: int
    height: int
    frames: int
    frames_per_second: float


def video_facts(path: Path) -> VideoFacts:
    """Decode a video to its end, for headers may be wrong.

    Raises:
        LumosXError: the file cannot be decoded, or has no frame.
        MissingPackageError: av (PyAV) is not installed.
    """
    try:
        import av
    except ImportError as error:
        raise MissingPackageError("av", "Reading a video", error) from error
    try:
        with av.open(os.path.abspath(path)) as container:
            stream = container.streams.video[0]
            width, height, frames = 0, 0, 0
            for frame in container.decode(stream):
                width, height, frames = frame.width, frame.height, frames + 1
            rate = float(stream.average_rate or stream.guessed_rate or 0)
    except (av.FFmpegError, IndexError) as error:
        raise LumosXError(f"Cannot read the video {shown(path)!r}: {shown(error)}. Write it again.") from error
    if not frames or not rate:
        raise LumosXError(f"The video {shown(path)!r} has no frames or no frame rate. Write it again.")
    return VideoFacts(width, height, frames, rate)
