"""Glyph clips for systems that read faces only: one or two photographed faces, in shirts of named colours.

The faces come in the order in which the caption mentions their owners, from left to right. A photo shows a face in the
clip's own scale, and where two photos are side by side on a canvas of the clip's size, each face is one patch of a
transformer (16 pixels) below where its owner has it: a small network is meant to learn whose face is where, not how to
scale images.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from lumosx_core.models.ingredients.spec import SPEC
from lumosx_core.scene.case_folder import Case
from lumosx_core.scene.scene import Reference, Scene, Subject

from ..data.fingerprints import fingerprint_of
from ..data.samples import RawSample
from .appearance import Colour, Face, Garment
from .caption import GlyphCaption, PersonPhrases, numbered
from .casting import JITTER, Casting, GlyphScene
from .clip import BODY, GAP, HEAD_AT, REFERENCE_SCALE, film, paste
from .drawing import HEAD, draw_face, sprite
from .source import WORLD_VERSION, GlyphSample, GlyphSource

SHIRTS: dict[str, Colour] = {
    "red": (210, 40, 40),
    "green": (40, 150, 60),
    "blue": (50, 80, 210),
    "yellow": (235, 200, 50),
    "black": (30, 30, 35),
    "white": (240, 240, 240),
}
PHOTO = 40  # pixels of a clip; half of its width
FACE_AT = ((PHOTO - HEAD[0]) / 2, 13.6)  # corner of the head in a photo
MARKS_OF = {1: (0.25,), 2: (0.25, 0.75)}
"""Where people stand, as fractions of the width: where their photos are on the canvas."""


@dataclass(frozen=True)
class FaceCasting(Casting):
    """Scenes of one or two people with nothing but a shirt."""

    people: tuple[float, ...] = (0.15, 0.85)
    hat: float = 0
    prop: float = 0
    thing: float = 0
    place: float = 0.35

    def scene(self, chance: random.Random) -> GlyphScene:
        """Make up one scene; people are in it from left to right."""
        scene = super().scene(chance)
        marks = MARKS_OF[len(scene.people)]
        people = tuple(
            replace(
                person,
                shirt=Garment("plain", *[SHIRTS[chance.choice(list(SHIRTS))]] * 2),
                x=mark + chance.uniform(-JITTER, JITTER),
            )
            for person, mark in zip(scene.people, marks, strict=True)
        )
        return replace(scene, people=people)


@dataclass(frozen=True)
class FaceSource(GlyphSource):
    """A data set of such clips; each knows which pixels show whose face."""

    casting: Casting = FaceCasting()

    def fingerprint(self, key: str) -> str:
        made_from = (key, self.frames, self.height, self.width, self.casting)
        return fingerprint_of((), "glyph faces", WORLD_VERSION, *made_from)

    @property
    def frames_per_second(self) -> int:
        return SPEC.frames_per_second

    def masks(self, sample: GlyphSample) -> Sequence[Tensor]:
        return tuple(face_masks(sample, self.height, self.width))

    def load(self, key: str) -> RawSample:
        sample = self.sample(key)
        masks = face_masks(sample, self.height, self.width)
        return RawSample(key, sample.case, sample.clip.frames, self.frames_per_second, masks=masks)

    def _make(self, key: str) -> GlyphSample:
        chance = random.Random(f"faces {key}")
        scene = self.casting.scene(chance)
        caption = describe_faces(scene, chance)
        subjects = tuple(
            Subject(Reference(phrases.face, face_photo(person.face)), ())
            for person, phrases in zip(scene.people, caption.people, strict=True)
        )
        clip = film(scene, self.frames, self.height, self.width)
        return GlyphSample(key, scene, caption, Case(key, caption.text, Scene(subjects, (), None)), clip)


def describe_faces(scene: GlyphScene, chance: random.Random) -> GlyphCaption:
    """A caption that mentions people from left to right and names the colours of their shirts."""
    names = {colour: name for name, colour in SHIRTS.items()}
    rows = [(person.noun, f"{names[person.shirt.colour]} shirt") for person in scene.people]
    clauses = [f"a {noun} {chance.choice(('in', 'wearing'))} a {shirt}" for noun, shirt in rows]
    text = " and ".join(clauses) + "."
    if scene.place:
        text += f" The background is a {scene.place.kind}."
    text = text[0].upper() + text[1:]
    people = tuple(PersonPhrases(*phrases) for phrases in numbered(text, rows))
    return GlyphCaption(text, people, "", scene.place.kind if scene.place else "", placed=False)


def face_photo(face: Face, scale: int = REFERENCE_SCALE) -> Tensor:
    """A face on white, as an aligned crop has it: (scale * PHOTO, scale * PHOTO, 3) float32 in 0..1."""
    photo = np.ones((scale * PHOTO, scale * PHOTO, 3), np.float32)
    head = sprite(draw_face(face, scale))
    left, top = (round(scale * each) for each in FACE_AT)
    area = photo[top : top + head.shape[0], left : left + head.shape[1]]
    area *= 1 - head[..., 3:]
    area += head[..., :3]
    return torch.from_numpy(photo).clamp(0, 1)


def face_masks(sample: GlyphSample, height: int, width: int) -> Tensor:
    """Which pixels show whose face: (people, F, H, W) bool."""
    masks = []
    for number, person in enumerate(sample.scene.people):
        opacity = np.repeat(sprite(draw_face(person.face))[..., 3:], 4, axis=2)
        frames = []
        for regions in sample.clip.regions:
            picture = np.zeros((height, width, 3), np.float32)
            paste(picture, opacity, *regions[number]["face"][:2])
            frames.append(picture[..., 0] > 0.5)
        masks.append(np.stack(frames))
    return torch.from_numpy(np.stack(masks))


def canvas_offset(height: int = 64) -> float:
    """By how many pixels a face is lower on the canvas of photos than in a clip, when its owner's feet are down."""
    return (height - PHOTO) / 2 + FACE_AT[1] - (height - GAP - BODY[1] + HEAD_AT[1])
