"""Boxes, faces, detections, and regions with a soft edge, in pixels of a photo."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ...errors import LumosXError
from ...media.images import cut_out


@dataclass(frozen=True)
class Box:
    """A rectangle in pixels of a photo; right and bottom are exclusive."""

    left: float
    top: float
    right: float
    bottom: float

    @property
    def width(self) -> float:
        return max(0.0, self.right - self.left)

    @property
    def height(self) -> float:
        return max(0.0, self.bottom - self.top)

    @property
    def area(self) -> float:
        return self.width * self.height

    @property
    def centre(self) -> tuple[float, float]:
        """(x, y)"""
        return (self.left + self.right) / 2, (self.top + self.bottom) / 2

    def intersection(self, other: Box) -> Box:
        """What both cover; its area is 0 where they do not meet."""
        return Box(
            max(self.left, other.left),
            max(self.top, other.top),
            min(self.right, other.right),
            min(self.bottom, other.bottom),
        )

    def share_in(self, other: Box) -> float:
        """The fraction of this box inside the other one, 0..1."""
        return self.intersection(other).area / self.area if self.area else 0.0

    def iou(self, other: Box) -> float:
        """Intersection over union, 0..1."""
        common = self.intersection(other).area
        union = self.area + other.area - common
        return common / union if union else 0.0

    def moved(self, x: float, y: float) -> Box:
        return Box(self.left + x, self.top + y, self.right + x, self.bottom + y)

    def scaled(self, x: float, y: float) -> Box:
        """In an image that is x times as wide and y times as high."""
        return Box(self.left * x, self.top * y, self.right * x, self.bottom * y)

    def grown(self, *, left: float = 0.0, top: float = 0.0, right: float = 0.0, bottom: float = 0.0) -> Box:
        """Grown by these fractions of its own width and height; negative ones shrink it."""
        return Box(
            self.left - left * self.width,
            self.top - top * self.height,
            self.right + right * self.width,
            self.bottom + bottom * self.height,
        )

    def within(self, height: int, width: int) -> Box:
        """Its part inside an image of this size, on whole pixels, never empty: at least one pixel at the edge."""
        left = min(max(0, round(self.left)), width - 1)
        top = min(max(0, round(self.top)), height - 1)
        right = min(max(left + 1, round(self.right)), width)
        bottom = min(max(top + 1, round(self.bottom)), height)
        return Box(left, top, right, bottom)

    def crop(self, image: Tensor) -> Tensor:
        """The part of an (H, W, ...) image inside the box, as a view; the box is first brought within the image."""
        box = self.within(image.shape[0], image.shape[1])
        return image[int(box.top) : int(box.bottom), int(box.left) : int(box.right)]


@dataclass(frozen=True)
class Face:
    """A face in a photo.

    Args:
        box: as the detector gives it; it may reach beyond the photo.
        score: 0..1; 1 for a box that somebody gave.
        landmarks: (x, y) of the eye, eye, nose, mouth corner, mouth corner, left before right in the photo of a
            face that looks at the camera; None if not known.
    """

    box: Box
    score: float = 1.0
    landmarks: tuple[tuple[float, float], ...] | None = None


@dataclass(frozen=True)
class Detection:
    """Where a phrase was found in a photo.

    Args:
        score: 0..1.
        region: what was found in the box, from a finder that masks as well; None: a segmenter has to look.
    """

    box: Box
    score: float = 1.0
    region: Region | None = None

    def moved(self, x: float, y: float) -> Detection:
        region = self.region and self.region.moved(int(x), int(y))
        return Detection(self.box.moved(x, y), self.score, region)


@dataclass(frozen=True, eq=False)
class Region:
    """A part of a photo with a soft or a hard edge.

    Only the rectangle around it is stored, and a hard edge in a quarter of the room, so that many regions of a large
    photo stay small.

    Args:
        left, top: of the rectangle, in pixels of the photo.
        opacity: (h, w) float, 0 outside, 1 inside; or bool, which is a hard edge.
    """

    left: int
    top: int
    opacity: Tensor

    @property
    def box(self) -> Box:
        return Box(self.left, self.top, self.left + self.opacity.shape[1], self.top + self.opacity.shape[0])

    @property
    def area(self) -> float:
        """In pixels."""
        return float(self.opacity.sum())

    @property
    def solid(self) -> Tensor:
        """(h, w) bool: the pixels with an opacity of 0.5 or more."""
        return self.opacity if self.opacity.dtype == torch.bool else self.opacity >= 0.5

    def mask(self, height: int, width: int) -> Tensor:
        """The whole mask, (height, width) float."""
        mask = torch.zeros(height, width)
        self.box.crop(mask).copy_(self.opacity)
        return mask

    def moved(self, x: int, y: int) -> Region:
        return Region(self.left + x, self.top + y, self.opacity)

    def share_in(self, other: Region) -> float:
        """The fraction of this region inside the other one, 0..1."""
        common = self.box.intersection(other.box)
        if not common.area or not self.area:
            return 0.0
        mine = common.moved(-self.left, -self.top).crop(self.opacity)
        theirs = common.moved(-other.left, -other.top).crop(other.opacity)
        return float((mine * theirs).sum()) / self.area

    def cut_out(self, image: Tensor) -> Tensor:
        """(H, W, 3) photo -> (h, w, 3) float, white around the region, cropped to it.

        Raises:
            LumosXError: the region contains nothing.
        """
        return cut_out(self.box.crop(image), self.opacity)


def region_of(mask: Tensor) -> Region:
    """The region of a whole (H, W) mask, cropped to what it contains; its opacity is float.

    Raises:
        LumosXError: the mask has another number of dimensions, or is empty.
    """
    if mask.ndim != 2:
        raise LumosXError(f"A mask has shape {tuple(mask.shape)}, expected (height, width). Give one mask.")
    rows, columns = (mask > 0).any(dim=1).nonzero(), (mask > 0).any(dim=0).nonzero()
    if not len(rows):
        raise LumosXError("The mask is empty: nothing of the photo is in it. Mask what is meant.")
    top, left = int(rows[0]), int(columns[0])
    opacity = mask[top : int(rows[-1]) + 1, left : int(columns[-1]) + 1].to(torch.float32).clamp(0, 1)
    return Region(left, top, opacity)
