"""Measures the background and the object of a frame, and whether anything is there that the scene does not have."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import torch
import torch.nn.functional as F
from torch import Tensor

from ..appearance import PLACES, Place
from ..casting import GlyphScene
from ..clip import GROUND
from .composition import Composition, backdrop, soften
from .evidence import lean, thing_lean

MARGIN = 3  # pixels around figures that the blur of a VAE reaches: they are nobody's
WINDOW = 11  # pixels; smaller than a head, an object or a torso
FILLED = 0.6  # fraction of a window that must be background


@dataclass(frozen=True)
class SceneEvidence:
    """How far one frame is from the background and the object of its scene.

    Args:
        error: mean squared error of the background where nothing covers it.
        place: how far it leans towards another background (see evidence.py).
        thing: how far it leans towards no object or another one; 0 if the scene has none.
        extra: largest mean squared error over a window of WINDOW pixels, beyond a difference in colour that sky
            or ground has everywhere: what an additional person or thing leaves.
    """

    error: float
    place: float
    thing: float
    extra: float


def scene_evidence(difference: Tensor, composition: Composition, scene: GlyphScene) -> SceneEvidence:
    """Compare one frame with what it should show around people.

    Args:
        difference: (3, H, W), the frame less the softened composition.
    """
    height, width = difference.shape[-2:]
    free = 1 - F.max_pool2d((composition.covered() > 0.02).float()[None, None], 2 * MARGIN + 1, 1, MARGIN)[0, 0]
    own = backdrop(scene.place, height, width)
    changes = soften(torch.stack([other - own for other in other_places(scene.place, height, width)]))
    thing = composition.thing
    return SceneEvidence(
        error=float((difference.square() * free).sum() / (3 * free.sum()).clamp_min(1)),
        place=float(lean(difference, changes, free).max()),
        thing=thing_lean(difference, thing, scene.thing) if thing is not None and scene.thing is not None else 0.0,
        extra=_extra(difference, free),
    )


def other_places(place: Place | None, height: int, width: int) -> list[Tensor]:
    """Backgrounds that a scene with this one must not have, (3, H, W) each: other places in the same colours, the same
    place with other colours, black, and the grey studio.
    """
    others = [torch.zeros(3, height, width)]
    if place is None:
        return [*others, torch.ones(3, height, width)]
    kinds = [kind for kind in PLACES if kind != place.kind]
    places = [Place(kind, place.above, place.below) for kind in (*kinds, "")]
    places.append(Place(place.kind, place.below, place.above))
    return [*others, backdrop(None, height, width), *(backdrop(other, height, width) for other in places)]


def worst_of(evidence: Sequence[SceneEvidence]) -> SceneEvidence:
    """The largest of each kind."""
    return SceneEvidence(*(max(getattr(each, field.name) for each in evidence) for field in fields(SceneEvidence)))


def _extra(difference: Tensor, free: Tensor) -> float:
    horizon = round(GROUND * difference.shape[1])
    rest = difference.clone()
    for rows in (slice(None, horizon), slice(horizon, None)):
        part = rest[:, rows][:, free[rows] > 0]
        if part.shape[1]:
            rest[:, rows] -= part.median(dim=1).values[:, None, None]
    squares = (rest.square().mean(0) * free)[None, None]
    filled = F.avg_pool2d(free[None, None], WINDOW, 1)
    means = F.avg_pool2d(squares, WINDOW, 1) / filled.clamp_min(1e-6)
    return float(torch.where(filled >= FILLED, means, 0.0).max())
