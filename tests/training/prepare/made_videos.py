"""Small videos for tests of data preparation: shots that differ, with the number of each frame written into it."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from lumosx_training.prepare.stage import Task

SIZE = (64, 96)
_BITS = 10


def numbered(number: int, colour: tuple[int, int, int], size=SIZE) -> np.ndarray:
    """(H, W, 3) uint8: a shot's colour with a pattern, and the number in black and white blocks at the bottom.

    It is in Gray code, so that one block changes from frame to frame: many at once look like a cut.
    """
    height, width = size
    frame = np.empty((height, width, 3), np.uint8)
    frame[:] = colour
    frame[: height // 2, width // 3 : width // 2] = [255 - value for value in colour]
    for bit in range(_BITS):
        left = 2 + bit * 9
        frame[-12:-2, left : left + 8] = 255 * ((number ^ number >> 1) >> bit & 1)
    return frame


def number_of(frame: np.ndarray) -> int:
    number = 0
    for bit in reversed(range(_BITS)):
        number = number << 1 | (number & 1 ^ int(frame[-9:-5, 4 + bit * 9 : 8 + bit * 9].mean() > 128))
    return number


def write(path: Path, frames, times=None, rate=Fraction(16), *, sound=False, clock=None, codec="libx264") -> Path:
    """Frames as a video; `times` in ticks of `clock` for a variable rate."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=rate)
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt = "yuv420p"
        if codec == "libx264":
            stream.options = {"crf": "10"}
        clock = clock or 1 / Fraction(rate)
        stream.codec_context.time_base = clock
        for number, pixels in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format="rgb24")
            frame.pts, frame.time_base = number if times is None else times[number], clock
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def write_sound(path: Path) -> Path:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=16000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 16000), np.float32), format="fltp", layout="mono")
        frame.sample_rate = 16000
        for part in (frame,):
            container.mux(stream.encode(part))
        container.mux(stream.encode())
    return path


def read(path: Path) -> tuple[list[np.ndarray], list[float]]:
    """The frames of a video and their times, by PyAV alone."""
    with av.open(str(path)) as container:
        frames = list(container.decode(video=0))
        return [frame.to_ndarray(format="rgb24") for frame in frames], [frame.time for frame in frames]


def task(path: Path, output: Path, id: str = "v1", **facts) -> Task:
    output.mkdir(parents=True, exist_ok=True)
    return Task(id, {"source": {"path": str(path)}, **facts}, {}, output)
