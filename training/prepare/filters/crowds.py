"""Rejects clips with more people than the network is trained for."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from lumosx_core.auto_scene.cutouts.regions import Box, Detection
from lumosx_core.auto_scene.detectors import FaceFinder, PhraseFinder
from lumosx_core.auto_scene.networks.face_detector import FaceDetector
from lumosx_core.auto_scene.networks.find import choose_model
from lumosx_core.auto_scene.networks.grounding_dino import GroundingDino
from lumosx_core.errors import LumosXError, MissingPackageError

from ..required import require_package
from ..settings import CrowdSettings
from ..video_frames import Timeline
from .clip_filter import Verdict, even_frames

_SAME = 0.7  # intersection over union from which two boxes are one person

Counter = Callable[[Tensor], int]
"""(H, W, 3) of 0..1 -> how many people are in it."""


class Crowds:
    """Counts people in a few frames; the number counts that enough of these reach."""

    name = "people"
    costly = True

    def __init__(self, settings: CrowdSettings, count: Counter):
        self._settings, self._count = settings, count

    def start(self, timeline: Timeline) -> CrowdMeasurement:
        return CrowdMeasurement(even_frames(timeline, self._settings.frames), self._settings, self._count)


class CrowdMeasurement:
    """Counts of one clip."""

    def __init__(self, wanted: list[int], settings: CrowdSettings, count: Counter):
        self.wanted = frozenset(wanted)
        self._settings, self._count = settings, count
        self._counts: list[int] = []

    def add(self, number: int, frame: np.ndarray) -> None:
        self._counts.append(self._count(torch.from_numpy(frame.copy()).float() / 255))

    def verdict(self) -> Verdict:
        agreeing = max(1, math.ceil(self._settings.agreeing * len(self._counts) - 1e-9))
        people = sorted(self._counts, reverse=True)[agreeing - 1]
        facts = {"people": people, "counts": self._counts}
        most = self._settings.most
        return Verdict(facts, f"{people} people are more than {most}" if people > most else "")


def count_faces(finder: FaceFinder, min_score: float) -> Counter:
    """Counts faces with this score or more."""
    return lambda image: sum(face.score >= min_score for face in finder.find(image))


def count_persons(finder: PhraseFinder, min_score: float) -> Counter:
    """Counts what is found for "person"; boxes that cover each other are one."""

    def count(image: Tensor) -> int:
        [found] = finder.find(image, ["person"])
        return len(_distinct([each for each in found if each.score >= min_score]))

    return count


def find_counter(settings: CrowdSettings) -> Path:
    """Where the detector is that the settings name, without loading it.

    Raises:
        LumosXError: there is no such detector.
        MissingPackageError: its package is not installed.
    """
    with _explained(settings):
        path = choose_model("faces" if settings.method == "faces" else "phrases", settings.model or None, [])
        require_package("insightface" if settings.method == "faces" else "transformers", "filter.people")
    return path


def load_counter(settings: CrowdSettings, device: str) -> Counter:
    """The detector that the settings name.

    Raises:
        LumosXError: there is no such detector.
        MissingPackageError: its package is not installed.
    """
    path = find_counter(settings)
    with _explained(settings):
        if settings.method == "faces":
            finder = FaceDetector.load(path, threshold=settings.min_score, cuda=device == "cuda")
            return count_faces(finder, settings.min_score)
        return count_persons(GroundingDino.load(path, device=device), settings.min_score)


@contextmanager
def _explained(settings: CrowdSettings) -> Iterator[None]:
    """A network that cannot be used is reported with the settings that change it."""
    try:
        yield
    except MissingPackageError:
        raise
    except LumosXError as error:
        what = "face" if settings.method == "faces" else "phrase"
        raise LumosXError(
            f"filter.people needs a {what} detector. Set filter.people.model to its path, or filter.people.method = "
            f"'none' to keep clips with any number of people. {error}"
        ) from error


def _distinct(detections: list[Detection]) -> list[Box]:
    boxes: list[Box] = []
    for each in sorted(detections, key=lambda detection: -detection.score):
        if all(each.box.iou(box) < _SAME for box in boxes):
            boxes.append(each.box)
    return boxes
