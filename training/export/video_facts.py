"""Size, rate and number of frames of a written video, counted by decoding it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from lumosx_core.media.video_file import damaged, decoded_frames, opened_video


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
    width, height, frames = 0, 0, 0
    with opened_video(path) as container:
        for frame in decoded_frames(container, path):
            width, height, frames = frame.width, frame.height, frames + 1
        stream = container.streams.video[0]
        rate = float(stream.average_rate or stream.guessed_rate or 0)
        if not frames or not rate:
            raise damaged(path, "it has no frames or no frame rate")
    return VideoFacts(width, height, frames, rate)
