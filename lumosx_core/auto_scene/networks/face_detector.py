"""Face detection with insightface: SCRFD or RetinaFace as an onnx file, det_10g.onnx for one."""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from ...errors import LumosXError, MissingPackageError
from ..cutouts.regions import Box, Face
from .known import INSIGHTFACE

_CANVAS = 640  # pixels; what these detectors were trained on
_NAMES = ("det_*.onnx", "scrfd*.onnx")
_WHERE_TO_GET = f"Give an onnx detector such as det_10g.onnx of insightface's buffalo_l, or its folder; {INSIGHTFACE}."


class FaceDetector:
    """A face finder that runs insightface's detectors, from version 0.7 of the package on.

    Args:
        detector: as `insightface.model_zoo.get_model` builds it, prepared.
    """

    def __init__(self, detector):
        self.detector = detector

    @classmethod
    def load(cls, path: str | Path, *, threshold: float = 0.5, cuda: bool = False) -> FaceDetector:
        """Open a detector; nothing is downloaded.

        Args:
            path: an onnx file, or a folder with one, such as insightface's own models/buffalo_l.
            threshold: faces with a lower score, 0..1, are not reported.
            cuda: run it on the GPU, if the onnxruntime that is installed can.

        Raises:
            LumosXError: no such file, no onnx file, or no face detector.
            MissingPackageError: insightface is not installed.
        """
        try:
            from insightface.model_zoo import get_model
            from onnxruntime import get_available_providers
        except ImportError as error:
            raise MissingPackageError("insightface", f"Finding faces ({INSIGHTFACE})", error) from error
        wanted = ["CUDAExecutionProvider", "CPUExecutionProvider"] if cuda else ["CPUExecutionProvider"]
        providers = [provider for provider in wanted if provider in get_available_providers()]
        path = Path(path).expanduser()
        detector = _detector_in(path, partial(get_model, providers=providers))
        try:
            # The image that `find` gives it has this size already. The first argument would choose between the CPU
            # and the providers given above; 0 leaves them.
            detector.prepare(0, input_size=(_CANVAS, _CANVAS), det_thresh=threshold)
            # insightface takes any network with five or more outputs for a detector, until it looks at an image.
            detector.detect(np.zeros((_CANVAS, _CANVAS, 3), dtype=np.uint8))
        except Exception as error:
            raise LumosXError(
                f"{path} is not a face detector of insightface's kinds ({error}). {_WHERE_TO_GET}"
            ) from error
        return cls(detector)

    @torch.no_grad()
    def find(self, image: Tensor) -> list[Face]:
        """All faces in an (H, W, 3) photo of 0..1, with the five landmarks if the detector knows them."""
        # Trained on faces smaller than the image, detectors overlook one that fills it: then it is shown smaller.
        return self._find(image, _CANVAS) or self._find(image, _CANVAS // 2)

    def _find(self, image: Tensor, long_side: int) -> list[Face]:
        """Faces in the photo when its long side is that many pixels, in the middle of the black canvas."""
        height, width = image.shape[:2]
        scale = long_side / max(height, width)
        h, w = max(1, round(height * scale)), max(1, round(width * scale))
        small = F.interpolate(image.permute(2, 0, 1)[None], size=(h, w), mode="bilinear", antialias=True)[0]
        top, left = (_CANVAS - h) // 2, (_CANVAS - w) // 2
        canvas = np.zeros((_CANVAS, _CANVAS, 3), dtype=np.uint8)
        blue_green_red = small.flip(0).permute(1, 2, 0).mul(255).round_().clamp_(0, 255)
        canvas[top : top + h, left : left + w] = blue_green_red.to(torch.uint8).numpy()

        boxes, landmarks = self.detector.detect(canvas)

        x, y = width / w, height / h
        faces = []
        for i, (*corners, score) in enumerate(boxes.tolist()):
            points = None
            if landmarks is not None:
                points = tuple(((px - left) * x, (py - top) * y) for px, py in landmarks[i].tolist())
            faces.append(Face(Box(*corners).moved(-left, -top).scaled(x, y), score, points))
        return faces


def _opened(file: Path, get_model):
    """insightface's model of an onnx file; None if it knows no such kind."""
    try:
        return get_model(str(file))
    except Exception as error:  # onnxruntime has types of its own, insightface lets its parser's through
        raise LumosXError(
            f"{file} cannot be opened: it is damaged, or not an onnx file of insightface's kinds ({error}). "
            f"{_WHERE_TO_GET}"
        ) from error


def _detector_in(path: Path, get_model):
    """The face detector that the file is, or the first one in the folder."""
    if os.path.isdir(path):
        # The usual names first: a folder holds other, larger networks, which need not be read then.
        named = [file for pattern in _NAMES for file in sorted(path.glob(pattern))]
        files = named or sorted(path.glob("*.onnx"))
    elif os.path.isfile(path) and path.suffix == ".onnx":
        files = [path]
    elif os.path.isfile(path):
        raise LumosXError(f"{path} is no onnx file by its name. {_WHERE_TO_GET}")
    else:
        raise LumosXError(f"There is no face detector {path}. Check the path. {_WHERE_TO_GET}")
    for file in files:
        model = _opened(file, get_model)
        if getattr(model, "taskname", None) == "detection":
            return model
    found = ", ".join(file.name for file in files[:5]) or "no onnx file"
    raise LumosXError(f"{path} holds no face detector (found: {found}). {_WHERE_TO_GET}")
