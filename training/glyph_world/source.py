"""Hands glyph clips to training, as if they lay in a folder: clip number i of a seed is always the same."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from lumosx_core.errors import LumosXError, shown
from lumosx_core.scene.case_folder import Case
from lumosx_core.scene.scene import Reference, Scene, Subject

from ..data.fingerprints import fingerprint_of
from ..data.sources.open_source import GENERATED
from .caption import GlyphCaption, describe
from .casting import CASTINGS, Casting, GlyphScene
from .clip import FRAMES_A_SECOND, GlyphClip, face_picture, film, place_picture, shirt_picture, thing_picture

WORLD_VERSION = 3
"""Counts up with every change that makes clips, images or captions differ, so that caches encode theirs again."""

FACES = "faces"
"""The casting for systems that read faces only, see faces.py."""
MOST_CLIPS = 10_000_000  # their names are in memory


@dataclass(frozen=True, eq=False)
class GlyphSample:
    """All that is known of one clip."""

    key: str
    scene: GlyphScene
    caption: GlyphCaption
    case: Case
    clip: GlyphClip


@dataclass(frozen=True)
class GlyphSource:
    """A data set of `count` glyph clips, each made when it is asked for.

    Args:
        seed: of the data set.
        frames, height, width: of the clips.
        casting: how scenes are made up.
        placed: whether captions say where people are; None: two of three.
    """

    seed: int
    count: int
    frames: int = 9
    height: int = 64
    width: int = 80
    casting: Casting = Casting()  # noqa: RUF009 - immutable
    placed: bool | None = None

    def keys(self) -> list[str]:
        return [f"glyphs-{self.seed}-{index}" for index in range(self.count)]

    def fingerprint(self, key: str) -> str:
        """A text that changes when the world or what this source asks of it does; the number of clips is no matter."""
        made_from = (key, self.frames, self.height, self.width, self.casting, self.placed)
        return fingerprint_of((), "glyph world", WORLD_VERSION, *made_from)

    def load(self, key: str):
        """The clip as training reads it from disk (samples.RawSample)."""
        from ..data.samples import RawSample

        sample = self.sample(key)
        return RawSample(key, sample.case, sample.clip.frames, FRAMES_A_SECOND)

    @property
    def frames_per_second(self) -> int:
        """Of the clips as videos."""
        return FRAMES_A_SECOND

    def masks(self, sample: GlyphSample) -> Sequence[Tensor]:
        """For each person, which pixels show the face: (F, H, W) bool; none where nothing that is trained needs it."""
        return ()

    def sample(self, key: str) -> GlyphSample:
        """The clip with everything that is known of it.

        Raises:
            LumosXError: the key is not one of `keys()`.
        """
        name, _, index = key.rpartition("-")
        if name != f"glyphs-{self.seed}" or not index.isdecimal() or int(index) >= self.count:
            raise LumosXError(f"There is no clip {key!r} here. Use one of the {self.count} keys of this source.")
        return self._make(key)

    def _make(self, key: str) -> GlyphSample:
        chance = random.Random(f"{key}")
        scene = self.casting.scene(chance)
        caption = describe(scene, chance, placed=self.placed)
        case = Case(key, caption.text, scene_of(scene, caption, self.height, self.width))
        return GlyphSample(key, scene, caption, case, film(scene, self.frames, self.height, self.width))


def scene_of(scene: GlyphScene, caption: GlyphCaption, height: int, width: int) -> Scene:
    """The reference images of a height x width clip: face first, then what the person wears and holds, by name."""
    subjects = []
    for person, phrases in zip(scene.people, caption.people, strict=True):
        attributes = [Reference(phrases.shirt, shirt_picture(person, height, width))]
        if person.hat:
            attributes.append(Reference(phrases.hat, thing_picture(person.hat, height, width)))
        if person.prop:
            attributes.append(Reference(phrases.prop, thing_picture(person.prop, height, width)))
        attributes.sort(key=lambda reference: reference.phrase)
        subjects.append(Subject(Reference(phrases.face, face_picture(person, height, width)), tuple(attributes)))
    objects = (Reference(caption.thing, thing_picture(scene.thing, height, width)),) if scene.thing else ()
    background = Reference(caption.place, place_picture(scene.place, height, width)) if scene.place else None
    return Scene(tuple(subjects), objects, background)


def open_glyphs(address: str) -> GlyphSource:
    """The data set of an address such as glyphs:0:4000:9x64x80:plain.

    Raises:
        LumosXError: the address has another form.
    """
    parts = address.removeprefix("glyphs:").split(":")
    casting = parts.pop() if parts[-1] in (*CASTINGS, FACES) else "all"
    numbers = [*parts[:2], *(number for size in parts[2:] for number in size.split("x"))]
    readable = all(number.isdecimal() and number.isascii() for number in numbers)
    if len(numbers) not in (2, 5) or len(parts) > 3 or not readable:
        raise LumosXError(
            f"{shown(address, 60)!r} is not a glyph world. Write glyphs:SEED:COUNT in whole numbers, and if need be "
            f":FRAMESxHEIGHTxWIDTH and one of {', '.join((*CASTINGS, FACES))}, such as glyphs:0:4000:9x64x80:plain."
        )
    if any(len(number) > 20 for number in numbers):
        raise LumosXError(f"{shown(address, 60)!r} has a number of more than 20 digits. Use smaller ones.")
    seed, count, *size = map(int, numbers)
    if count > MOST_CLIPS:
        raise LumosXError(f"{address!r} has {count} clips. Use at most {MOST_CLIPS}.")
    frames, height, width = size or (GlyphSource.frames, GlyphSource.height, GlyphSource.width)
    if casting == FACES:
        from .faces import FaceSource  # which inherits from the source here

        return FaceSource(seed, count, frames, height, width)
    return GlyphSource(seed, count, frames, height, width, casting=CASTINGS[casting])


GENERATED["glyphs"] = open_glyphs
