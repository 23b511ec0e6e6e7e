"""Which images of a scene another model gets: those with a strength, as many as it takes."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from ..errors import LumosXError
from ..prompt.messages import owner_of
from ..prompt.phrase_mask import clean_prompt
from ..scene.scene import Scene

STOP, LEAVE_OUT = TOO_MANY = ("stop", "leave out")


def sent_scene(scene: Scene, model: str, limit: int, too_many: str) -> tuple[Scene, list[str]]:
    """The part of a scene that another model gets, and sentences about what does not reach it.

    Images of strength 0 count as not connected. Beyond the limit, further views of the same thing go first, then
    objects, the background, attributes (of whoever has most), and faces last; later ones before earlier ones.

    Args:
        limit: number of images that the model takes.
        too_many: "stop" or "leave out".

    Raises:
        LumosXError: no image has a strength, or there are too many and `too_many` is "stop".
    """
    # Numbers of subjects change with what is left out, so that messages go by titles.
    titled = tuple(replace(subject, title=scene.name_of(i)) for i, subject in enumerate(scene.subjects, 1))
    scene = replace(scene, subjects=titled)
    names = [_name(label, reference.phrase) for label, reference in scene.labelled()]
    strengths = scene.strengths
    notes = []
    off = [i for i, strength in enumerate(strengths.values) if not strength]
    if off:
        notes.append(f"Left out, because they are switched off in the scene: {', '.join(names[i] for i in off)}.")
    ignored = [
        names[i]
        for i, strength in enumerate(strengths.values)
        if i not in off and (strength != 1 or strengths.spans[i] != (0, 1))
    ]
    if ignored:
        notes.append(
            f"{model} takes no strength, start or end for an image, so these count as if they were unchanged: "
            f"{', '.join(ignored)}."
        )
    kept = [i for i in range(len(names)) if i not in off]
    if not kept:
        raise LumosXError("All images of the scene are switched off. Give at least one a strength above 0.")
    surplus = _surplus(scene, kept, limit)
    if surplus and too_many != LEAVE_OUT:
        raise LumosXError(
            f"The scene has {len(kept)} images, but {model} takes at most {limit}. These do not fit: "
            f"{', '.join(names[i] for i in surplus)}. Disconnect them, or set too_many to {LEAVE_OUT!r}: then only "
            f"their words in the prompt remain."
        )
    if surplus:
        notes.append(
            f"Left out, because {model} takes at most {limit} images: {', '.join(names[i] for i in surplus)}. Only "
            f"their words in the prompt remain."
        )
    return _only(scene, set(kept) - set(surplus)), notes


def without_background(scene: Scene, model: str) -> tuple[Scene, list[str]]:
    """A scene whose background is left to the words of the prompt."""
    if scene.background is None:
        return scene, []
    background = _name("background", scene.background.phrase)
    return replace(scene, background=None), [f"{model} gets {background} by its words in the prompt alone."]


def _surplus(scene: Scene, kept: list[int], limit: int) -> list[int]:
    """The images that do not fit, in the scene's order."""
    owners = [0] * len(scene.standalone)
    for number, subject in enumerate(scene.subjects, 1):
        owners += [number] * len(subject.references)
    roles = [label.split(" ")[0] for label, _ in scene.labelled()]
    seen: set[tuple[int, str]] = set()
    ranks = []
    for owner, role, reference in zip(owners, roles, scene.references, strict=True):
        key = (owner, clean_prompt(reference.phrase))
        further = bool(owner and key[1] and key in seen)
        seen.add(key)
        ranks.append(0 if further else ["object", "background", "attribute", "face"].index(role) + 1)
    left = list(kept)
    while len(left) > limit:
        lowest = min(ranks[i] for i in left)
        candidates = [i for i in left if ranks[i] == lowest]
        sizes = {i: sum(owners[j] == owners[i] for j in left) if roles[i] == "attribute" else 0 for i in candidates}
        left.remove(max(candidates, key=lambda i: (sizes[i], i)))
    return [i for i in kept if i not in left]


def _only(scene: Scene, kept: Collection[int]) -> Scene:
    """The scene of some of its images; subjects without any are gone."""
    numbers = iter(range(len(scene.references)))
    background = scene.background if scene.background is not None and next(numbers) in kept else None
    objects = tuple(each for each in scene.objects if next(numbers) in kept)
    subjects = []
    for subject in scene.subjects:
        face = subject.face if subject.face is not None and next(numbers) in kept else None
        attributes = tuple(each for each in subject.attributes if next(numbers) in kept)
        if face is not None or attributes:
            subjects.append(replace(subject, face=face, attributes=attributes))
    return Scene(tuple(subjects), objects, background)


def _name(label: str, phrase: str) -> str:
    return f'{owner_of(label)} "{clean_prompt(phrase)}"' if phrase.strip() else owner_of(label)
