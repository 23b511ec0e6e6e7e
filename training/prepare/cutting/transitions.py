"""Slow transitions within a shot: dissolves, and fades through black, which detectors of hard cuts miss.

Looks of frames are compared by a histogram of colours in each quarter of the frame; their distance is 1 minus the
intersection, averaged over the quarters: 0 for the same colours in the same quarters, 1 for none in common.
"""

from __future__ import annotations

import math

import numpy as np

from ..settings import CutSettings
from ..video_frames import Timeline
from .cut_detectors import Range

_LEVELS = 6  # of each colour channel
_EVERY = 0.25  # seconds between looks that are kept: a film of hours fits into memory
_PURE = 0.1  # fraction of a dissolve's change from which a frame is no longer one of the two shots
_STEADY = 0.5  # fraction of a dissolve's change by which the look may change on either side of it


class Looks:
    """Collects what transitions are found by, frame by frame."""

    def __init__(self, timeline: Timeline):
        self._times = timeline.times
        self._brightness: list[float] = []
        self._frames: list[int] = []
        self._looks: list[np.ndarray] = []
        self._next = -1.0

    def add(self, frame: np.ndarray) -> None:
        """(H, W, 3) uint8 RGB."""
        number = len(self._brightness)
        self._brightness.append(float(frame.mean()))
        if number < len(self._times) and self._times[number] >= self._next:
            self._next = self._times[number] + _EVERY * 0.99
            self._frames.append(number)
            self._looks.append(look_of(frame).astype(np.float16))

    def without_transitions(self, shots: list[Range], settings: CutSettings) -> list[Range]:
        """The parts of shots on both sides of each transition in them."""
        bright = [part for shot in shots for part in self._without_black(shot, settings)]
        return [part for shot in bright for part in self._without_dissolves(shot, settings)]

    def _without_black(self, shot: Range, settings: CutSettings) -> list[Range]:
        """A shot that is dark throughout, such as one at night, stays whole."""
        brightness = np.asarray(self._brightness[shot[0] : shot[1]])
        dark = brightness < settings.black_level
        if not dark.any() or brightness.max() < 3 * settings.black_level:
            return [shot]
        edges = np.flatnonzero(np.diff(np.concatenate([[True], dark, [True]]).astype(np.int8)))
        return [(shot[0] + int(start), shot[0] + int(end)) for start, end in edges.reshape(-1, 2)]

    def _without_dissolves(self, shot: Range, settings: CutSettings) -> list[Range]:
        """Cut the steepest change out, and look again on both sides of it.

        Where the look also changes in front of the steepest change, or behind it, the camera moves: that stays.
        """
        first, last = (int(np.searchsorted(self._frames, frame)) for frame in shot)
        looks = np.asarray(self._looks[first:last], np.float32)
        if len(looks) < 3:
            return [shot]
        ends = [0, len(looks) // 2, len(looks) - 1]
        apart = max(distance(looks[a], looks[b]) for a in ends for b in ends)
        if apart < settings.dissolve_distance:
            return [shot]
        width = min(len(looks) - 1, math.ceil(settings.dissolve_seconds / _EVERY))
        changes = [distance(looks[start], looks[start + width]) for start in range(len(looks) - width)]
        start = int(np.argmax(changes))
        change = changes[start]
        side = width // 2
        before = distance(looks[max(0, start - side)], looks[start])
        after = distance(looks[start + width], looks[min(len(looks) - 1, start + width + side)])
        if change < settings.dissolve_distance or max(before, after) > _STEADY * change:
            return [shot]
        window = looks[start : start + width + 1]
        from_old = np.asarray([distance(window[0], look) for look in window])
        to_new = np.asarray([distance(window[-1], look) for look in window])
        old_end = int(np.flatnonzero(from_old <= _PURE * change).max())  # the last look of the old shot
        new_start = int(np.flatnonzero(to_new <= _PURE * change).min())
        if new_start <= old_end:
            return [shot]
        # The transition begins somewhere behind the last pure look.
        old = shot[0], self._frames[first + start + old_end] + 1
        new = self._frames[first + start + new_start], shot[1]
        return self._without_dissolves(old, settings) + self._without_dissolves(new, settings)


def look_of(frame: np.ndarray) -> np.ndarray:
    """(4, levels cubed) float32: of each quarter, the fractions of its pixels with each colour, softened, so that a
    small change of light is a small distance.
    """
    height, width = frame.shape[0] // 2 or 1, frame.shape[1] // 2 or 1
    corners = [(rows, columns) for rows in (0, frame.shape[0] - height) for columns in (0, frame.shape[1] - width)]
    levels = frame.astype(np.uint16) * _LEVELS // 256
    codes = (levels[..., 0] * _LEVELS + levels[..., 1]) * _LEVELS + levels[..., 2]
    looks = []
    for top, left in corners:
        counts = np.bincount(codes[top : top + height, left : left + width].ravel(), minlength=_LEVELS**3)
        cube = counts.reshape(_LEVELS, _LEVELS, _LEVELS).astype(np.float32) / (height * width)
        for axis in range(3):
            cube = _softened(cube, axis)
        looks.append(cube.ravel())
    return np.stack(looks)


def distance(first: np.ndarray, second: np.ndarray) -> float:
    """Of two looks, 0..1."""
    return float(1 - np.minimum(first, second).sum(axis=-1).mean())


def _softened(cube: np.ndarray, axis: int) -> np.ndarray:
    """A quarter of each level goes to either neighbour; at the ends it stays."""
    cube = np.moveaxis(cube, axis, 0)
    padded = np.concatenate([cube[:1], cube, cube[-1:]])
    return np.moveaxis(0.25 * padded[:-2] + 0.5 * cube + 0.25 * padded[2:], 0, axis)
