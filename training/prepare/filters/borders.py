"""Rejects clips with black or white bars."""

from __future__ import annotations

import numpy as np

from ..settings import BorderSettings
from ..video_frames import Timeline
from .clip_filter import Verdict, even_frames

_OUTLIERS = 2  # per cent of a line's pixels that may differ: noise of compression
SIDES = ("top", "bottom", "left", "right")


class Borders:
    """A bar is a run of lines from an edge that are black, or white, in every frame looked at.

    White bars count only on two opposite sides: one white side may be a sky.
    """

    name = "borders"
    costly = False

    def __init__(self, settings: BorderSettings):
        self._settings = settings

    def start(self, timeline: Timeline) -> BorderMeasurement:
        return BorderMeasurement(even_frames(timeline, self._settings.frames), self._settings)


class BorderMeasurement:
    """Widths of bars so far, as fractions of the frame."""

    def __init__(self, wanted: list[int], settings: BorderSettings):
        self.wanted = frozenset(wanted)
        self._settings = settings
        self._black = np.ones(4)
        self._white = np.ones(4)

    def add(self, number: int, frame: np.ndarray) -> None:
        tolerance = self._settings.tolerance
        brightest, darkest = frame.max(axis=2), frame.min(axis=2)
        self._black = np.minimum(self._black, _bars(brightest, lambda line: _high(line) <= tolerance))
        self._white = np.minimum(self._white, _bars(255 - darkest, lambda line: _high(line) <= tolerance))

    def verdict(self) -> Verdict:
        top, bottom, left, right = self._white
        white = np.array([min(top, bottom)] * 2 + [min(left, right)] * 2)
        widths = np.maximum(self._black, white)
        side = int(widths.argmax())
        facts = {name: round(float(width), 4) for name, width in zip(SIDES, widths, strict=True)}
        if widths[side] <= self._settings.max_fraction:
            return Verdict(facts)
        colour = "black" if self._black[side] >= white[side] else "white"
        bound = self._settings.max_fraction
        return Verdict(
            facts, f"a {colour} bar at the {SIDES[side]} takes {widths[side]:.3f} of it, more than {bound:g}"
        )


def _high(lines: np.ndarray) -> np.ndarray:
    """Of each line (the first axis) its almost largest value."""
    return np.percentile(lines, 100 - _OUTLIERS, axis=1)


def _bars(values: np.ndarray, is_bar) -> np.ndarray:
    """Widths of the bars at top, bottom, left and right of (H, W), as fractions."""
    rows, columns = is_bar(values), is_bar(values.T)
    return np.array([_run(rows), _run(rows[::-1]), _run(columns), _run(columns[::-1])])


def _run(flags: np.ndarray) -> float:
    return (len(flags) if flags.all() else int(flags.argmin())) / len(flags)
