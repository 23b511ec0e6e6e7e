"""A world of coloured rectangles on black, and networks that read it: what a metric should be can be computed by hand.

Faces are rectangles whose blue is 1, things have the colour that their phrase means.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence

import numpy as np
import torch
from scipy import ndimage
from torch import Tensor

from lumosx_core.auto_scene.cutouts.regions import Box, Detection, Face
from lumosx_core.evaluation.networks import NetworkNote
from lumosx_core.scene.case_folder import Case
from lumosx_core.scene.scene import Reference, Scene, Subject

Colour = tuple[float, float, float]


def blank(height: int = 60, width: int = 80) -> Tensor:
    return torch.zeros(height, width, 3)


def paint(image: Tensor, box: tuple[int, int, int, int], colour: Colour) -> Tensor:
    left, top, right, bottom = box
    image[top:bottom, left:right] = torch.tensor(colour)
    return image


def plain(colour: Colour, height: int = 20, width: int = 20) -> Tensor:
    return torch.tensor(colour).expand(height, width, 3).clone()


def boxes_where(mask: Tensor) -> list[Box]:
    marked, _ = ndimage.label(mask.numpy())
    return [Box(x.start, y.start, x.stop, y.stop) for y, x in ndimage.find_objects(marked)]


class FacesByColour:
    """Finds rectangles whose channel (2: blue) is 1, in the order of the image; scores by area."""

    def __init__(self, channel: int = 2, scores: Sequence[float] | None = None):
        self.channel = channel
        self.scores = scores

    def find(self, image: Tensor) -> list[Face]:
        boxes = boxes_where(image[..., self.channel] > 0.99)
        scores = self.scores or [0.5 + box.area / 1e5 for box in boxes]
        return [Face(box, score) for box, score in zip(boxes, scores, strict=False)]


class ThingsByColour:
    """Finds what a phrase means by its colour; records what it was asked for."""

    def __init__(self, colours: dict[str, Colour], tolerance: float = 0.01):
        self.colours = colours
        self.tolerance = tolerance
        self.asked: list[tuple[tuple[int, int], str]] = []

    def find(self, image: Tensor, phrases: Sequence[str]) -> list[list[Detection]]:
        found = []
        for phrase in phrases:
            self.asked.append((tuple(image.shape[:2]), phrase))
            colour = self.colours.get(phrase)
            boxes = [] if colour is None else boxes_where(self._near(image, colour))
            found.append([Detection(box, 0.9) for box in sorted(boxes, key=lambda box: -box.area)])
        return found

    def _near(self, image: Tensor, colour: Colour) -> Tensor:
        return ((image - torch.tensor(colour)).abs() < self.tolerance).all(dim=-1)


class MeanColour:
    """The mean colour of an image, mixed by fixed random weights; texts have random vectors of their own."""

    def __init__(self, seed: int = 0, name: str = "mean colour"):
        self.weights = np.random.default_rng(seed).normal(size=(6, 3))
        self.note = NetworkNote(name, "none", False)

    def raw(self, image) -> np.ndarray:
        return self.weights @ np.asarray(image, dtype=np.float64).reshape(-1, 3).mean(axis=0) + self.weights[:, 0] * 0.1

    def one(self, image) -> np.ndarray:
        vector = self.raw(image)
        return vector / np.linalg.norm(vector)

    def text(self, text: str) -> np.ndarray:
        vector = np.random.default_rng(zlib.crc32(text.encode())).normal(size=6)
        return vector / np.linalg.norm(vector)

    def embed(self, images: Sequence[Tensor]) -> Tensor:
        return torch.tensor(np.stack([self.one(each) for each in images])).float()

    def embed_text(self, texts: Sequence[str]) -> Tensor:
        return torch.tensor(np.stack([self.text(each) for each in texts])).float()

    def features(self, images: Sequence[Tensor]) -> Tensor:
        return torch.tensor(np.stack([10 * self.raw(each) for each in images])).float()


def cosine(a: np.ndarray, b: np.ndarray) -> float:
    return float((a * b).sum() / ((a * a).sum() ** 0.5 * (b * b).sum() ** 0.5))


def case_of(faces: Sequence[Colour | None], attributes: Sequence[dict[str, Colour]] = (), **parts) -> Case:
    """A case whose subject i has a plain face (None: none) of the word "man i" and plain attributes."""
    attributes = attributes or [{} for _ in faces]
    subjects = tuple(
        Subject(
            None if face is None else Reference(f"man {i}", plain(face)),
            tuple(Reference(phrase, plain(colour)) for phrase, colour in things.items()),
        )
        for i, (face, things) in enumerate(zip(faces, attributes, strict=True))
    )
    return Case("case", "men in a park", Scene(subjects, **parts))
