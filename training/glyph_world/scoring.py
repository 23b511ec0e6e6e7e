"""Measures who is where in a clip, and whether everybody has their own face and wears what is theirs.

The scene says exactly what each face and garment looks like, so that a clip is judged by fitting drawings to it: no
network judges another one. Distances are mean squared errors of colours in 0..1 over a drawing's own pixels.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from .appearance import Thing, Wardrobe
from .casting import GlyphScene
from .clip import HAT_AT, HEAD_AT, PROP_AT, SHIRT_AT
from .drawing import FINE, draw_face, draw_garment, draw_thing, sprite

HIDDEN = 5  # rows of a head that a hat may hide: they do not count
HEADS_ABOVE = 20  # rows in which the corner of a head is looked for: people stand on the ground
APART = 10  # pixels between the heads of two people
SLACK = 2  # pixels by which a garment may be off its place
FACE_FITS, GARMENT_FITS = 0.08, 0.07  # distances above mean that it is not there; the VAE alone costs up to 0.075, 0.06
STRANGERS = 8
CANDIDATES = 6  # places looked at for each person


@dataclass(frozen=True)
class Verdict:
    """What a clip shows of one person.

    Args:
        x, y: corner of the head, pixels.
        paired: at one place, the person's own face fits best among all faces of the scene, and of garments of each kind
            the person's own; chance is at most 1 of n for n people.
        face: the person's own face is there, and fits best among all faces of the scene.
        known: it also fits better than STRANGERS other faces of the same noun.
        worn: for "shirt", "hat" and "prop", those the person has: it is there, and fits better than those of others.
        own: the same against STRANGERS others of the kind, too.
    """

    x: float
    y: float
    paired: bool
    face: bool
    known: bool
    worn: dict[str, bool]
    own: dict[str, bool]

    @property
    def bound(self) -> bool:
        """Face and garments are together, none of them somebody else's."""
        return self.face and all(self.worn.values())


def judge(frames: Tensor, scene: GlyphScene) -> list[Verdict]:
    """Judge one clip.

    Args:
        frames: (F, H, W, 3), 0..1.

    Returns:
        One verdict a person, in the order of the scene.
    """
    still = frames[len(frames) // 2].permute(2, 0, 1).float()  # people move little: one frame says all
    chance = random.Random(repr(scene))
    wardrobe = Wardrobe(chance)
    maps = [_distances(still, _face(person.face)) for person in scene.people]
    places = _places(maps)
    verdicts = []
    for index, (person, (y, x)) in enumerate(zip(scene.people, places, strict=True)):
        strangers = [wardrobe.face(person.noun) for _ in range(STRANGERS)]
        rivals = [maps[other][y, x].item() for other in range(len(maps)) if other != index]
        mine = maps[index][y, x].item()
        paired = all(mine < rival for rival in rivals)
        face = paired and mine < FACE_FITS
        known = face and all(mine < _distances(still, _face(other))[y, x].item() for other in strangers)
        worn, own = {}, {}
        for kind in ("shirt", "hat", "prop"):
            thing = getattr(person, kind)
            if thing is None:
                continue
            others = [other for other in scene.people if other is not person and getattr(other, kind) is not None]
            error = _at(still, kind, thing, y, x)
            own_fits_best = all(error < _at(still, kind, getattr(other, kind), y, x) for other in others)
            paired = paired and own_fits_best
            worn[kind] = own_fits_best and error < GARMENT_FITS
            strange = [_stranger(wardrobe, kind, thing) for _ in range(STRANGERS)]
            own[kind] = worn[kind] and all(error < _at(still, kind, other, y, x) for other in strange)
        verdicts.append(Verdict(x, y - HIDDEN, paired, face, known, worn, own))
    return verdicts


def placed_right(verdicts: Sequence[Verdict], scene: GlyphScene) -> bool:
    """People stand from left to right as the scene (and so its caption, if it says it) has them."""
    return tuple(sorted(range(len(verdicts)), key=lambda index: verdicts[index].x)) == scene.left_to_right


def _stranger(wardrobe: Wardrobe, kind: str, thing):
    return wardrobe.garment() if kind == "shirt" else wardrobe.thing((thing.kind,))


def _face(face) -> np.ndarray:
    return _small(draw_face(face))[HIDDEN:]


def _small(image) -> np.ndarray:
    """A drawing in a clip's own pixels."""
    fine = sprite(image)
    rows, columns = (-(-side // FINE) for side in fine.shape[:2])
    padded = np.zeros((rows * FINE, columns * FINE, 4), np.float32)
    padded[: fine.shape[0], : fine.shape[1]] = fine
    return padded.reshape(rows, FINE, columns, FINE, 4).mean(axis=(1, 3))


def _distances(still: Tensor, drawing: np.ndarray) -> Tensor:
    """The distance of a drawing at each place of its corner: (H - h + 1, W - w + 1)."""
    values = torch.from_numpy(drawing).permute(2, 0, 1)
    colour, opacity = values[:3], values[3:]
    solid = opacity.clamp_min(1e-6)
    colour = colour / solid
    kernel = torch.cat([opacity, -2 * opacity * colour.reshape(3, *opacity.shape[1:])])[None]
    picture = torch.cat([still.square().sum(0, keepdim=True), still])[None]
    constant = (opacity * colour.square()).sum()
    return (F.conv2d(picture, kernel)[0, 0] + constant).clamp_min(0) / (3 * opacity.sum())


def _places(maps: list[Tensor]) -> list[tuple[int, int]]:
    """Where each person is: places apart from one another, with the smallest sum of distances."""
    choices = []
    for distances in maps:
        best_rows, rows = distances[:HEADS_ABOVE].min(dim=0)  # of each column
        remaining, candidates = best_rows.clone(), []
        for _ in range(CANDIDATES):
            x = int(remaining.argmin())
            candidates.append((best_rows[x].item(), int(rows[x]), x))
            remaining[max(0, x - APART // 2) : x + APART // 2 + 1] = float("inf")
        choices.append(candidates)
    best: tuple[float, list[tuple[int, int]]] = float("inf"), []
    for chosen in itertools.product(*choices):
        columns = sorted(x for _, _, x in chosen)
        crowded = sum(b - a < APART for a, b in itertools.pairwise(columns))
        cost = sum(error for error, _, _ in chosen) + crowded  # distances are below 1
        if cost < best[0]:
            best = cost, [(y, x) for _, y, x in chosen]
    return best[1]


def _at(still: Tensor, kind: str, thing, y: int, x: int) -> float:
    """The distance of a garment at its place below, on or beside a head whose visible part is at (y, x)."""
    image = draw_thing(thing) if isinstance(thing, Thing) else draw_garment(thing)
    drawing = _small(image)
    at = {"shirt": SHIRT_AT, "hat": HAT_AT, "prop": PROP_AT}[kind]
    top = y - HIDDEN + round(at[1] - HEAD_AT[1])
    left = x + round(at[0] - HEAD_AT[0])
    margin = 48  # a border, so that places partly or wholly outside the frame can be looked at
    bordered = F.pad(still[None], (margin,) * 4, mode="replicate")[0]
    rows = slice(top + margin - SLACK, top + margin + SLACK + drawing.shape[0])
    columns = slice(left + margin - SLACK, left + margin + SLACK + drawing.shape[1])
    return _distances(bordered[:, rows, columns], drawing).min().item()
