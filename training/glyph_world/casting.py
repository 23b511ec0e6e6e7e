"""Makes up scenes: who is there, what each wears and holds, where they stand and how they move."""

from __future__ import annotations

import random
from dataclasses import dataclass

from .appearance import HATS, NOUNS, OBJECTS, PROPS, Face, Garment, Place, Thing, Wardrobe, distance

MOST_PEOPLE = 4
MARKS = {2: (0.3, 0.7), 3: (0.15, 0.5, 0.85)}
"""Where so many people, or things, stand, as shares of the width.

In clips 80 pixels wide one or two people are whole patches of the transformer (16 pixels) away from the middle, where
their reference images show them: it is meant to learn binding, not shifts by fractions of a patch.
"""
MARKS_ALONE = (0.3, 0.5, 0.7)
JITTER, DRIFT = 0.02, 0.08  # of the place at the start, and of its change in a second for one person
CROWDED_JITTER = 0.0075  # for four and more, whose shoulders fill the frame


@dataclass(frozen=True)
class GlyphPerson:
    """One person.

    Args:
        noun: the caption's word for the person.
        x: where the person's middle is at the start, as a share of the frame's width.
        drift: change of x in a second, as a share of the frame's width.
        bounce: phase of the person's up and down, in turns.
    """

    noun: str
    face: Face
    shirt: Garment
    hat: Thing | None
    prop: Thing | None
    x: float
    drift: float
    bounce: float


@dataclass(frozen=True)
class GlyphScene:
    """A scene without words or frames.

    Args:
        people: in random order; `x` says who is where.
        thing_x: where the object stands, as a share of the frame's width.
        alike: people and garments have the same nouns, so that words cannot tell who wears what.
        sashes: everybody wears a white sash over the shirt, which no reference image shows.
    """

    people: tuple[GlyphPerson, ...]
    thing: Thing | None
    thing_x: float
    place: Place | None
    alike: bool
    sashes: bool = False

    @property
    def left_to_right(self) -> tuple[int, ...]:
        """Indices of the people as they stand."""
        return tuple(sorted(range(len(self.people)), key=lambda index: self.people[index].x))


@dataclass(frozen=True)
class Casting:
    """How scenes are made up.

    Args:
        people: share of scenes with 1, 2, 3, ... people.
        hat, prop, thing, place: how often a person has a hat or a prop, a scene an object (only beside one or two
            people) or a background image.
        alike: fraction of scenes in which all people and garments have the same nouns.
        new: scenes of what training never shows (see Wardrobe).
        sashes: a fashion that only some clips follow, for a LoRA to learn.
    """

    people: tuple[float, ...] = (0.15, 0.6, 0.25)
    hat: float = 0.25
    prop: float = 0.12
    thing: float = 0.08
    place: float = 0.4
    alike: float = 0.5
    new: bool = False
    sashes: bool = False

    def scene(self, chance: random.Random) -> GlyphScene:
        """Make up one scene."""
        wardrobe = Wardrobe(chance, new=self.new)
        count = chance.choices(range(1, len(self.people) + 1), self.people)[0]
        alike = count > 1 and chance.random() < self.alike
        nouns = [chance.choice(list(NOUNS))] * count if alike else chance.sample(list(NOUNS), count)
        hats = [chance.random() < self.hat for _ in nouns]
        props = [chance.random() < self.prop for _ in nouns]
        faces = _distinct(lambda i: wardrobe.face(nouns[i]), count, lambda face: (face.skin, face.hair_colour))
        shirts = _distinct(lambda i: wardrobe.garment(), count, lambda shirt: (shirt.colour, shirt.second))
        thing = wardrobe.thing(OBJECTS) if count < 3 and chance.random() < self.thing else None
        places = count + (thing is not None)
        marks: tuple[float, ...]
        if places == 1:
            marks, jitter = (chance.choice(MARKS_ALONE),), JITTER
        elif places in MARKS:
            marks, jitter = MARKS[places], JITTER
        else:
            marks, jitter = _even(places), CROWDED_JITTER
        xs = [mark + chance.uniform(-jitter, jitter) for mark in marks]
        chance.shuffle(xs)
        hat_kind, prop_kind = chance.choice(HATS), chance.choice(PROPS)
        people = tuple(
            GlyphPerson(
                nouns[i],
                faces[i],
                shirts[i],
                wardrobe.thing((hat_kind,) if alike else HATS) if hats[i] else None,
                wardrobe.thing((prop_kind,) if alike else PROPS) if props[i] else None,
                xs[i],
                chance.uniform(-DRIFT, DRIFT) / places,
                chance.random(),
            )
            for i in range(count)
        )
        place = wardrobe.place() if chance.random() < self.place else None
        return GlyphScene(people, thing, xs[-1], place, alike, self.sashes)


CASTINGS = {
    "all": Casting(),
    "plain": Casting(people=(0.2, 0.8), hat=0, prop=0, thing=0, place=0.3),
}
"""By the names that addresses of data sets know. In "plain" there are one or two people with nothing but a shirt: with
these a network learns soonest what reference images are for."""


def only(people: int) -> tuple[float, ...]:
    """The shares of `Casting.people` for scenes of exactly so many people."""
    return tuple(float(number == people) for number in range(1, people + 1))


def _even(places: int) -> tuple[float, ...]:
    return tuple((slot + 0.5) / places for slot in range(places))


def _distinct(draw, count: int, colours) -> list:
    """Draw things for people such that no two can be mistaken: at least one of their colours differs clearly."""
    drawn: list = []
    while len(drawn) < count:
        new = draw(len(drawn))
        apart = [sum(distance(a, b) for a, b in zip(colours(new), colours(other), strict=True)) / 2 for other in drawn]
        if all(value > 130 for value in apart):
            drawn.append(new)
    return drawn
