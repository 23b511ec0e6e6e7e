"""What glyph people, their garments and the things around them look like: plain values, drawn at random.

Colours are (red, green, blue) in 0..255.
"""

from __future__ import annotations

import colorsys
import random
from dataclasses import dataclass

Colour = tuple[int, int, int]

NOUNS = {
    "man": "square",
    "woman": "round",
    "boy": "wide",
    "girl": "pointed",
}  # the shape of the head goes with the noun
HAIR = ("fringe", "sides", "mohawk", "bald")
EYES = ("dots", "wide", "glasses")
MOUTHS = ("smile", "flat", "open")
PATTERNS = ("plain", "striped", "banded", "dotted", "checked", "halved")
NEW_PATTERNS = ("diagonal", "framed")  # kept out of training
PATCHWORK, PATCHES = "patchwork", (2, 3)  # columns and rows of patches
"""50 arrangements in any two colours: too many to learn by heart, so that patterns are copied."""
HATS = ("cap", "top hat", "crown", "beanie")
PROPS = ("ball", "book", "cup", "bag")
OBJECTS = ("tree", "lamp", "ladder")
PLACES = ("beach", "meadow", "room", "street", "desert")
NEW_HUES = ((0.12, 0.20), (0.44, 0.53), (0.78, 0.87))  # shares of the colour wheel, kept out of training


@dataclass(frozen=True)
class Face:
    """A head: what makes a glyph person this person."""

    shape: str
    skin: Colour
    hair: str
    hair_colour: Colour
    eyes: str
    mouth: str


@dataclass(frozen=True)
class Garment:
    """A shirt.

    Args:
        patches: of a patchwork, which of its patches, row by row, have the second colour.
    """

    pattern: str
    colour: Colour
    second: Colour
    patches: tuple[int, ...] = ()


@dataclass(frozen=True)
class Thing:
    """A hat, a prop in the hands, or an object that stands on the ground."""

    kind: str
    colour: Colour
    second: Colour


@dataclass(frozen=True)
class Place:
    """A background: sky or wall, and ground."""

    kind: str
    above: Colour
    below: Colour


class Wardrobe:
    """Draws appearances.

    Args:
        new: draw what training never shows: colours out of NEW_HUES and patterns out of NEW_PATTERNS, each beside
            known ones.
    """

    def __init__(self, chance: random.Random, *, new: bool = False):
        self.chance = chance
        self.new = new

    def face(self, noun: str) -> Face:
        return Face(
            NOUNS[noun],
            self.colour(),
            self.chance.choice(HAIR),
            self.colour(),
            self.chance.choice(EYES),
            self.chance.choice(MOUTHS),
        )

    def garment(self) -> Garment:
        first, second = self.two_colours()
        if self.new and self.chance.random() < 0.5:
            return Garment(self.chance.choice(NEW_PATTERNS), first, second)
        if self.chance.random() < 0.5:
            number = PATCHES[0] * PATCHES[1]
            patches = self.chance.sample(range(number), self.chance.randint(2, number - 2))
            return Garment(PATCHWORK, first, second, tuple(sorted(patches)))
        pattern = self.chance.choice(PATTERNS)
        return Garment(pattern, first, first if pattern == "plain" else second)

    def thing(self, kinds: tuple[str, ...]) -> Thing:
        return Thing(self.chance.choice(kinds), *self.two_colours())

    def place(self) -> Place:
        first, second = ([round(150 + 0.38 * (value - 60)) for value in self.colour()] for _ in range(2))
        return Place(self.chance.choice(PLACES), (first[0], first[1], first[2]), (second[0], second[1], second[2]))

    def two_colours(self) -> tuple[Colour, Colour]:
        """Two colours that differ clearly."""
        first = self.colour()
        second = self.colour()
        while distance(first, second) < 120:
            second = self.colour()
        return first, second

    def colour(self) -> Colour:
        draw = self.chance.random
        if draw() < 0.12:  # black, grey, white
            grey = self.chance.choice((20, 120, 235))
            return grey, grey, grey
        hue = draw()
        if self.new and draw() < 0.5:
            low, high = self.chance.choice(NEW_HUES)
            hue = low + (high - low) * draw()
        else:
            while any(low <= hue < high for low, high in NEW_HUES):
                hue = draw()
        red, green, blue = colorsys.hsv_to_rgb(hue, 0.6 + 0.4 * draw(), 0.45 + 0.55 * draw())
        return round(255 * red), round(255 * green), round(255 * blue)


def distance(first: Colour, second: Colour) -> float:
    """Euclidean distance of two colours, up to 442."""
    return sum((a - b) ** 2 for a, b in zip(first, second, strict=True)) ** 0.5
