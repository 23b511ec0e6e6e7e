"""Rejects clips of low technical or aesthetic quality."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch

from lumosx_core.errors import LumosXError, MissingPackageError

from ..settings import QualitySettings
from ..video_frames import Timeline
from .clip_filter import Verdict, key_frames

WITHOUT = "Set filter.quality.method = 'none' to prepare without scores of quality."


@dataclass(frozen=True)
class Scores:
    """Of one frame, each 1..5 as Q-Align gives them."""

    quality: float
    aesthetic: float


class FrameScorer(Protocol):
    """Scores single frames."""

    def score(self, frames: Sequence[np.ndarray]) -> list[Scores]:
        """Of (H, W, 3) uint8 RGB frames, of any sizes."""


class QAlign:
    """Q-Align (arXiv 2312.17090) from the package pyiqa, which fetches its weights (15 GB) when it is first used.

    Raises:
        LumosXError: the weights are missing and cannot be fetched.
        MissingPackageError: pyiqa is not installed.
    """

    def __init__(self, device: str = "cpu"):
        try:
            import pyiqa
        except ImportError as error:
            raise MissingPackageError("pyiqa", f"filter.quality ({WITHOUT})", error) from error
        try:
            self._metric = pyiqa.create_metric("qalign", device=device)
        except Exception as error:  # of the hub, of the file system, of packages that pyiqa imports late
            raise LumosXError(f"Q-Align cannot be loaded: {type(error).__name__}: {error}. {WITHOUT}") from error
        self._device = device

    @torch.no_grad()
    def score(self, frames: Sequence[np.ndarray]) -> list[Scores]:
        scores = []
        for frame in frames:
            image = torch.from_numpy(frame.copy()).permute(2, 0, 1)[None].float().to(self._device) / 255
            values = [float(self._metric(image, task_=task)) for task in ("quality", "aesthetic")]
            scores.append(Scores(*values))
        return scores


class Quality:
    """Takes the mean of the frames at 5, 50 and 95 % of a clip."""

    name = "quality"
    costly = True

    def __init__(self, settings: QualitySettings, scorer: FrameScorer):
        self._settings, self._scorer = settings, scorer

    def start(self, timeline: Timeline) -> QualityMeasurement:
        return QualityMeasurement(key_frames(timeline), self._settings, self._scorer)


class QualityMeasurement:
    """Scores of one clip."""

    def __init__(self, wanted: list[int], settings: QualitySettings, scorer: FrameScorer):
        self.wanted = frozenset(wanted)
        self._settings, self._scorer = settings, scorer
        self._frames: list[np.ndarray] = []

    def add(self, number: int, frame: np.ndarray) -> None:
        self._frames.append(frame)

    def verdict(self) -> Verdict:
        scores = self._scorer.score(self._frames)
        quality = float(np.mean([each.quality for each in scores]))
        aesthetic = float(np.mean([each.aesthetic for each in scores]))
        facts = {"quality": round(quality, 4), "aesthetic": round(aesthetic, 4)}
        if not quality > self._settings.min_quality:
            return Verdict(facts, f"quality {quality:.2f} is not more than {self._settings.min_quality:g}")
        if not aesthetic > self._settings.min_aesthetic:
            return Verdict(facts, f"aesthetic score {aesthetic:.2f} is not more than {self._settings.min_aesthetic:g}")
        return Verdict(facts)
