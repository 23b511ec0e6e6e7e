"""A sample as one JSON object, in manifests and in shards.

    {"key": "launch-1",                                           optional: a name of its own
     "video": "launch-1.mp4",
     "caption": "A woman in an orange space suit ...",
     "name": "launch",                                            optional: the name in a caption.txt
     "subjects": [{"face": {"image": "w.png", "phrase": "woman"},
                   "attributes": [{"image": "s.png", "phrase": "orange space suit", "mask": "s_mask.png"}]}],
     "objects": [{"image": "cup.png", "phrase": "red coffee cup"}],
     "background": {"image": "pad.png", "phrase": "launch pad"}}

or {"case": "launch-1"}, a sample folder. A mask, of its image's size, cuts the image out on white.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from lumosx_core.errors import LumosXError, shown
from lumosx_core.media.images import cut_out, read_mask, read_picture
from lumosx_core.scene.case_folder import Case
from lumosx_core.scene.scene import MOST_IMAGES, Reference, Scene, Subject

from ..clips import read_clip
from ..samples import (
    BadSample,
    RawSample,
    SampleSettings,
    check_caption,
    check_faces,
    printable,
    problems_of,
    read_sample,
)

SPELLED_OUT = ("key", "video", "caption", "name", "subjects", "objects", "background")
Locate = Callable[[str], Path]


def parse_record(text: str) -> dict:
    """One JSON object; raises LumosXError for anything else, for two values of one name, and for unknown names."""

    def once(pairs: list[tuple[str, object]]) -> dict:
        found: dict[str, object] = {}
        for name, value in pairs:
            if name in found:
                raise LumosXError(f"{shown(name)!r} is there twice in one object. Keep one of them.")
            found[name] = value
        return found

    try:
        record = json.loads(text, object_pairs_hook=once)
        plain = json.dumps(record, ensure_ascii=False)
    except LumosXError:
        raise
    except (ValueError, RecursionError) as error:  # also a number of more digits than Python reads
        raise LumosXError(f"It is not JSON ({shown(error)}). Write one JSON object.") from error
    if not isinstance(record, dict):
        raise LumosXError(
            f"It is {_kind(record)}, expected a JSON object with video, caption and reference images, or case."
        )
    if "case" in record:
        _check_names(record, ("case", "key"), "a record with case")
    else:
        _check_names(record, SPELLED_OUT, "the record")
    for name in ("key", "case", "video", "caption", "name"):
        if not isinstance(record.get(name, ""), str):
            raise LumosXError(f"{name!r} is {_kind(record[name])}, expected a text.")
    if printable(plain) != plain:
        raise LumosXError("A text in it is not valid Unicode: it has half a surrogate pair. Write that text again.")
    return record


def record_key(record: dict) -> str:
    """What the sample is called: its key, else its case folder or its video; empty if it has none of them."""
    return record.get("key") or record.get("case") or record.get("video") or ""


def read_record(record: dict, locate: Locate, settings: SampleSettings, *, key: str, place: str) -> RawSample:
    """Read the sample that a record describes.

    Args:
        record: from `parse_record`.
        locate: the file behind a name in the record; may raise LumosXError.
        place: where the record stands, for messages.

    Raises:
        BadSample: a file is missing or unreadable, or the record does not say everything; all of it at once.
    """
    if "case" in record:
        with problems_of(place) as attempt, attempt():
            return read_sample(locate(record["case"]), settings, key=key)
    with problems_of(place) as attempt:
        with attempt():
            caption = check_caption(record.get("caption", ""))
        with attempt():
            scene = _scene(record, locate, attempt)
            if settings.require_faces:
                check_faces(scene)
        with attempt():
            if not record.get("video"):
                raise LumosXError("The record has no video. Add the path of its file.")
            file = locate(record["video"])
            video, original = read_clip(file, settings.clip)
    return RawSample(key, Case(record.get("name"), caption, scene), video, settings.clip.fps, original, file, place)


def describe_record(case: Case, video: str, picture: Callable[[str, Reference], str]) -> dict:
    """The record of a sample.

    Args:
        video: the name of its video file.
        image: receives each image with its label (see `Scene.labelled`), returns the name of its file.
    """
    named = {
        id(reference): {"image": picture(label, reference), "phrase": reference.phrase}
        for label, reference in case.scene.labelled()
    }
    record: dict[str, Any] = {"video": video, "caption": case.prompt, "subjects": []}
    if case.name is not None:
        record["name"] = case.name
    for subject in case.scene.subjects:
        face = {"face": named[id(subject.face)]} if subject.face is not None else {}
        record["subjects"].append(face | {"attributes": [named[id(reference)] for reference in subject.attributes]})
    record["objects"] = [named[id(reference)] for reference in case.scene.objects]
    if case.scene.background is not None:
        record["background"] = named[id(case.scene.background)]
    return record


def _scene(record: dict, locate: Locate, attempt: Callable[[], AbstractContextManager[None, bool]]) -> Scene:
    """The scene, read completely before anything is raised, so that every bad image is reported."""

    def reference(value: object, what: str) -> Reference | None:
        with attempt():
            return _reference(value, what, locate)
        return None

    def references(value: object, what: str) -> list[Reference | None]:
        return [reference(each, f"{what} {number}") for number, each in enumerate(_list(value, what), 1)]

    subjects: list[tuple[Reference | None, list[Reference | None]]] = []
    required: list[Reference | None] = []
    for number, value in enumerate(_list(record.get("subjects"), "subjects"), 1):
        _check_object(value, ("face", "attributes"), f"subject {number}")
        face = reference(value["face"], f"the face of subject {number}") if value.get("face") is not None else None
        attributes = references(value.get("attributes"), f"subject {number}'s attribute")
        required += [face] * (value.get("face") is not None) + attributes
        subjects.append((face, attributes))
    objects = references(record.get("objects"), "object")
    background = record.get("background")
    behind = reference(background, "the background") if background is not None else None
    if None in [*required, *objects] or (background is not None and behind is None):
        raise BadSample("")  # what is wrong is recorded already
    scene = Scene(tuple(Subject(face, _present(each)) for face, each in subjects), _present(objects), behind)
    scene.check()
    return scene


def _present(references: list[Reference | None]) -> tuple[Reference, ...]:
    return tuple(reference for reference in references if reference is not None)


def _reference(value: Any, what: str, locate: Locate) -> Reference:
    _check_object(value, ("image", "phrase", "mask"), what)
    for name in ("image", "phrase"):
        if not isinstance(value.get(name), str):
            raise LumosXError(f"{what} has no {name}. Give both its image and its phrase, the words that name it.")
    image = read_picture(locate(value["image"]))
    if value.get("mask") is not None:
        mask = locate(value["mask"])
        try:
            image = cut_out(image, read_mask(mask))
        except LumosXError as error:
            raise LumosXError(f"The mask {mask} of {what} does not fit {shown(value['image'])}: {error}") from error
    return Reference(value["phrase"], image)


def _list(value: object, what: str) -> list:
    if value is None:
        return []
    if not isinstance(value, list):
        raise LumosXError(f"{what} is {_kind(value)}, expected a list.")
    if len(value) > MOST_IMAGES:
        raise LumosXError(
            f"{what} has {len(value)} entries, but a scene has at most {MOST_IMAGES} images. Remove some."
        )
    return value


def _check_object(value: object, names: tuple[str, ...], what: str) -> None:
    if not isinstance(value, dict):
        raise LumosXError(f"{what} is {_kind(value)}, expected an object with {', '.join(names)}.")
    _check_names(value, names, what)


def _check_names(value: dict, names: tuple[str, ...], what: str) -> None:
    for name in value:
        if name not in names:
            near = difflib.get_close_matches(name[:100], names, 1)
            advice = f"Did you mean {near[0]!r}?" if near else f"It may have {', '.join(names)}."
            raise LumosXError(f"{what} has an unknown {shown(name)!r}. {advice}")


def _kind(value: object) -> str:
    kinds = {dict: "an object", list: "a list", str: "a text", bool: "true or false", type(None): "null"}
    return kinds.get(type(value), "a number")
