"""Instances of phrases in a photo: boxes of a phrase detector become regions of a segmenter."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from torch import Tensor

from .cutouts.regions import Box, Detection, Region
from .detectors import PhraseFinder, Segmenter

Look = Callable[[Sequence[Box]], list[Region]]

MOST_INSTANCES = 20  # of one phrase in one photo: a crowd need not be masked one by one
ZOOM = 2.0  # a part of a photo is looked at on its own where that shows at least this many pixels for each one


@dataclass(frozen=True, eq=False)
class Instance:
    """One thing that a phrase was found to mean, in pixels of its photo."""

    phrase: str
    box: Box
    score: float
    region: Region


class View:
    """A photo, or a part of it, that a segmenter looks at once, however many phrases are asked for.

    Args:
        photo: (H, W, 3) float, 0..1.
        inside: the part to see; all of it without one. Boxes and regions stay in pixels of the whole photo.
    """

    def __init__(self, photo: Tensor, segmenter: Segmenter, inside: Box | None = None):
        height, width = photo.shape[:2]
        self.box = (inside or Box(0, 0, width, height)).within(height, width)
        self.photo = photo
        self._segmenter = segmenter
        self._look: Look | None = None

    def regions(self, boxes: Sequence[Box]) -> list[Region]:
        """The region in each box."""
        if not boxes:
            return []
        if self._look is None:
            self._look = self._segmenter.look_at(self.box.crop(self.photo))
        left, top = int(self.box.left), int(self.box.top)
        found = self._look([box.moved(-left, -top) for box in boxes])
        return [region.moved(left, top) for region in found]

    def part(self, box: Box) -> View:
        """A view around a part: this one itself, where a closer look would show no more of the photo's pixels.

        The part has leeway around it, and at least as many pixels as the segmenter takes: with fewer it would be
        enlarged, which shows nothing more and makes masks worse.
        """
        height, width = self.photo.shape[:2]
        room = box.with_leeway()
        side = self._segmenter.side
        wide, high = max(room.width, min(side, width)), max(room.height, min(side, height))
        if max(self.box.width, self.box.height) < ZOOM * max(side, wide, high):
            return self
        (x, y) = room.centre
        left, top = min(max(0, x - wide / 2), width - wide), min(max(0, y - high / 2), height - high)
        return View(self.photo, self._segmenter, Box(left, top, left + wide, top + high))


def find_instances(
    view: View, phrases: Sequence[str], finder: PhraseFinder, *, inside: Box | None = None, most: int = MOST_INSTANCES
) -> list[list[Instance]]:
    """For each phrase what it means in a view, best first.

    Args:
        inside: the part of the photo to search in, such as a person's box.
        most: instances of each phrase; of those beyond, the ones with the lowest scores are left out.

    Returns: a list for each phrase. Things without a single pixel are left out.
    """
    if not phrases:
        return []
    area = (inside or view.box).within(*view.photo.shape[:2])
    return [
        _first(view, phrase, [each.moved(area.left, area.top) for each in detections], most)
        for phrase, detections in zip(phrases, finder.find(area.crop(view.photo), phrases), strict=True)
    ]


def _first(view: View, phrase: str, detections: Sequence[Detection], most: int) -> list[Instance]:
    """The best ones, as many as are wanted, that have a pixel."""
    found: list[Instance] = []
    while detections and len(found) < most:
        batch, detections = detections[: most - len(found)], detections[most - len(found) :]
        # One phrase has one finder: either all of its detections have their regions, or none has.
        regions = [detection.region for detection in batch if detection.region is not None]
        if len(regions) < len(batch):
            regions = view.regions([detection.box for detection in batch])
        found += [
            Instance(phrase, detection.box, detection.score, region)
            for detection, region in zip(batch, regions, strict=True)
            if region.area > 0
        ]
    return found
