"""Rejects still clips and clips that move too fast."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from lumosx_core.errors import MissingPackageError
from lumosx_core.evaluation.networks import OpticalFlow

from ..settings import MotionSettings
from ..video_frames import Timeline, reduced
from .clip_filter import Verdict, even_frames

INTERVAL = 1 / 16  # seconds: from one frame to the next at the rate at which LumosX trains


class DenseInverseSearch:
    """OpenCV's optical flow by dense inverse search (arXiv 1603.03590), which has no weights.

    Raises:
        MissingPackageError: OpenCV is not installed.
    """

    def __init__(self):
        try:
            import cv2
        except ImportError as error:
            raise MissingPackageError("opencv-python", "filter.motion.method = 'dis'", error) from error
        library: Any = cv2  # its types lack functions
        self._grey = lambda frame: library.cvtColor(frame, library.COLOR_RGB2GRAY)
        self._flow = library.DISOpticalFlow_create(library.DISOPTICAL_FLOW_PRESET_MEDIUM)

    def lengths(self, first: np.ndarray, second: np.ndarray) -> np.ndarray:
        """(H, W, 3) uint8 twice -> (H, W): how many pixels each pixel moves."""
        return np.linalg.norm(self._flow.calc(self._grey(first), self._grey(second), None), axis=2)


class NetworkFlow:
    """A network for optical flow, such as RAFT."""

    def __init__(self, network: OpticalFlow):
        self._network = network

    def lengths(self, first: np.ndarray, second: np.ndarray) -> np.ndarray:
        pair = (torch.from_numpy(frame.copy()).float() / 255 for frame in (first, second))
        return self._network.flow(*pair).norm(dim=0).numpy()


class Motion:
    """Measures the median over pairs of frames of the mean flow, in per cent of the short side for 1/16 s."""

    name = "motion"
    costly = False

    def __init__(self, settings: MotionSettings, flow: DenseInverseSearch | NetworkFlow):
        self._settings, self._flow = settings, flow

    def start(self, timeline: Timeline) -> MotionMeasurement:
        return MotionMeasurement(timeline, self._settings, self._flow)


class MotionMeasurement:
    """Flow between pairs of frames."""

    def __init__(self, timeline: Timeline, settings: MotionSettings, flow: DenseInverseSearch | NetworkFlow):
        self._settings, self._flow = settings, flow
        self._times = timeline.times
        self._second_of = _pairs(timeline, settings.pairs)
        self.wanted = frozenset({*self._second_of, *self._second_of.values()})
        self._waiting: dict[int, np.ndarray] = {}
        self._flows: list[float] = []

    def add(self, number: int, frame: np.ndarray) -> None:
        small = reduced(frame, self._settings.short_side)
        for first in [first for first in self._waiting if self._second_of[first] == number]:
            pixels = float(self._flow.lengths(self._waiting.pop(first), small).mean())
            lasting = self._times[number] - self._times[first]
            self._flows.append(100 * pixels / min(small.shape[:2]) * INTERVAL / lasting)
        if number in self._second_of:
            self._waiting[number] = small

    def verdict(self) -> Verdict:
        if not self._flows:
            return Verdict({"flow": 0.0}, "it has a single frame")
        flow = float(np.median(self._flows))
        facts = {"flow": round(flow, 4), "flows": [round(each, 4) for each in self._flows]}
        low, high = self._settings.min_flow, self._settings.max_flow
        if flow < low:
            return Verdict(facts, f"flow {flow:.3f} % is less than {low:g} %: it is still")
        return Verdict(facts, f"flow {flow:.3f} % is more than {high:g} %: it is too fast" if flow > high else "")


def _pairs(timeline: Timeline, number: int) -> dict[int, int]:
    """First frame -> the frame nearest to 1/16 s behind it, for pairs evenly over the clip."""
    times = np.asarray(timeline.times)
    pairs = {}
    for first in even_frames(timeline, number):
        first = min(first, len(times) - 2)
        if first < 0:
            continue
        pairs[first] = max(first + 1, int(np.abs(times - times[first] - INTERVAL).argmin()))
    return pairs
