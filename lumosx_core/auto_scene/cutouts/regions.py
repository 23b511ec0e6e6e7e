"""Boxes, faces, detections, and regions with a soft edge, in pixels of a photo."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ...errors import LumosXError
from ...media.images import cut_out

LEEWAY = 0.1  # of its width and height: how far a mask may leave the detector's box, which is often too tight
LYING = 1.2  # from eyes to mouth, sideways against down: a head tilted by less than 50 degrees counts as upright


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

    def turned(self, turns: int) -> Box:
        """Turned about the origin by quarter turns counter-clockwise, as `torch.rot90` turns a photo."""
        box = self
        for _ in range(turns % 4):
            box = Box(box.top, -box.right, box.bottom, -box.left)
        return box

    def grown(self, *, left: float = 0.0, top: float = 0.0, right: float = 0.0, bottom: float = 0.0) -> Box:
        """Grown by these fractions of its own width and height; negative ones shrink it."""
        return Box(
            self.left - left * self.width,
            self.top - top * self.height,
            self.right + right * self.width,
            self.bottom + bottom * self.height,
        )

    def with_leeway(self) -> Box:
        """The room that a mask has: a detector's box is drawn to a few per cent, and a mask ends where it ends."""
        return self.grown(left=LEEWAY, top=LEEWAY, right=LEEWAY, bottom=LEEWAY)

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

    @property
    def turns(self) -> int:
        """Quarter turns counter-clockwise that bring the head upright: 0 unless the landmarks tell that it lies or
        is upside down.
        """
        points = self.landmarks
        if points is None or len(points) != 5:
            return 0
        across = (points[3][0] + points[4][0] - points[0][0] - points[1][0]) / 2
        down = (points[3][1] + points[4][1] - points[0][1] - points[1][1]) / 2
        if abs(across) > LYING * abs(down):
            return 3 if across > 0 else 1
        return 2 if -down > LYING * abs(across) else 0

    def moved(self, x: float, y: float) -> Face:
        points = self.landmarks and tuple((px + x, py + y) for px, py in self.landmarks)
        return Face(self.box.moved(x, y), self.score, points)

    def turned(self, turns: int, height: int, width: int) -> Face:
        """The same face after its photo of this height and width was turned counter-clockwise by quarter turns."""
        face = self
        for _ in range(turns % 4):
            points = face.landmarks and tuple((y, width - x) for x, y in face.landmarks)
            face = Face(face.box.turned(1).moved(0, width), face.score, points)
            height, width = width, height
        return face


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


@dataclass(frozen=True)
class MaskQuality:
    """What a segmenter tells about a mask.

    Args:
        predicted_iou: the network's own estimate of the intersection over union with the thing, about 0..1.
        stability: intersection over union of the mask at a little higher and a little lower threshold, 0..1.
    """

    predicted_iou: float
    stability: float


@dataclass(frozen=True, eq=False)
class Region:
    """A part of a photo with a soft or a hard edge.

    Only the rectangle around it is stored, and a hard edge in a quarter of the room, so that many regions of a large
    photo stay small.

    Args:
        left, top: of the rectangle, in pixels of the photo.
        opacity: (h, w) float, 0 outside, 1 inside; or bool, which is a hard edge.
        quality: of the mask; None if whoever made it does not tell.
    """

    left: int
    top: int
    opacity: Tensor
    quality: MaskQuality | None = None

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
        return replace(self, left=self.left + x, top=self.top + y)

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
