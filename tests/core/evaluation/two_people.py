"""Two people whom the miniature face detector finds and the miniature recogniser tells apart: each is of one colour."""

from __future__ import annotations

from pathlib import Path

import torch
from tiny_faces import write_arcface
from tiny_networks import SKIN, write_face_detector
from torch import Tensor

# The detector looks at red and blue, so green is free.
COLOURS = {"man": (SKIN[0], 0.95, SKIN[2]), "woman": (SKIN[0], 0.15, SKIN[2])}
PLACES = (90, 380)
SIZE = (360, 640)


def frame(*colours: tuple[float, float, float]) -> Tensor:
    """(360, 640, 3): a face at the left and one at the right."""
    image = torch.full((*SIZE, 3), 0.4)
    for left, colour in zip(PLACES, colours, strict=True):
        image[110:270, left : left + 120] = torch.tensor(colour)
    return image


def face_image(colour: tuple[float, float, float]) -> Tensor:
    """(250, 180, 3): a reference image of one of them."""
    return frame(colour, colour)[40:290, 60:240]


def write_face_networks(models: Path) -> None:
    """A detector and a recogniser where InsightFace keeps them in ComfyUI's folder of models."""
    detector = models / "insightface" / "models" / "tiny" / "det_tiny.onnx"
    detector.parent.mkdir(parents=True)
    write_face_detector(detector)
    write_arcface(detector.parent / "glintr100.onnx", features=64)
