"""Measures how far a frame leans from what it should show towards something else.

A frame that should show A and could show B instead is t of the way from A to B, where t is its projection on the line
between them: 0 for a true frame, 1 if it shows B, 0.4 for a double exposure of 60 % A and 40 % B. What differs from
both in other ways, as the loss of a VAE does, has little effect. A and B are softened alike (composition.SOFTNESS).
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, fields

import torch
from torch import Tensor

from ..appearance import NEW_PATTERNS, OBJECTS, PATTERNS, Garment, Thing, Wardrobe
from ..casting import GlyphPerson, GlyphScene
from .composition import (
    Composition,
    Corner,
    Figure,
    Placed,
    change,
    draw_parts,
    figure_of,
    part_of,
    removal,
    soften,
    thing_figure,
)

STRANGERS = 8
MOSTLY = 0.6  # fraction of a figure that must be visible
LEAST = 1.0
"""Sum of squared differences of colours below which two hypotheses look alike."""
WORN = ("shirt", "hat", "prop")


@dataclass(frozen=True, eq=False)
class PersonEvidence:
    """How far one frame leans away from one person; each is the largest of its kind.

    Args:
        error: mean squared error over the person.
        missing: towards the frame without one of the person's parts; 1 if the person is mostly hidden.
        rival: towards somebody else's face or garment in the scene.
        stranger: towards a face or garment that nobody in the scene has.
        pattern: towards the garment's colours in another pattern.
        blur: towards the person blurred by half a head.
        half_blur: the same for the left, right, upper or lower half of the head.
    """

    error: float
    missing: float
    rival: float
    stranger: float
    pattern: float
    blur: float
    half_blur: float


def lean(difference: Tensor, direction: Tensor, weight: Tensor | None = None) -> Tensor:
    """How far a difference leans towards a direction, each (..., 3, H, W); 0 where the direction is nothing."""
    if weight is not None:
        direction = direction * weight
    length = direction.square().sum((-3, -2, -1))
    return torch.where(length < LEAST, 0.0, (difference * direction).sum((-3, -2, -1)) / length.clamp_min(1e-9))


class Alternatives:
    """The figures that a person, drawn by the scene, is compared with."""

    def __init__(self, scene: GlyphScene, index: int, chance: random.Random):
        person = scene.people[index]
        wardrobe = Wardrobe(chance)
        others = [other for other in scene.people if other is not person]
        worn = [kind for kind in WORN if getattr(person, kind) is not None]

        own = draw_parts(person, scene.sashes)

        def figures(part: str, values: Sequence) -> list[Figure]:
            worn_now = getattr(person, part)
            return [figure_of({**own, part: part_of(person, part, value)}) for value in values if value != worn_now]

        self.own = figure_of(own)
        self.without = [
            figure_of({name: part for name, part in own.items() if name != gone}) for gone in ("legs", "face", *worn)
        ]
        self.rivals = []
        for part in ("face", *worn):
            theirs = [getattr(other, part) for other in others]
            self.rivals += figures(part, [value for value in theirs if value is not None])
        self.strangers = figures("face", [wardrobe.face(person.noun) for _ in range(STRANGERS)])
        for kind in worn:
            self.strangers += figures(kind, [_like(wardrobe, getattr(person, kind)) for _ in range(STRANGERS)])
        self.patterns = figures("shirt", other_patterns(person, wardrobe))


def other_patterns(person: GlyphPerson, wardrobe: Wardrobe) -> list[Garment]:
    """A person's shirt in the same colours and other patterns."""
    shirt = person.shirt
    second = shirt.second if shirt.second != shirt.colour else wardrobe.two_colours()[1]
    shirts = []
    for pattern in (*PATTERNS, *NEW_PATTERNS):
        for first, other in ((shirt.colour, second), (second, shirt.colour)):
            shirts.append(Garment(pattern, first, first if pattern == "plain" else other))
    mean = tuple(round((a + b) / 2) for a, b in zip(shirt.colour, shirt.second, strict=True))
    shirts.append(Garment("plain", mean, mean))  # type: ignore[arg-type]
    return [other for other in dict.fromkeys(shirts) if other != shirt]


def person_evidence(
    difference: Tensor, composition: Composition, placed: Placed, alternatives: Alternatives
) -> PersonEvidence:
    """Compare one frame with what it should show of a person.

    Args:
        difference: (3, H, W), the frame less the softened composition.
    """
    columns = placed.columns()
    here, placed = difference[..., columns], placed.cropped()

    def leaning(others: Sequence[Figure]) -> float:
        return float(lean(here, soften(change(placed, others))).max()) if others else 0.0

    body = placed.opacity * placed.clear
    blurred = composition.blurring[..., columns]
    face = placed.visible[alternatives.own.parts.index("face")]
    halves = torch.stack([face, *_halves(face)])[:, None]
    return PersonEvidence(
        error=float((here.square() * body).sum() / (3 * body.sum()).clamp_min(1)),
        missing=max(leaning(alternatives.without), _hidden(placed)),
        rival=leaning(alternatives.rivals),
        stranger=leaning(alternatives.strangers),
        pattern=leaning(alternatives.patterns),
        blur=float(lean(here, blurred, body)),
        half_blur=float(lean(here, blurred, halves).max()),
    )


def finer_corner(difference: Tensor, placed: Placed, figure: Figure) -> Corner:
    """Where a person is, finer than the quarters of pixels of a corner: by the lean towards the neighbouring places."""
    columns = placed.columns()
    here, placed = difference[..., columns], placed.cropped()
    x, y = placed.corner
    leans = []
    for before, after in (((x - 1, y), (x + 1, y)), ((x, y - 1), (x, y + 1))):
        first, second = (change(placed, [figure], corner)[0] for corner in (before, after))
        leans.append(2 * float(lean(here, soften(second - first))))
    return columns.start + x + leans[0], y + leans[1]


def thing_lean(difference: Tensor, placed: Placed, thing: Thing) -> float:
    """How far a frame leans towards having no object, or another one in the same colours; 1 if it is mostly hidden."""
    others = [thing_figure(Thing(kind, thing.colour, thing.second)) for kind in OBJECTS if kind != thing.kind]
    changes = torch.cat([removal(placed)[None], change(placed, others)])
    return max(float(lean(difference, soften(changes)).max()), _hidden(placed))


def worst(evidence: Sequence[PersonEvidence]) -> PersonEvidence:
    """The largest of each kind."""
    return PersonEvidence(*(max(getattr(each, field.name) for each in evidence) for field in fields(PersonEvidence)))


def mean(evidence: Sequence[PersonEvidence]) -> PersonEvidence:
    """The mean of each kind."""
    return PersonEvidence(
        *(sum(getattr(each, field.name) for each in evidence) / len(evidence) for field in fields(PersonEvidence))
    )


def _hidden(placed: Placed) -> float:
    """1 if others hide most of a figure: what is not there is found behind them, where nothing speaks against it."""
    visible = (placed.opacity * placed.clear).sum() / placed.opacity.sum().clamp_min(1e-6)
    return float(visible < MOSTLY)


def _like(wardrobe: Wardrobe, value):
    return wardrobe.thing((value.kind,)) if isinstance(value, Thing) else wardrobe.garment()


def _halves(face: Tensor) -> list[Tensor]:
    """The left, right, upper and lower halves of what is visible of a face, (H, W) each."""
    rows, columns = face.amax(1).nonzero()[:, 0], face.amax(0).nonzero()[:, 0]
    if not len(rows):
        return [face] * 4
    middle_row, middle_column = int(rows.float().mean().round()), int(columns.float().mean().round())
    halves = []
    for axis, middle in ((1, middle_column), (0, middle_row)):
        positions = torch.arange(face.shape[axis])
        before = (positions < middle)[None, :] if axis == 1 else (positions < middle)[:, None]
        halves += [face * before, face * ~before]
    return halves
