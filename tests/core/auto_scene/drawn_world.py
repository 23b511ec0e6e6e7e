"""Photos drawn with rectangles, and finders that read their colours: what the logic does with boxes and masks,
apart from what networks see.

Everything has the colour of its phrase. Each pixel also tells, by a shade too faint to matter for that, whose it is:
the segmenter gives the pixels in a box that belong to whoever owns most of it.
"""

from __future__ import annotations

import torch
from scipy import ndimage

from lumosx_core.auto_scene.cutouts.regions import Box, Detection, Face, Region

WALL = (0.95, 0.95, 0.90)
COLOURS = {
    "man": (0.45, 0.30, 0.20),
    "woman": (0.60, 0.40, 0.30),
    "face": (0.90, 0.70, 0.60),
    "denim jacket": (0.10, 0.20, 0.60),
    "white shirt": (0.80, 0.85, 0.85),
    "sweater": (0.70, 0.50, 0.10),
    "red hat": (0.80, 0.10, 0.10),
    "lamp": (0.90, 0.85, 0.20),
    "table": (0.30, 0.55, 0.15),
}
SHADE = 0.004  # of one owner
NEAR = 0.025


class Photo:
    """A drawing that remembers nothing: finders see the pixels alone."""

    def __init__(self, height: int = 200, width: int = 300):
        self.image = torch.tensor(WALL).expand(height, width, 3).clone()

    def paint(self, phrase: str, box: tuple[int, int, int, int], owner: int = 0) -> Photo:
        left, top, right, bottom = box
        self.image[top:bottom, left:right] = torch.tensor(COLOURS[phrase]) + SHADE * owner
        return self

    def person(self, word: str, left: int, top: int = 20, *, owner: int, wears: dict | None = None) -> Photo:
        """A figure 60 wide and 160 high; `wears` gives boxes within it."""
        self.paint(word, (left, top, left + 60, top + 160), owner)
        self.paint("face", (left + 20, top + 5, left + 40, top + 30), owner)
        for phrase, (x0, y0, x1, y1) in (wears or {}).items():
            self.paint(phrase, (left + x0, top + y0, left + x1, top + y1), owner)
        return self


def _boxes(image: torch.Tensor, phrase: str) -> list[Box]:
    like = ((image - torch.tensor(COLOURS[phrase]) - 2 * SHADE).abs().amax(-1) < NEAR).numpy()
    labels, _ = ndimage.label(like)
    found = []
    for rows, columns in ndimage.find_objects(labels):
        found.append(Box(columns.start, rows.start, columns.stop, rows.stop))
    return found


class ColourFaces:
    def find(self, image):
        return [Face(box, 0.9) for box in _boxes(image, "face")]


class ColourPhrases:
    """Finds phrases by colour; remembers what it was asked. A person is as large as the figure's outline."""

    def __init__(self, scores: dict[str, float] | None = None):
        self.asked: list[tuple[tuple[int, int], tuple[str, ...]]] = []
        self.scores = scores or {}

    def find(self, image, phrases):
        self.asked.append((tuple(image.shape[:2]), tuple(phrases)))
        return [self._find(image, phrase) for phrase in phrases]

    def _find(self, image, phrase):
        if phrase == "person":
            return [hit for word in ("man", "woman") for hit in self._find(image, word)]
        if phrase not in COLOURS:
            return []
        boxes = _boxes(image, phrase)
        if phrase in ("man", "woman"):
            boxes = [box for box in boxes if box.area > 300]
        score = self.scores.get(phrase, 0.8)
        return [Detection(box, score) for box in sorted(boxes, key=lambda box: -box.area)]


class OwnersMasks:
    """Masks by the faint shade of the owner; counts how often a photo, or a part of one, was looked at.

    Args:
        side: of what it looks at: a photo of more than twice as many pixels is looked at in parts.
    """

    def __init__(self, side: int = 1024):
        self.side = side
        self.looks: list[tuple[int, int]] = []
        self.side = side

    def look_at(self, image):
        self.looks.append(tuple(image.shape[:2]))
        shade = torch.full(image.shape[:2], -1.0)
        for colour in COLOURS.values():
            offset = (image - torch.tensor(colour)).mean(-1)
            like = (image - torch.tensor(colour)).abs().amax(-1) < NEAR
            shade = torch.where(like, (offset / SHADE).round(), shade)

        def regions(boxes):
            found = []
            for box in boxes:
                inside = box.crop(shade)
                owner = inside[inside >= 0].mode().values if (inside >= 0).any() else torch.tensor(-9.0)
                room = box.with_leeway().within(*image.shape[:2])
                found.append(Region(int(room.left), int(room.top), (room.crop(shade) == owner).float()))
            return found

        return regions
