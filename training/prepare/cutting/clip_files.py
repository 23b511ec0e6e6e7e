"""Clips written as files of their own: exactly the frames of a part of a video, at their own times.

Clips are files rather than a note of start and end, because every later stage reads them, some of them several times:
in a long film each reading would decode from a key frame far away, and samples need a file of their own anyway. They
are upright, with square pixels, in BT.709, and without sound.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np
import torch

from lumosx_core.errors import MissingPackageError
from lumosx_core.media.video import add_h264, h264_frame

from ..video_frames import Timeline, video_frames

_FINEST = 10**6  # ticks a second: a finer clock than FFmpeg's mp4 takes is rounded to it


@dataclass(frozen=True)
class Part:
    """Frames of a video that become a clip.

    Args:
        start, end: the first frame, and the one behind the last.
    """

    start: int
    end: int


def write_parts(source: Path, timeline: Timeline, parts: Sequence[Part], paths: Sequence[Path], crf: int) -> None:
    """Write parts of a video, in order and without overlap, in one pass over it.

    Raises:
        LumosXError: the source cannot be read.
        OSError: a file cannot be written.
        MissingPackageError: av (PyAV) is not installed.
    """
    frames = enumerate(video_frames(source))
    for part, path in zip(parts, paths, strict=True):
        with _clip_file(path, timeline, part, crf) as add:
            for number, frame in frames:
                if number >= part.start:
                    add(frame)
                if number == part.end - 1:
                    break


@contextmanager
def _clip_file(path: Path, timeline: Timeline, part: Part, crf: int) -> Iterator:
    try:
        import av
    except ImportError as error:
        raise MissingPackageError("av", "Writing clips", error) from error
    clock = timeline.clock if timeline.clock.denominator <= _FINEST else Fraction(1, _FINEST)
    origin = timeline.times[part.start]
    stream = None
    number = part.start
    with av.open(os.path.abspath(path), "w", options={"movflags": "+faststart"}) as container:

        def add(frame: np.ndarray) -> None:
            nonlocal stream, number
            if stream is None:
                rate = Fraction(timeline.frames_per_second).limit_denominator(1001)
                height, width, _ = frame.shape
                stream = add_h264(container, height, width, rate, crf)
                stream.codec_context.time_base = clock
            encoded = h264_frame(torch.from_numpy(np.ascontiguousarray(frame)))
            encoded.time_base = clock
            encoded.pts = round((timeline.times[number] - origin) / clock)
            number += 1
            container.mux(stream.encode(encoded))

        yield add
        if stream is not None:
            container.mux(stream.encode())
