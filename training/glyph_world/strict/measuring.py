"""Measures a whole clip: where everybody is in each frame, and how far each frame is from what it should show."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from ..casting import GlyphScene
from .composition import Corner, compose, thing_figure
from .evidence import Alternatives, PersonEvidence, finer_corner, person_evidence
from .surroundings import SceneEvidence, scene_evidence
from .tracking import Tracks, track


@dataclass(frozen=True, eq=False)
class Measurement:
    """All that is measured of a clip.

    Args:
        tracks: where everybody is.
        people: for each frame, the evidence of each person.
        scenes: for each frame, the evidence of its surroundings.
        travel: for each person, the largest distance in pixels between two places on one axis.
    """

    tracks: Tracks
    people: list[list[PersonEvidence]]
    scenes: list[SceneEvidence]
    travel: list[float]


def measure(frames: Tensor, scene: GlyphScene) -> Measurement:
    """Measure a clip against its scene.

    Args:
        frames: (F, H, W, 3), 0..1.
    """
    images = frames.permute(0, 3, 1, 2).float()
    height, width = images.shape[-2:]
    chance = random.Random(f"strangers {scene!r}")
    alternatives = [Alternatives(scene, index, chance) for index in range(len(scene.people))]
    thing = None if scene.thing is None else thing_figure(scene.thing)
    figures = [each.own for each in alternatives]
    tracks = track(images, figures, thing)
    people, scenes, positions = [], [], []
    for number, image in enumerate(images):
        standing = (thing, tracks.thing[number]) if thing is not None and tracks.thing is not None else None
        composition = compose(scene, figures, tracks.people[number], standing, height, width)
        difference = image - composition.softened
        people.append(
            [
                person_evidence(difference, composition, placed, each)
                for placed, each in zip(composition.people, alternatives, strict=True)
            ]
        )
        positions.append(
            [
                finer_corner(difference, placed, figure)
                for placed, figure in zip(composition.people, figures, strict=True)
            ]
        )
        scenes.append(scene_evidence(difference, composition, scene))
    return Measurement(tracks, people, scenes, [_travel(each) for each in zip(*positions, strict=True)])


def _travel(positions: Sequence[Corner]) -> float:
    """The larger of the ranges of both coordinates, in pixels."""
    return max(max(values) - min(values) for values in zip(*positions, strict=True))
