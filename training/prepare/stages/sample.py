"""A training sample: the clip, its caption, and one reference image for everything that the caption names.

    video.mp4, caption.txt, subjects/, objects/, background/     a case with a video, as training reads it
    info.json, key_frames/                                       the same in the research format: masks of whole frames

The masks of the key frames can be used for a masked loss; training/data/sources/research_format.py reads them with the
table beside the samples. There is no folder masks/ (training/data/masks.py): that needs a mask for each frame.
"""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from lumosx_core.media.images import read_picture
from lumosx_core.scene.case_files import INFO, KEY_FRAMES
from lumosx_core.scene.case_folder import Case
from lumosx_core.scene.scene import Reference, Scene, Subject
from lumosx_core.scene.write_case import write_case

from ...data.clips import ClipSettings, read_clip
from ...data.samples import VIDEO
from ..scene_settings import ChoiceSettings
from ..settings import settings_hash
from ..stage import Outcome, Task
from .background import BACKGROUND
from .cut import clip_path
from .references import body_name, face_name, image_name, mask_name, part_name

_VERSION = 1


@dataclass(frozen=True)
class SampleFolder:
    """The stage; see `stage.Stage`."""

    settings: ChoiceSettings
    name: str = "sample"
    after: str | None = BACKGROUND
    batch_size: int = 8
    gpus: float = 0.0

    def version(self) -> str:
        return settings_hash(_VERSION, self.settings)

    def check(self) -> None:
        """It needs nothing but what the stages before it made."""

    def open(self) -> SampleWorker:
        return SampleWorker(self.settings)


@dataclass(frozen=True)
class SampleWorker:
    """The stage at work."""

    settings: ChoiceSettings

    def __call__(self, tasks: Sequence[Task]) -> list[Outcome]:
        return [self._outcome(task) for task in tasks]

    def _outcome(self, task: Task) -> Outcome:
        """Facts: `text`, `duration`, `height` and `width` for the table, which `frames` the images are from, and
        `notes` about what the sample lacks.
        """
        choice = _Choice(task, random.Random(f"{self.settings.seed}:{task.id}"))
        scene = choice.scene()
        facts: dict[str, Any] = {"frames": choice.frames, "notes": choice.lacking}
        if choice.lacking and self.settings.whole:
            return Outcome(rejected="incomplete", facts=facts)
        caption: str = task.facts["caption"]["text"]
        write_case(task.output, Case(None, caption, scene))
        video = clip_path(task)
        shutil.copyfile(video, task.output / VIDEO)
        _write_info(task)
        _, info = read_clip(video, ClipSettings(frames=(1,)))
        size = {"duration": round(info.seconds, 3), "height": info.height, "width": info.width}
        return Outcome(facts={"text": caption, **size, "subjects": len(scene.subjects), **facts})


class _Choice:
    """One image for each part, drawn from the frames that show it.

    Attributes:
        frames: part -> the frame it is from.
        lacking: a sentence for each part that no frame shows.
    """

    def __init__(self, task: Task, chance: random.Random):
        self.words = task.facts["words"]
        self.found = task.facts["references"]
        self.places: Sequence[int] = task.facts[BACKGROUND]["frames"]
        self.folders = task.folders
        self.chance = chance
        self.frames: dict[str, int] = {}
        self.lacking: list[str] = []

    def scene(self) -> Scene:
        subjects = []
        for n, (words, found) in enumerate(zip(self.words["people"], self.found["people"], strict=True)):
            label = f"person {n + 1} ({words['word']!r})"
            face = self._reference("references", face_name(n), words["word"], found["face"], f"the face of {label}")
            if face is None:
                continue  # a subject without a face teaches nobody's identity
            attributes = [
                self._reference("references", part_name((n, a)), phrase, frames, f"{phrase!r} of {label}")
                for a, (phrase, frames) in enumerate(zip(words["attributes"], found["attributes"], strict=True))
            ]
            subjects.append(Subject(face, tuple(each for each in attributes if each is not None)))
        objects = [
            self._reference("references", part_name((None, j)), phrase, frames, f"the object {phrase!r}")
            for j, (phrase, frames) in enumerate(zip(self.words["objects"], self.found["objects"], strict=True))
        ]
        background = None
        if (phrase := self.words["background"]) is not None:
            background = self._reference(BACKGROUND, BACKGROUND, phrase, self.places, f"the background {phrase!r}")
        return Scene(tuple(subjects), tuple(each for each in objects if each is not None), background)

    def _reference(self, stage: str, part: str, phrase: str, frames, label: str) -> Reference | None:
        """
        Args:
            frames: those that show the part, as numbers or texts.
        """
        usable = sorted(int(frame) for frame in frames)
        if not usable:
            self.lacking.append(f"No frame shows {label} clearly.")
            return None
        frame = self.chance.choice(usable)
        self.frames[part] = frame
        return Reference(phrase, read_picture(self.folders[stage] / image_name(part, frame)))


def _write_info(task: Task) -> None:
    """Write info.json and its masks, of all frames that show something."""
    words, found = task.facts["words"], task.facts["references"]
    folder = task.output / KEY_FRAMES
    folder.mkdir()

    def copied(stage: str, name: str, new: str | None = None) -> str:
        shutil.copyfile(task.folders[stage] / name, folder / (new or name))
        return f"{KEY_FRAMES}/{new or name}"

    def masks(part: str, frames: Sequence[int]) -> list[str]:
        return [copied("references", mask_name(part, frame)) for frame in frames]

    people = []
    for n, (each, seen) in enumerate(zip(words["people"], found["people"], strict=True)):
        if not seen["face"]:
            continue
        attributes = [
            {phrase: masks(part_name((n, a)), frames)}
            for a, (phrase, frames) in enumerate(zip(each["attributes"], seen["attributes"], strict=True))
            if frames
        ]
        subject = {each["word"]: masks(body_name(n), seen["body"]), "face": seen["face"]}
        people.append({"subject": subject, "attributes": attributes})
    objects = [
        {phrase: masks(part_name((None, j)), frames)}
        for j, (phrase, frames) in enumerate(zip(words["objects"], found["objects"], strict=True))
        if frames
    ]
    places = [
        copied(BACKGROUND, image_name(BACKGROUND, frame), mask_name(BACKGROUND, frame))
        for frame in task.facts[BACKGROUND]["frames"]
    ]
    tags = {"person": people, "other_subjects": objects, "background": {words["background"]: places} if places else {}}
    info = {"video": VIDEO, "selected_frames": task.facts["caption"]["frames"], "word_tags_path": tags}
    (task.output / INFO).write_text(json.dumps(info, ensure_ascii=False, indent=1), encoding="utf-8")
