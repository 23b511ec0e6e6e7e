"""Rejects clips without colour."""

from __future__ import annotations

import numpy as np

from ..settings import GreyscaleSettings
from ..video_frames import Timeline, reduced
from .clip_filter import Verdict, even_frames

_SIDE = 96  # pixels: averages noise of the chroma away
_PALE = 40.0  # colourfulness below which a clip's own tone is taken for a tint: sepia reaches about 30
_PERCENTILE = 95


class Greyscale:
    """Measures how far the pixels of a clip are from grey, or from its tint."""

    name = "greyscale"
    costly = False

    def __init__(self, settings: GreyscaleSettings):
        self._settings = settings

    def start(self, timeline: Timeline) -> GreyscaleMeasurement:
        return GreyscaleMeasurement(even_frames(timeline, self._settings.frames), self._settings)


class GreyscaleMeasurement:
    """Collects small copies of frames."""

    def __init__(self, wanted: list[int], settings: GreyscaleSettings):
        self.wanted = frozenset(wanted)
        self._settings = settings
        self._pixels: list[np.ndarray] = []

    def add(self, number: int, frame: np.ndarray) -> None:
        self._pixels.append(reduced(frame, _SIDE).reshape(-1, 3).astype(np.float32))

    def verdict(self) -> Verdict:
        colour = colourfulness(np.concatenate(self._pixels))
        facts = {"colour": round(colour, 3)}
        least = self._settings.min_colour
        return Verdict(facts, f"colourfulness {colour:.2f} is less than {least:g}" if colour < least else "")


def colourfulness(pixels: np.ndarray) -> float:
    """The 95th percentile of the distance from grey, of (N, 3) RGB in 0..255.

    Cb and Cr of a tinted greyscale image are linear in its luma, so the tint is what a linear fit explains.
    """
    red, green, blue = pixels.T
    luma = 0.299 * red + 0.587 * green + 0.114 * blue
    chroma = np.stack([0.564 * (blue - luma), 0.713 * (red - luma)], axis=1)
    plain = float(np.percentile(np.linalg.norm(chroma, axis=1), _PERCENTILE))
    if plain >= _PALE:
        return plain
    design = np.stack([np.ones_like(luma), luma], axis=1)
    fit, *_ = np.linalg.lstsq(design, chroma, rcond=None)
    return float(np.percentile(np.linalg.norm(chroma - design @ fit, axis=1), _PERCENTILE))
