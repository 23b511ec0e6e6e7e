"""Reference images and their masks: faces, attributes and objects cut out of each key frame by Auto Scene."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor

from lumosx_core.auto_scene.assemble import build_scene
from lumosx_core.auto_scene.cutouts.faces import face_crop_box
from lumosx_core.auto_scene.persons import KnownPeople
from lumosx_core.auto_scene.plan.plan import PersonPlan, ScenePlan
from lumosx_core.auto_scene.search import AutoScene, Part
from lumosx_core.auto_scene.settings import AutoSettings, Finders
from lumosx_core.media.images import to_pil
from lumosx_core.scene.scene import Reference

from ..key_frames import read_key_frames
from ..models.finders import FinderLoader
from ..ownership import attribute_problem, face_problem, object_problem
from ..scene_settings import ReferenceSettings
from ..settings import settings_hash
from ..stage import Outcome, Task
from ..tracks import Track, tracks_from_json
from .cut import clip_path

_VERSION = 1
HIDDEN = "hidden"
"""The mask of all people and things in a frame."""


@dataclass(frozen=True)
class ReferenceCuts:
    """The stage; see `stage.Stage`."""

    loader: FinderLoader
    settings: ReferenceSettings
    name: str = "references"
    after: str | None = "words"
    batch_size: int = 2
    gpus: float = 0.0

    def version(self) -> str:
        return settings_hash(_VERSION, self.loader.version(), self.settings)

    def check(self) -> None:
        self.loader.check()

    def open(self) -> ReferenceWorker:
        return ReferenceWorker(self.loader.open(), self.settings)


@dataclass(frozen=True)
class ReferenceWorker:
    """The stage at work."""

    finders: Finders
    settings: ReferenceSettings

    def __call__(self, tasks: Sequence[Task]) -> list[Outcome]:
        return [self._outcome(task) for task in tasks]

    def _outcome(self, task: Task) -> Outcome:
        """Facts: `people` with the frames that show each `face`, the whole `body` and each attribute; `objects`;
        which fraction of a frame is `hidden`; `notes` about what was left out.

        A frame's files are named by `mask_name` and `image_name`.
        """
        words = task.facts["words"]
        frames = list(dict.fromkeys(task.facts["caption"]["frames"]))
        images = read_key_frames(clip_path(task), frames)
        tracks = tracks_from_json(task.facts["people"]["tracks"])
        cuts = _Cuts(task.output, len(words["people"]), [len(p["attributes"]) for p in words["people"]], words)
        for frame, image in zip(frames, images, strict=True):
            self._cut(frame, image, words, tracks, cuts)
        facts = cuts.facts()
        named = any(person["face"] for person in facts["people"])
        return Outcome(rejected="" if named else "no_face", facts=facts)

    def _cut(self, frame: int, image: Tensor, words: Mapping[str, Any], tracks: Sequence[Track], cuts: _Cuts) -> None:
        """Cut everything that a frame shows clearly."""
        there = [index for index, track in enumerate(tracks) if frame in track]
        shown = [n for n, p in enumerate(words["people"]) if p["track"] in there and tracks[p["track"]][frame].usable]
        plan = ScenePlan(
            tuple(PersonPlan(words["people"][n]["word"], tuple(words["people"][n]["attributes"])) for n in shown),
            tuple(words["objects"]),
            words["background"],
        )
        if plan == ScenePlan():
            return
        known = KnownPeople(
            [tracks[index][frame].person() for index in there],
            {i: there.index(words["people"][n]["track"]) for i, n in enumerate(shown)},
        )
        settings = AutoSettings(background="inpaint", missing="leave out", feather=self.settings.feather)
        found = build_scene([image], plan, self.finders, settings, known=known)
        for i, n in enumerate(shown):
            self._person(frame, i, n, known.chosen[i], found, cuts)
        pictures = {reference.phrase: reference for reference in found.scene.objects}
        for j, phrase in enumerate(plan.objects):
            self._object(frame, j, pictures.get(phrase), found, cuts)
        cuts.hide(frame, found.removed)

    def _person(self, frame: int, i: int, n: int, owner: int, found: AutoScene, cuts: _Cuts) -> None:
        """
        Args:
            i, n: index of the person in the plan of this frame, and among all people of the words.
            owner: index of the person among the people of the frame.
        """
        seen, subject = found.people, found.scene.subjects[i]
        person = seen[owner]
        assert person.face is not None and subject.face is not None  # or the sighting would not be usable
        if person.region is None:
            cuts.note(frame, f"{cuts.called(n)} has no mask")
            return
        cuts.body(n, frame, person.region.mask(*found.removed.shape))
        if problem := face_problem(person.face, owner, seen, self.settings):
            cuts.note(frame, f"the face of {cuts.called(n)}: {problem}")
        else:
            box = face_crop_box(person.face).within(*found.removed.shape)
            cuts.face(n, frame, subject.face.image, [box.left, box.top, box.right, box.bottom])
        pictures = {reference.phrase: reference for reference in subject.attributes}
        for a, phrase in enumerate(cuts.words["people"][n]["attributes"]):
            label = f'"{phrase}" of {cuts.called(n)}'
            region = found.regions.get((i, a))
            if region is None:
                cuts.note(frame, f"{label}: not found")
            elif problem := attribute_problem(region, found.candidates.get((i, a), ()), owner, seen, self.settings):
                cuts.note(frame, f"{label}: {problem}")
            else:
                cuts.thing((n, a), frame, pictures[phrase], region.mask(*found.removed.shape))

    def _object(self, frame: int, j: int, picture: Reference | None, found: AutoScene, cuts: _Cuts) -> None:
        label = f'object "{cuts.words["objects"][j]}"'
        region = found.regions.get((None, j))
        if region is None or picture is None:
            cuts.note(frame, f"{label}: not found")
        elif problem := object_problem(region, found.candidates.get((None, j), ()), found.people, self.settings):
            cuts.note(frame, f"{label}: {problem}")
        else:
            cuts.thing((None, j), frame, picture, region.mask(*found.removed.shape))


def mask_name(part: str, frame: int) -> str:
    """The file of a mask, as the research format names it: its last words say the frame."""
    return f"{part}_frame{frame}.png"


def image_name(part: str, frame: int) -> str:
    """The file of a cutout."""
    return f"{part}_image{frame}.png"


def part_name(part: Part) -> str:
    """The beginning of the file names of an attribute or an object."""
    person, index = part
    return f"object{index}" if person is None else f"person{person}_attribute{index}"


def face_name(person: int) -> str:
    """The beginning of the file names of a face."""
    return f"person{person}_face"


def body_name(person: int) -> str:
    """The beginning of the file names of a whole person."""
    return f"person{person}"


@dataclass
class _Cuts:
    """What was cut out of the frames so far; writes the files."""

    output: Path
    people: int
    attributes: Sequence[int]
    words: Mapping[str, Any]
    faces: dict[int, dict[str, list[float]]] = field(default_factory=dict)
    bodies: dict[int, list[int]] = field(default_factory=dict)
    things: dict[Part, list[int]] = field(default_factory=dict)
    hidden: dict[str, float] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def called(self, n: int) -> str:
        return f'"{self.words["people"][n]["word"]}"'

    def note(self, frame: int, text: str) -> None:
        self.notes.append(f"Frame {frame}: {text}.")

    def face(self, n: int, frame: int, image: Tensor, box: list[float]) -> None:
        self._write(image_name(face_name(n), frame), image)
        self.faces.setdefault(n, {})[str(frame)] = box

    def body(self, n: int, frame: int, mask: Tensor) -> None:
        self._write(mask_name(body_name(n), frame), mask)
        self.bodies.setdefault(n, []).append(frame)

    def thing(self, part: Part, frame: int, picture: Reference, mask: Tensor) -> None:
        self._write(image_name(part_name(part), frame), picture.image)
        self._write(mask_name(part_name(part), frame), mask)
        self.things.setdefault(part, []).append(frame)

    def hide(self, frame: int, mask: Tensor) -> None:
        self._write(mask_name(HIDDEN, frame), mask)
        self.hidden[str(frame)] = round(float(mask.mean()), 4)

    def facts(self) -> dict[str, Any]:
        people = [
            {
                "face": self.faces.get(n, {}),
                "body": self.bodies.get(n, []),
                "attributes": [self.things.get((n, a), []) for a in range(self.attributes[n])],
            }
            for n in range(self.people)
        ]
        objects = [self.things.get((None, j), []) for j in range(len(self.words["objects"]))]
        return {"people": people, "objects": objects, "hidden": self.hidden, "notes": self.notes}

    def _write(self, name: str, image: Tensor) -> None:
        """An (H, W, 3) image, or an (H, W) mask as one channel of 8 bits."""
        if image.ndim == 2:
            to_pil(image[..., None].expand(-1, -1, 3)).getchannel(0).save(self.output / name)
        else:
            to_pil(image).save(self.output / name)
