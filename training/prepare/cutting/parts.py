"""Which frames of a shot become clips: its ends cut off, long shots divided, short ones left out."""

from __future__ import annotations

import math
from bisect import bisect_left
from itertools import pairwise

from ..settings import CutSettings
from ..video_frames import Timeline
from .clip_files import Part
from .cut_detectors import Range

_ROUNDING = 1e-4  # seconds by which times in files are off


def parts_of(shots: list[Range], timeline: Timeline, settings: CutSettings) -> list[Part]:
    """The clips of a video, in order.

    A frame belongs to a clip if it is shown from its start on, and before its end.
    """
    parts = []
    for first, end in shots:
        start_time = timeline.times[first] + settings.margin_seconds
        end_time = timeline.end_of(end) - settings.margin_seconds
        length = end_time - start_time
        if length < settings.min_seconds - _ROUNDING:
            continue
        number = max(1, math.ceil(length / settings.max_seconds - _ROUNDING))
        edges = [start_time + length * edge / number for edge in range(number + 1)]
        frames = [bisect_left(timeline.times, edge - _ROUNDING) for edge in edges]
        parts += [Part(a, b) for a, b in pairwise(frames) if b - a > 1]
    return parts
