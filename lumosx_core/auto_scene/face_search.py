"""A closer look for faces that a detector overlooks: small ones, heads that lie or are upside down, blurred ones.

A detector brings a photo to a few hundred pixels. So parts of the photo are shown to it: overlapping tiles, and the
figures whose face is sought, these also turned. How many parts there are is limited, whatever the photo.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import product

from torch import Tensor

from .cutouts.regions import Box, Face
from .detectors import FaceFinder

TILE = 1280  # pixels: to a detector of 640 a face of 30 pixels is large enough
OVERLAP = 320  # pixels that neighbouring tiles have in common: smaller faces are whole in one of them
MOST_TILES = 64  # of a photo; larger ones are seen in larger tiles
MOST_FIGURES = 20  # whose face is sought one by one, the largest first
ROOM = 0.15  # of a figure's box, around it: a box that is too tight cuts the head
SAME_FACE = 0.4  # of the smaller one within the other: one face
SURE_TURNED = 0.6  # the least score of a face in a turned photo, where detectors see faces in hands and folds

Step = Callable[[], None]
"""Called before each part; it may raise, to stop."""


def find_faces(finder: FaceFinder, photo: Tensor, step: Step = lambda: None) -> list[Face]:
    """The faces of an (H, W, 3) photo; only if there are none, those that a closer look shows."""
    return (
        finder.find(photo)
        or small_faces(finder, photo, (), step)
        or turned_faces(finder, photo, Box(0, 0, photo.shape[1], photo.shape[0]), step)
    )


def small_faces(finder: FaceFinder, photo: Tensor, known: Sequence[Face], step: Step = lambda: None) -> list[Face]:
    """Faces in overlapping tiles of a photo that are not known yet; none where the photo is not larger than a tile."""
    tiles = list(_tiles(*photo.shape[:2]))
    return new_faces(known, _faces_in(finder, photo, tiles, step)) if len(tiles) > 1 else []


def faces_of_figures(
    finder: FaceFinder, photo: Tensor, figures: Iterable[Box], known: Sequence[Face], step: Step = lambda: None
) -> list[Face]:
    """Faces that are not known yet, each sought in a figure of its own: as the figure is, else turned."""
    found: list[Face] = []
    for box in sorted(figures, key=lambda box: -box.area)[:MOST_FIGURES]:
        room = box.grown(left=ROOM, top=ROOM, right=ROOM, bottom=ROOM).within(*photo.shape[:2])
        faces = new_faces([*known, *found], _faces_in(finder, photo, [room], step))
        found += faces or new_faces([*known, *found], turned_faces(finder, photo, room, step))
    return found


def turned_faces(finder: FaceFinder, photo: Tensor, part: Box, step: Step = lambda: None) -> list[Face]:
    """Faces in a part of a photo that is turned by a quarter to either side or upside down, whichever shows most."""
    best: list[Face] = []
    crop = part.crop(photo)
    for turns in (1, 3, 2):
        step()
        turned = crop.rot90(turns, (0, 1))
        faces = [face for face in finder.find(turned) if face.score >= SURE_TURNED]
        if sum(face.score for face in faces) > sum(face.score for face in best):
            best = [face.turned(-turns, *turned.shape[:2]).moved(part.left, part.top) for face in faces]
    return best


def new_faces(known: Sequence[Face], found: Iterable[Face]) -> list[Face]:
    """Of the faces found, each once and the surest first, those that are not among the known."""
    kept: list[Face] = []
    for face in sorted(found, key=lambda face: -face.score):
        if not any(_same(face, other) for other in (*known, *kept)):
            kept.append(face)
    return kept


def _same(one: Face, other: Face) -> bool:
    return max(one.box.share_in(other.box), other.box.share_in(one.box)) > SAME_FACE


def _faces_in(finder: FaceFinder, photo: Tensor, parts: Iterable[Box], step: Step) -> list[Face]:
    found: list[Face] = []
    for part in parts:
        step()
        found += [face.moved(part.left, part.top) for face in finder.find(part.crop(photo))]
    return found


def _tiles(height: int, width: int) -> Iterator[Box]:
    side = TILE
    while math.prod(len(_starts(size, side)) for size in (height, width)) > MOST_TILES:
        side = round(side * 1.25)
    for top, left in product(_starts(height, side), _starts(width, side)):
        yield Box(left, top, left + side, top + side).within(height, width)


def _starts(size: int, side: int) -> list[int]:
    """Where tiles begin along an axis, evenly, so that the last one ends with the photo."""
    count = 1 + max(0, math.ceil((size - side) / (side - OVERLAP)))
    return [round(i * (size - side) / max(1, count - 1)) for i in range(count)] if count > 1 else [0]
