"""Draws glyph people and things as sprites: RGBA pictures at four times the size they have in a clip.

A sprite is (height, width, 4) float32 in 0..1, its colours multiplied with its opacity.
Sizes in this file are pixels of a clip, whose frames are 64 high.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from PIL import Image, ImageDraw

from .appearance import Colour, Face, Garment, Thing

FINE = 4  # sprite pixels to a clip pixel
INK = (25, 25, 30)
HEAD, SHIRT, HAT, PROP, OBJECT = (16, 16), (20, 22), (18, 9), (13, 13), (18, 34)  # (width, height)


class Pen:
    """Draws on a transparent sheet in clip pixels."""

    def __init__(self, size: tuple[int, int], scale: float = FINE):
        self.scale = scale
        self.image = Image.new("RGBA", tuple(round(side * scale) for side in size), (0, 0, 0, 0))
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
    """An RGBA picture as a sprite."""
    values = np.asarray(image, dtype=np.float32) / 255
    values[..., :3] *= values[..., 3:]
    return values


def draw_face(face: Face, scale: float = FINE) -> Image.Image:
    pen = Pen(HEAD, scale)
    if face.hair == "sides":
        pen.box(0, 2, 16, 13, face.hair_colour, 3)
    if face.shape == "square":
        pen.box(2, 2, 14, 16, face.skin, 1)
    elif face.shape == "round":
        pen.ellipse(2, 2, 14, 16, face.skin)
    elif face.shape == "wide":
        pen.ellipse(1, 4, 15, 16, face.skin)
    else:
        pen.polygon([(2, 3), (14, 3), (14, 9), (8, 16), (2, 9)], face.skin)
    if face.hair in ("fringe", "sides"):
        pen.box(1.5, 1, 14.5, 5, face.hair_colour, 1.5)
    elif face.hair == "mohawk":
        pen.box(6, 0, 10, 6, face.hair_colour, 1)
    if face.eyes == "dots":
        pen.box(4.5, 7, 6.5, 9.5, INK)
        pen.box(9.5, 7, 11.5, 9.5, INK)
    elif face.eyes == "wide":
        for left in (3.5, 9):
            pen.ellipse(left, 6, left + 3.5, 10, (250, 250, 250))
            pen.box(left + 1.2, 7.2, left + 2.6, 9.2, INK)
    else:
        for left in (3, 8.6):
            pen.box(left, 6, left + 4.4, 10, INK)
            pen.box(left + 1, 7, left + 3.4, 9, (250, 250, 250))
    if face.mouth == "smile":
        pen.box(5, 12, 11, 13.2, INK)
        pen.box(5, 11, 6.2, 12.5, INK)
        pen.box(9.8, 11, 11, 12.5, INK)
    elif face.mouth == "flat":
        pen.box(5.5, 12, 10.5, 13.2, INK)
    else:
        pen.ellipse(6, 11, 10, 14.5, INK)
    return pen.image


def draw_garment(garment: Garment, scale: float = FINE) -> Image.Image:
    pen = Pen(SHIRT, scale)
    pen.box(0, 1, 20, 11, garment.colour, 3)  # sleeves
    pen.box(3, 0, 17, 22, garment.colour, 1)  # body
    second = garment.second
    if garment.pattern == "striped":
        for left in (4.5, 9, 13.5):
            pen.box(left, 0.5, left + 2, 22, second)
    elif garment.pattern == "banded":
        for top in (3, 9, 15):
            pen.box(3, top, 17, top + 3, second)
    elif garment.pattern == "dotted":
        for row, top in enumerate((2, 7, 12, 17)):
            for left in (4.5, 10.5) if row % 2 else (7, 13):
                pen.ellipse(left, top, left + 3.4, top + 3.4, second)
    elif garment.pattern == "checked":
        for row in range(4):
            for column in range(row % 2, 4, 2):
                pen.box(3 + 3.5 * column, 5.5 * row, 6.5 + 3.5 * column, 5.5 * row + 5.5, second)
    elif garment.pattern == "halved":
        pen.box(3, 11, 17, 22, second, 1)
    elif garment.pattern == "diagonal":
        for shift in (0, 8, 16):
            pen.polygon([(3, shift), (17, shift - 6), (17, shift - 2), (3, shift + 4)], second)
    elif garment.pattern == "framed":
        pen.box(5.5, 3, 14.5, 19, second)
    return pen.image


def draw_thing(thing: Thing, scale: float = FINE) -> Image.Image:
    size, draw = _THINGS[thing.kind]
    pen = Pen(size, scale)
    draw(pen, thing.colour, thing.second)
    return pen.image


def _cap(pen: Pen, colour: Colour, second: Colour) -> None:
    pen.ellipse(3, 1, 15, 14, colour)
    pen.box(0, 6, 18, 9, second, 1)


def _top_hat(pen: Pen, colour: Colour, second: Colour) -> None:
    pen.box(4, 0, 14, 8, colour)
    pen.box(4, 4.5, 14, 6.5, second)
    pen.box(0, 7, 18, 9, colour)


def _crown(pen: Pen, colour: Colour, second: Colour) -> None:
    pen.polygon([(2, 9), (2, 0), (6, 4), (9, 0), (12, 4), (16, 0), (16, 9)], colour)
    pen.box(2, 6, 16, 8, second)


def _beanie(pen: Pen, colour: Colour, second: Colour) -> None:
    pen.box(2, 2, 16, 9, colour, 3)
    pen.ellipse(7, 0, 11, 4, second)
    pen.box(1, 7, 17, 9, second)


def _ball(pen: Pen, colour: Colour, second: Colour) -> None:
    pen.ellipse(0, 0, 13, 13, colour)
    pen.box(0.3, 5, 12.7, 8, second)


def _book(pen: Pen, colour: Colour, second: Colour) -> None:
    pen.box(0, 1, 13, 12, colour)
    pen.box(6, 1, 7, 12, INK)
    pen.box(8, 3, 12, 6, second)


def _cup(pen: Pen, colour: Colour, second: Colour) -> None:
    pen.box(7, 3, 13, 9, second, 2)
    pen.box(1, 1, 10, 13, colour, 1)
    pen.box(1, 1, 10, 3.5, second)


def _bag(pen: Pen, colour: Colour, second: Colour) -> None:
    pen.box(3, 0, 10, 5, second, 2)
    pen.polygon([(1, 4), (12, 4), (13, 13), (0, 13)], colour)


def _tree(pen: Pen, colour: Colour, second: Colour) -> None:
    pen.box(7, 16, 11, 34, second)
    pen.ellipse(0, 0, 18, 22, colour)


def _lamp(pen: Pen, colour: Colour, second: Colour) -> None:
    pen.box(8, 8, 10, 34, second)
    pen.box(3, 32, 15, 34, second)
    pen.polygon([(5, 0), (13, 0), (18, 12), (0, 12)], colour)


def _ladder(pen: Pen, colour: Colour, second: Colour) -> None:
    for top in (4, 12, 20, 28):
        pen.box(2, top, 16, top + 3, second)
    pen.box(2, 0, 5, 34, colour)
    pen.box(13, 0, 16, 34, colour)


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
