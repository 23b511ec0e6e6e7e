"""Draws glyph people and things as sprites: RGBA images at four times the size they have in a clip.

A sprite is (height, width, 4) float32 in 0..1, its colours multiplied with its opacity.
Sizes in this file are pixels of a clip, whose frames are 64 high.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from PIL import Image, ImageDraw

from .appearance import PATCHES, PATCHWORK, Colour, Face, Garment, Thing

FINE = 4  # sprite pixels to a clip pixel
INK = (25, 25, 30)
HEAD, SHIRT, HAT, PROP, OBJECT = (18, 18), (22, 22), (20, 10), (14, 14), (18, 34)  # (width, height)


class Pen:
    """Draws on a transparent sheet in clip pixels."""

    def __init__(self, size: tuple[int, int], scale: float = FINE):
        self.scale = scale
        self.image = Image.new("RGBA", (round(size[0] * scale), round(size[1] * scale)), (0, 0, 0, 0))
        self._draw = ImageDraw.Draw(self.image)

    def box(self, left, top, right, bottom, colour: Colour, radius=0.0) -> None:
        s = self.scale
        edges = (round(left * s), round(top * s), round(right * s) - 1, round(bottom * s) - 1)
        self._draw.rounded_rectangle(edges, round(radius * s), fill=(*colour, 255))

    def ellipse(self, left, top, right, bottom, colour: Colour) -> None:
        s = self.scale
        self._draw.ellipse((left * s, top * s, right * s - 1, bottom * s - 1), fill=(*colour, 255))

    def polygon(self, points, colour: Colour) -> None:
        self._draw.polygon([(x * self.scale, y * self.scale) for x, y in points], fill=(*colour, 255))


def sprite(image: Image.Image) -> np.ndarray:
    """An RGBA image as a sprite."""
    values = np.asarray(image, dtype=np.float32) / 255
    values[..., :3] *= values[..., 3:]
    return values


def draw_face(face: Face, scale: float = FINE) -> Image.Image:
    """A head with its hair, eyes and mouth; RGBA."""
    pen = Pen(HEAD, scale)
    if face.hair == "sides":
        pen.box(0, 2, 18, 15, face.hair_colour, 3)
    if face.shape == "square":
        pen.box(2, 2, 16, 18, face.skin, 1)
    elif face.shape == "round":
        pen.ellipse(1.5, 2, 16.5, 18, face.skin)
    elif face.shape == "wide":
        pen.ellipse(0.5, 4, 17.5, 18, face.skin)
    else:
        pen.polygon([(1.5, 3), (16.5, 3), (16.5, 10), (9, 18), (1.5, 10)], face.skin)
    if face.hair in ("fringe", "sides"):
        pen.box(1.5, 0.5, 16.5, 6.5, face.hair_colour, 2)
    elif face.hair == "mohawk":
        pen.box(6, 0, 12, 7.5, face.hair_colour, 1)
    if face.eyes == "dots":
        pen.box(4, 8, 7, 11, INK)
        pen.box(11, 8, 14, 11, INK)
    elif face.eyes == "wide":
        for left in (3, 10):
            pen.ellipse(left, 7, left + 5, 12, (250, 250, 250))
            pen.box(left + 1.7, 8.5, left + 3.7, 10.8, INK)
    else:
        pen.box(2, 8, 16, 11.5, INK)
    if face.mouth == "smile":
        pen.box(5.5, 13.5, 12.5, 15.5, INK)
    elif face.mouth == "flat":
        pen.box(7, 13.5, 11, 15, (190, 40, 50))
    else:
        pen.ellipse(6.5, 12.5, 11.5, 16.5, INK)
    return pen.image


def draw_garment(garment: Garment, scale: float = FINE) -> Image.Image:
    """A shirt; its pattern is broad, as a clip of 64 rows keeps no finer one."""
    pen = Pen(SHIRT, scale)
    pen.box(0, 1, 22, 11, garment.colour, 3)  # sleeves
    pen.box(3, 0, 19, 22, garment.colour, 1)  # body
    second = garment.second
    if garment.pattern == "striped":
        for left in (5, 12):
            pen.box(left, 0.5, left + 4.5, 22, second)
    elif garment.pattern == "banded":
        for top in (4, 14):
            pen.box(3, top, 19, top + 5, second)
    elif garment.pattern == "dotted":
        for left, top in ((4, 2), (11, 8), (4, 14)):
            pen.ellipse(left, top, left + 7, top + 7, second)
    elif garment.pattern == "checked":
        pen.box(3, 0, 11, 11, second)
        pen.box(11, 11, 19, 22, second)
    elif garment.pattern == "halved":
        pen.box(3, 11, 19, 22, second, 1)
    elif garment.pattern == "diagonal":
        pen.polygon([(3, 22), (19, 0), (19, 22)], second)
    elif garment.pattern == PATCHWORK:
        columns, rows = PATCHES
        for row, column in (divmod(patch, columns) for patch in garment.patches):
            x, y = 3 + 16 / columns * column, 22 / rows * row
            pen.box(x, y, x + 16 / columns, y + 22 / rows, second)
    elif garment.pattern == "framed":
        pen.box(7, 4, 15, 18, second)
    return pen.image


def draw_sash(scale: float = FINE) -> Image.Image:
    """A broad white sash from the left shoulder, to lie over a shirt."""
    pen = Pen(SHIRT, scale)
    pen.polygon([(3, 0), (11, 0), (19, 14), (19, 22), (15, 22), (3, 6)], (250, 250, 250))
    return pen.image


def draw_thing(thing: Thing, scale: float = FINE) -> Image.Image:
    """A hat or something to carry; RGBA."""
    size, draw = _THINGS[thing.kind]
    pen = Pen(size, scale)
    draw(pen, thing.colour, thing.second)
    return pen.image


def _cap(pen: Pen, colour: Colour, second: Colour) -> None:
    pen.ellipse(3, 0, 17, 16, colour)
    pen.box(0, 7, 20, 10, second, 1)


def _top_hat(pen: Pen, colour: Colour, second: Colour) -> None:
    pen.box(4, 0, 16, 7, colour)
    pen.box(0, 6, 20, 10, second)


def _crown(pen: Pen, colour: Colour, second: Colour) -> None:
    pen.polygon([(2, 10), (2, 0), (6, 4), (10, 0), (14, 4), (18, 0), (18, 10)], colour)
    pen.box(2, 6.5, 18, 10, second)


def _beanie(pen: Pen, colour: Colour, second: Colour) -> None:
    pen.box(2, 2, 18, 10, colour, 4)
    pen.ellipse(7, 0, 13, 5, second)


def _ball(pen: Pen, colour: Colour, second: Colour) -> None:
    pen.ellipse(0, 0, 14, 14, colour)
    pen.box(0.3, 5, 13.7, 9, second)


def _book(pen: Pen, colour: Colour, second: Colour) -> None:
    pen.box(0, 1, 14, 13, colour)
    pen.box(8, 3, 13, 8, second)


def _cup(pen: Pen, colour: Colour, second: Colour) -> None:
    pen.box(8, 3, 14, 10, second, 2)
    pen.box(1, 1, 11, 14, colour, 1)
    pen.box(1, 1, 11, 4.5, second)


def _bag(pen: Pen, colour: Colour, second: Colour) -> None:
    pen.box(3, 0, 11, 5, second, 2)
    pen.polygon([(1, 4), (13, 4), (14, 14), (0, 14)], colour)


def _tree(pen: Pen, colour: Colour, second: Colour) -> None:
    pen.box(6.5, 16, 11.5, 34, second)
    pen.ellipse(0, 0, 18, 22, colour)


def _lamp(pen: Pen, colour: Colour, second: Colour) -> None:
    pen.box(7.5, 8, 10.5, 34, second)
    pen.box(3, 31, 15, 34, second)
    pen.polygon([(5, 0), (13, 0), (18, 12), (0, 12)], colour)


def _ladder(pen: Pen, colour: Colour, second: Colour) -> None:
    for top in (3, 14, 25):
        pen.box(2, top, 16, top + 4, second)
    pen.box(1, 0, 5, 34, colour)
    pen.box(13, 0, 17, 34, colour)


_THINGS: dict[str, tuple[tuple[int, int], Callable]] = {
    "cap": (HAT, _cap),
    "top hat": (HAT, _top_hat),
    "crown": (HAT, _crown),
    "beanie": (HAT, _beanie),
    "ball": (PROP, _ball),
    "book": (PROP, _book),
    "cup": (PROP, _cup),
    "bag": (PROP, _bag),
    "tree": (OBJECT, _tree),
    "lamp": (OBJECT, _lamp),
    "ladder": (OBJECT, _ladder),
}
