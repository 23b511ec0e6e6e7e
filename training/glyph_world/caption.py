"""Puts a glyph scene into words, and says which words are whose."""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from dataclasses import dataclass

from .appearance import PATTERNS
from .casting import GlyphPerson, GlyphScene

PLACES_OF = {1: ("",), 2: ("on the left", "on the right"), 3: ("on the left", "in the middle", "on the right")}


@dataclass(frozen=True)
class PersonPhrases:
    """The words of the caption for one person and what is theirs; an empty hat or prop is not there."""

    face: str
    shirt: str
    hat: str = ""
    prop: str = ""


@dataclass(frozen=True)
class GlyphCaption:
    """A caption and its phrases, person by person as in the scene.

    Args:
        placed: the caption says where each person is.
    """

    text: str
    people: tuple[PersonPhrases, ...]
    thing: str
    place: str
    placed: bool


def describe(scene: GlyphScene, chance: random.Random, *, placed: bool | None = None) -> GlyphCaption:
    """Write a caption.

    Where people or garments share a noun, a phrase names its occurrence ("man#2"). The order of the clauses is not
    the order of the people in the scene: it is any order where the caption says who stands where, and else that from
    left to right, as one describes an image.

    Args:
        placed: say where people are; None: in two of three captions.
    """
    count = len(scene.people)
    if placed is None:
        placed = chance.random() < 0.67
    placed = placed and 1 < count <= 3
    order = list(scene.left_to_right)
    if placed:
        chance.shuffle(order)
    # Some captions name the pattern, others only the shirt; where all are alike, no word may tell people apart.
    patterned = not scene.alike and chance.random() < 0.5
    where = dict(zip(scene.left_to_right, PLACES_OF.get(count, ("",) * count), strict=True))
    clauses, words = [], {}
    for index in order:
        person = scene.people[index]
        shirt = f"{person.shirt.pattern} shirt" if patterned and person.shirt.pattern in PATTERNS else "shirt"
        hat, prop = (thing.kind if thing else "" for thing in (person.hat, person.prop))
        words[index] = (person.noun, shirt, hat, prop)
        clauses.append(_clause(person, shirt, where[index] if placed else "", chance))
    text = _join(clauses, placed, chance)
    thing = scene.thing.kind if scene.thing else ""
    if thing:
        text += chance.choice((f" There is a {thing}.", f" A {thing} stands there, too."))
    if scene.place:
        text += chance.choice((f" The background is a {scene.place.kind}.", f" It is a {scene.place.kind}."))
    people = numbered(text, [words[index] for index in order])
    by_person = dict(zip(order, people, strict=True))
    return GlyphCaption(
        text,
        tuple(PersonPhrases(*by_person[index]) for index in range(count)),
        thing,
        scene.place.kind if scene.place else "",
        placed,
    )


def _clause(person: GlyphPerson, shirt: str, where: str, chance: random.Random) -> str:
    words = f"a {person.noun} {chance.choice(('in', 'wearing'))} a {shirt}"
    if person.hat:
        words += f" with a {person.hat.kind}"
    if person.prop:
        words += f" holding a {person.prop.kind}"
    if not where:
        return words
    return f"{where} {words}" if chance.random() < 0.4 else f"{words} {where}"


def _join(clauses: list[str], placed: bool, chance: random.Random) -> str:
    if len(clauses) == 1:
        text = clauses[0] + chance.choice((" is there", " walks", " stands"))
    elif placed or chance.random() < 0.5:
        text = ", ".join(clauses[:-1]) + f" and {clauses[-1]}"
    else:
        text = ", ".join(clauses[:-1]) + f" and {clauses[-1]}" + chance.choice((" walk", " stand together"))
    return text[0].upper() + text[1:] + "."


def numbered(text: str, rows: Sequence[tuple[str, ...]]) -> list[tuple[str, ...]]:
    """The phrases of each person, in the order of the sentence, with the number of their occurrence where needed."""
    numbered, read = [], 0  # characters
    for row in rows:
        phrases = []
        for phrase in row:
            if not phrase:
                phrases.append("")
                continue
            starts = [match.start() for match in re.finditer(rf"(?<!\w){re.escape(phrase)}(?!\w)", text)]
            # An earlier "striped shirt" contains "shirt", too: what counts is where the person is mentioned.
            number = next(number for number, start in enumerate(starts, 1) if start >= read)
            read = starts[number - 1] + len(phrase)
            phrases.append(f"{phrase}#{number}" if len(starts) > 1 else phrase)
        numbered.append(tuple(phrases))
    return numbered
