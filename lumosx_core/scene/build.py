"""Parts of a scene as they come from a graph: images with masks become references, references a person or a scene."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from torch import Tensor

from ..errors import LumosXError, shown
from ..media.images import cut_out
from ..media.inverted_mask import looks_inverted
from .scene import Reference, Scene, Subject

MASK_HELP = (
    "White where the subject is: everything else becomes white. A painted mask can be connected directly; the mask "
    "that Load Image outputs for a transparent image is inverted, so put Invert Mask in between."
)

INVERTED = (
    "The mask looks inverted: it keeps what surrounds the subject and cuts the subject out. Load Image gives such a "
    "mask for a transparent image: use LumosX Load Image instead, or put Invert Mask between. If the subject really is "
    "a frame around a hole, connect the image without the mask."
)

PICTURES = 3  # attributes of a subject, objects of a scene, on one node; the most that were trained
ATTRIBUTES = tuple(f"attribute_{i}" for i in range(1, PICTURES + 1))
OBJECTS = tuple(f"object_{i}" for i in range(1, PICTURES + 1))


Say = Callable[[str], None]
"""Takes a sentence about what is left out."""


def subject_scene(inputs: Mapping[str, Any], further: Iterable[Scene] = (), *, title: str = "", say: Say) -> Scene:
    """The scene of one person, from the inputs of a LumosX Subject.

    Args:
        inputs: `face` and `attribute_1` ... are images (N, H, W, 3 or 4), with _phrase, _mask and _strength; and
            `strength`, `start_percent`, `end_percent`. Any of them may be absent.
        further: scenes of nothing but attributes, which belong to this person, too.
        title: what messages call the person, see `Subject`.
        say: called with a sentence for each slot that has a phrase or a mask but no image, and for a subject without
            any image. They are left out, as when the artist mutes the node of a garment or a face.

    Returns: an empty scene for a subject without any image.

    Raises:
        LumosXError: see `references_of` and `person`.
    """
    scene = person(
        _references("The face", "face", inputs, say, several=True),
        [each for name in ATTRIBUTES for each in _references(_label(name), name, inputs, say, several=True)],
        further,
        strength=inputs.get("strength", 1.0),
        start=inputs.get("start_percent", 0.0),
        end=inputs.get("end_percent", 1.0),
        title=title,
    )
    if not scene.references:
        say("This subject has no image, so it is left out. Connect a face or an attribute to bring it back.")
        return Scene()
    return scene


def whole_scene(inputs: Mapping[str, Any], parts: Sequence[Scene] = (), *, say: Say) -> Scene:
    """Several scenes with objects and a background, from the inputs of a LumosX Scene.

    Args:
        inputs: `background` and `object_1` ... are images (1, H, W, 3 or 4), with _phrase, _mask and _strength. Any
            of them may be absent.
        say: as in `subject_scene`.

    Raises:
        LumosXError: see `references_of` and `joined`.
    """
    objects = [each for name in OBJECTS for each in _references(_label(name), name, inputs, say)]
    return joined(parts, objects, _references("The background", "background", inputs, say, surroundings=True))


def _label(name: str) -> str:
    return name.capitalize().replace("_", " ")


def _references(label: str, name: str, inputs: Mapping[str, Any], say: Say, **kind: bool) -> tuple[Reference, ...]:
    phrase, mask = inputs.get(f"{name}_phrase", ""), inputs.get(f"{name}_mask")
    images = inputs.get(name)
    if images is None:
        if phrase.strip() or mask is not None:
            what = f'the phrase "{phrase}"' if phrase.strip() else "a mask"
            say(
                f"{label} has {what} but no image, so it is left out. Its image is not connected, or the node that "
                f"gives it is muted or bypassed."
            )
        return ()
    return references_of(label, images, phrase, mask, inputs.get(f"{name}_strength", 1.0), **kind)


def references_of(
    label: str,
    images: Tensor,
    phrase: str,
    masks: Tensor | None = None,
    strength: float = 1.0,
    *,
    several: bool = False,
    surroundings: bool = False,
) -> tuple[Reference, ...]:
    """The references that one slot of a graph holds: one, or several images of the same thing.

    Args:
        label: what a message calls the slot: "The face", "Attribute 2".
        images: (N, H, W, 3 or 4) float, 0..1; the fourth channel is opacity and counts where there is no mask.
        masks: (N, H, W) or (H, W), 1 where the thing is; the rest becomes white.
        several: whether N may be more than 1.
        surroundings: whether it is a background, of which a mask may keep the border and cut out people.

    Raises:
        LumosXError: too many images, masks that do not belong to them or look inverted.
    """
    label = f'{label} ("{phrase}")' if phrase.strip() else label
    if len(images) != 1 and not several:
        raise LumosXError(f"{label} has {len(images)} images, expected one. Choose one with Image From Batch.")
    if masks is not None:
        if not masks.any():
            raise LumosXError(
                f"{label} has an empty mask, as Load Image gives for an image without transparency. Disconnect it, "
                f"or paint one. {MASK_HELP}"
            )
        masks = masks.reshape(-1, *masks.shape[-2:])
        if len(masks) != len(images):
            raise LumosXError(
                f"{label} has {len(masks)} masks, expected {len(images)}, one for each image. Choose them with "
                f"Image From Batch, or make a subject of each."
            )
    elif images.shape[-1] == 4:
        masks = images[..., 3]
    references = []
    for i, picture in enumerate(images[..., :3]):
        try:
            image = picture if masks is None else cut_out(picture, masks[i])
        except LumosXError as error:
            raise LumosXError(f"{label}: {error} {MASK_HELP}") from error
        if masks is not None and not surroundings and looks_inverted(picture, masks[i]):
            raise LumosXError(f"{label}: {INVERTED}")
        references.append(Reference(phrase, image, strength))
    return tuple(references)


def person(
    faces: Sequence[Reference],
    attributes: Sequence[Reference],
    further: Iterable[Scene] = (),
    *,
    strength: float = 1.0,
    start: float = 0.0,
    end: float = 1.0,
    title: str = "",
) -> Scene:
    """A scene of one person.

    Args:
        faces: images of the face; those after the first are among the attributes: images of a subject share
            their words anyway.
        further: scenes of nothing but attributes, which belong to this person, too.

    Raises:
        LumosXError: a further scene that holds more than attributes.
    """
    attributes = [*faces[1:], *attributes]
    for part in further:
        if part.background or part.objects or any(subject.face for subject in part.subjects):
            raise LumosXError(
                "The scene connected to more_attributes has a face, an object or a background, expected attributes "
                "only. Connect a LumosX Subject without a face, or join whole scenes with LumosX Scene."
            )
        for subject in part.subjects:
            if (subject.start, subject.end) != (0, 1):
                raise LumosXError(
                    f"The attributes connected to more_attributes are seen from {subject.start:g} to {subject.end:g} "
                    f"of the sampling, but a person's images come and go together. Set start_percent and "
                    f"end_percent on the person's own LumosX Subject."
                )
            attributes += [
                replace(reference, strength=subject.strength_of(reference)) for reference in subject.attributes
            ]
    return Scene((Subject(faces[0] if faces else None, tuple(attributes), strength, start, end, title),))


def rephrased(subject: Subject, changes: str) -> Subject:
    """A subject with other phrases, for a prompt that names what it has in other words.

    Args:
        changes: one in each line, the phrase and the one in its place: "woman = woman#2".

    Raises:
        LumosXError: a line without "=", or one that names none of the subject's phrases, or names one again.
    """
    phrases = list(dict.fromkeys(reference.phrase for reference in subject.references if reference.phrase))
    quoted = " or ".join(f'"{shown(phrase, 60)}"' for phrase in phrases[:9])
    changed: dict[str, str] = {}
    for line in filter(None, map(str.strip, changes.splitlines())):
        # Longest first, as one phrase may begin with another, or have an "=" in it.
        for phrase in sorted(phrases, key=len, reverse=True):
            rest = line.removeprefix(phrase.strip()).lstrip()
            if line.startswith(phrase.strip()) and rest.startswith("="):
                break
        else:
            raise LumosXError(
                f'"{shown(line, 80)}" changes no phrase of this subject. Write one change a line, such as woman = '
                f"woman#2, and on its left {quoted or 'nothing: the subject has no phrases'}."
            )
        if phrase in changed:
            raise LumosXError(f'The phrase "{shown(phrase, 80)}" is changed twice. Remove one of the lines.')
        changed[phrase] = rest[1:].strip()

    def other(reference: Reference) -> Reference:
        return replace(reference, phrase=changed.get(reference.phrase, reference.phrase))

    return replace(subject, face=subject.face and other(subject.face), attributes=tuple(map(other, subject.attributes)))


def only_subject(scene: Scene, number: int = 0) -> Subject:
    """One subject of a scene, to be saved by itself.

    Args:
        number: of the subject, from 1; 0: the only one.

    Raises:
        LumosXError: there is no such subject, or there are several and none is chosen.
    """
    count = len(scene.subjects)
    if not count:
        raise LumosXError("The scene has no subject. Connect a LumosX Subject, or a scene with people in it.")
    names = ", ".join(
        f'{i} "{shown(subject.references[0].phrase, 40)}"' if subject.references else str(i)
        for i, subject in enumerate(scene.subjects, 1)
    )
    if number == 0 and count > 1:
        raise LumosXError(f"The scene has {count} subjects: {names}. Choose one of them by its number.")
    if not 0 <= number <= count:
        raise LumosXError(f"The scene has no subject {number}, but {count}: {names}. Choose one of them.")
    return scene.subjects[max(0, number - 1)]


def joined(parts: Sequence[Scene], objects: Sequence[Reference], backgrounds: Sequence[Reference]) -> Scene:
    """One scene of several, with further objects and a background.

    Raises:
        LumosXError: more than one background, or nothing at all.
    """
    backgrounds = [part.background for part in parts if part.background is not None] + list(backgrounds)
    if len(backgrounds) > 1:
        raise LumosXError(f"{len(backgrounds)} backgrounds reach LumosX Scene, expected one. Disconnect the others.")
    scene = Scene(
        tuple(subject for part in parts for subject in part.subjects),
        (*(item for part in parts for item in part.objects), *objects),
        backgrounds[0] if backgrounds else None,
    )
    scene.check()
    return scene
