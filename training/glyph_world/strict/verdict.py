"""Judges a whole clip: in every frame everybody is there once, clear, in their own clothes, in front of the background.

The limits were set on 135 true clips of one to four people through lumosx-tiny's VAE, of seeds that no exam takes, so
that they keep a distance both from the worst of these and from planted faults (faults.py).
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from ..casting import GlyphScene
from .composition import Corner
from .evidence import PersonEvidence, mean, worst
from .measuring import Measurement, measure
from .surroundings import SceneEvidence, worst_of


@dataclass(frozen=True)
class Limits:
    """The most that is accepted; see evidence.py and surroundings.py for what is measured.

    Args:
        error, missing, rival_now, stranger_now, pattern_now: of the worst frame.
        rival, stranger, blur, half_blur, pattern: of the mean over frames.
        step: pixels by which a person moves between two frames.
        still: pixels; where nobody travels farther than this in a clip of several frames, it does not move.
        background, place, thing: of the worst frame.
        extra: of the worst frame.
    """

    error: float = 0.025
    missing: float = 0.45
    rival_now: float = 0.45
    stranger_now: float = 0.7
    rival: float = 0.22
    stranger: float = 0.33
    blur: float = 0.5
    half_blur: float = 0.7
    pattern: float = 0.55
    pattern_now: float = 0.75
    step: float = 2.0
    still: float = 0.24
    background: float = 0.005
    place: float = 0.5
    thing: float = 0.3
    extra: float = 0.02


LIMITS = Limits()


@dataclass(frozen=True)
class StrictVerdict:
    """What the whole clip shows.

    Args:
        steady: for each person: there in every frame with all parts, nobody else's among them, without leaps; and the
            clip moves.
        clear: for each person: neither blurred by half a head, nor mixed with anyone else.
        pattern: for each person: the shirt's own pattern fits better than its colours in any other.
        scene: the background and the object are the scene's.
        single: nobody and nothing is there twice, and nobody else.
    """

    steady: tuple[bool, ...]
    clear: tuple[bool, ...]
    pattern: tuple[bool, ...]
    scene: bool
    single: bool

    @property
    def passed(self) -> bool:
        """Nothing is wrong."""
        return self.scene and self.single and all((*self.steady, *self.clear, *self.pattern))


def judge_strictly(frames: Tensor, scene: GlyphScene, limits: Limits = LIMITS) -> StrictVerdict:
    """Judge all frames of a clip.

    Args:
        frames: (F, H, W, 3), 0..1.
    """
    return judge_measurement(measure(frames, scene), limits)


def judge_measurement(measurement: Measurement, limits: Limits = LIMITS) -> StrictVerdict:
    """Judge what was measured of a clip."""
    people = [list(evidence) for evidence in zip(*measurement.people, strict=True)]
    corners = zip(*measurement.tracks.people, strict=True)
    moving = len(measurement.people) == 1 or max(measurement.travel) > limits.still
    return StrictVerdict(
        tuple(
            moving and _steady(worst(evidence), where, limits) for evidence, where in zip(people, corners, strict=True)
        ),
        tuple(_clear(mean(evidence), limits) for evidence in people),
        tuple(_own_pattern(evidence, limits) for evidence in people),
        _in_scene(worst_of(measurement.scenes), limits),
        worst_of(measurement.scenes).extra < limits.extra,
    )


def _steady(evidence: PersonEvidence, corners: Sequence[Corner], limits: Limits) -> bool:
    steps = [max(abs(x - to_x), abs(y - to_y)) for (x, y), (to_x, to_y) in itertools.pairwise(corners)]
    return (
        evidence.error < limits.error
        and evidence.missing < limits.missing
        and evidence.rival < limits.rival_now
        and evidence.stranger < limits.stranger_now
        and max(steps, default=0) < limits.step
    )


def _clear(evidence: PersonEvidence, limits: Limits) -> bool:
    return (
        evidence.blur < limits.blur
        and evidence.half_blur < limits.half_blur
        and evidence.rival < limits.rival
        and evidence.stranger < limits.stranger
    )


def _own_pattern(evidence: Sequence[PersonEvidence], limits: Limits) -> bool:
    return mean(evidence).pattern < limits.pattern and worst(evidence).pattern < limits.pattern_now


def _in_scene(evidence: SceneEvidence, limits: Limits) -> bool:
    return evidence.error < limits.background and evidence.place < limits.place and evidence.thing < limits.thing
