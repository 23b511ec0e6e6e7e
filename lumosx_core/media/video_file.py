"""A video file opened within bounds: the times of its frames, each frame decoded, and how it is held.

Whatever goes wrong in a file is a LumosXError; what its header promises is compared with its size before FFmpeg makes
room for it.
"""

from __future__ import annotations

import itertools
import os
import re
import shlex
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from ..errors import LumosXError, MissingPackageError
from .clip_colour import FileTags
from .image_kinds import is_regular
from .video import OWN_BYTES

MAX_FRAME_PIXELS = 2**26  # of one frame: eight times 4K
MAX_FRAMES = 2**21  # of one file: ten hours at 60 a second
_SLACK = 0.25  # seconds by which a stated duration may be off
_UNKNOWN_RATE = 16.0  # frames a second of a file that states neither a rate nor times
_MAX_INDEX = 2**26  # bytes of an mp4's index that are looked through


@contextmanager
def opened_video(path: Path) -> Iterator:
    """A video file; what goes wrong in it while it is open becomes a LumosXError."""
    try:
        import av
    except ImportError as error:
        raise MissingPackageError("av", "Reading a video", error) from error
    try:
        size = path.stat().st_size if is_regular(path) else None
    except (OSError, ValueError) as error:
        raise LumosXError(f"There is no video {path}. Put the clip there, or fix the path.") from error
    if size is None:
        raise LumosXError(f"{path} is a folder, a pipe or a device. Give a video file.")
    if not size:
        raise LumosXError(f"The video {path} is empty (zero bytes). Get the file again.")
    try:
        _check_index(path, size)
        with av.open(os.path.abspath(path), options=dict(OWN_BYTES)) as container:
            yield container
    except LumosXError:
        raise
    except Exception as error:  # on damaged bytes FFmpeg and its binding raise almost anything
        detail = getattr(error, "strerror", None) or str(error) or type(error).__name__
        raise damaged(path, detail.replace("\n", " ")[:200]) from error


def _check_index(path: Path, size: int) -> None:
    """Raise LumosXError for an mp4 whose index promises more frames than the file has bytes."""
    with path.open("rb") as file:
        place = 0
        for _ in range(1000):
            file.seek(place)
            head = file.read(16)
            if len(head) < 16 or not head[4:8].isalnum():
                return
            length, name, long = struct.unpack(">I4sQ", head)
            length = long if length == 1 else length
            if name == b"moov":
                index = file.read(min(length, _MAX_INDEX))
                for table in index.split(b"stsz")[1:]:
                    if len(table) >= 12 and int.from_bytes(table[8:12], "big") > size:
                        raise damaged(path, "its index promises more frames than it has bytes")
                return
            if length < 8:
                return
            place += length


def _stream(container, path: Path):
    """The video stream of a file; cover art is not one."""
    for stream in container.streams.video:
        if not stream.disposition & type(stream.disposition).attached_pic:
            if stream.width * stream.height > MAX_FRAME_PIXELS:
                raise LumosXError(
                    f"The frames of the video {path} have {stream.width} x {stream.height} pixels, more than "
                    f"{MAX_FRAME_PIXELS // 10**6} million. Scale it down: ffmpeg -i IN -vf scale=1920:-2 OUT.mp4"
                )
            return stream
    raise LumosXError(f"The file {path} has no video stream, only sound or nothing. Get the video again.")


def frame_times(container, path: Path) -> list[float]:
    """The time of each frame in seconds, in the order in which they are shown."""
    stream = _stream(container, path)
    times: list[float] = []
    packets = 0
    for packet in container.demux(stream):
        if not packet.size:  # the end
            continue
        if packet.is_corrupt:
            raise damaged(path, f"packet {packets + 1} is incomplete")
        packets += 1
        if packets > MAX_FRAMES:
            raise LumosXError(f"The video {path} has more than {MAX_FRAMES} frames. Cut the clip out of it.")
        stamp = packet.pts if packet.pts is not None else packet.dts
        if not packet.is_discard:  # an edit list can cut frames away without removing them
            times.append(float(stamp * packet.time_base) if stamp is not None else len(times) / _rate(stream))
    if packets < stream.frames and "mp4" in container.format.name:
        raise damaged(path, f"{packets} of its {stream.frames} frames are there")
    if not times:
        raise damaged(path, "it has no frames")
    times.sort()
    _check_end(stream, times, path)
    return times


def _check_end(stream, times: list[float], path: Path) -> None:
    """Matroska ends wherever the file ends, without an error; but programs that write it note how long a stream is."""
    match = re.fullmatch(r"(\d{1,4}):(\d\d):(\d\d(?:\.\d+)?)", stream.metadata.get("DURATION", "").strip())
    if match is None:
        return
    stated = int(match[1]) * 3600 + int(match[2]) * 60 + float(match[3])
    # How long the last frame is shown is not in the list; no frame is likely to be shown longer than twice another one.
    longest = max((after - before for before, after in itertools.pairwise(times)), default=stated)
    if stated > times[-1] + max(_SLACK, 2 * longest):
        raise damaged(path, f"it ends after {times[-1]:.2f} of the {stated:.2f} seconds that it states")


def _rate(stream) -> float:
    return float(stream.average_rate or stream.guessed_rate or _UNKNOWN_RATE)


def decoded_frames(container, path: Path) -> Iterator:
    """Each frame as it is decoded."""
    for number, frame in enumerate(container.decode(_stream(container, path)), 1):
        if frame.is_corrupt:
            raise damaged(path, f"frame {number} is damaged")
        yield frame


def file_tags(container, path: Path) -> FileTags:
    """What the file states of its colours; to be asked before a frame is decoded, which may replace it."""
    return FileTags.of(_stream(container, path).codec_context)


def shown_size(frame, container, path: Path) -> tuple[int, int, float]:
    """Height and width of a frame as it is shown, and the width of its pixels over their height."""
    aspect = float(_stream(container, path).sample_aspect_ratio or 1) or 1.0
    if not 1 / 64 <= aspect <= 64:
        aspect = 1.0
    height, width = frame.height, frame.width
    if _is_on_its_side(frame):
        height, width, aspect = width, height, 1 / aspect
    return height, max(1, round(width * aspect)), aspect


def _orientation(frame) -> tuple[int, int, int, int]:
    """Where a frame's columns and rows go when it is shown: the signs of a, b, c and d of its display matrix."""
    for data in frame.side_data:
        if getattr(data.type, "name", "") == "DISPLAYMATRIX" and data.buffer_size >= 36:
            a, b, _, c, d = np.frombuffer(data, np.int32, 5) / 65536
            if max(abs(a), abs(d)) >= max(abs(b), abs(c)):
                return -1 if a < 0 else 1, 0, 0, -1 if d < 0 else 1
            return 0, -1 if b < 0 else 1, -1 if c < 0 else 1, 0
    return 1, 0, 0, 1


def _is_on_its_side(frame) -> bool:
    return _orientation(frame)[0] == 0


def turned(pixels: np.ndarray, frame) -> np.ndarray:
    """(H, W, 3) as it is shown: turned, and mirrored, as the camera was held."""
    a, b, c, d = _orientation(frame)
    if not a:
        pixels, a, d = pixels.transpose(1, 0, 2), c, b
    return np.ascontiguousarray(pixels[::d, ::a])


def damaged(path: Path, detail: str) -> LumosXError:
    """The error for a file of which a part is missing or wrong."""
    return LumosXError(
        f"The video {path} is truncated or damaged: {detail}. Get the file again, or repair what is left of it with "
        f"ffmpeg -i {shlex.quote(path.name)} repaired.mp4."
    )
