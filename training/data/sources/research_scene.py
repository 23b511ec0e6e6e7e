"""What the info.json of one video says: words, and the frames, masks and boxes that show them.

The format is described in research_format.py.
"""

from __future__ import annotations

import json
import math
import random
import re
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lumosx_core.errors import LumosXError, shown
from lumosx_core.files.text_file import decode_text, read_bytes
from lumosx_core.media.images import cut_out, read_mask, read_picture
from lumosx_core.scene.scene import Reference, Scene, Subject

from ..clips import read_frames
from ..samples import SampleSettings
from .located import located

_LARGEST_INFO = 2**25  # bytes


class SceneReader:
    """Makes the scene of one video.

    Args:
        seed: decides which frames are taken, and whether people come as groups or as whole bodies.

    Raises:
        LumosXError: the file is unreadable or not of the format.
    """

    def __init__(self, video: Path, info: Path, settings: SampleSettings, seed: str):
        self._video, self._info, self._settings = video, info, settings
        self._chance = random.Random(seed)  # a text seeds the same on every machine
        self._tags, self._selected = _parse_info(info)

    def read(self) -> Scene:
        """Raises LumosXError for a mask or frame that is missing or of another size, and where nothing is left."""
        whole_body = self._chance.random() < self._settings.whole_body
        subjects: list[Subject] = []
        objects: list[Reference] = []
        for person in self._tags.get("person") or []:
            if whole_body:
                objects += [self._masked(word, names) for word, names in person["subject"].items() if word != "face"]
            elif subject := self._subject(person):
                subjects.append(subject)
        for thing in self._tags.get("other_subjects") or []:
            objects += [self._masked(word, names) for word, names in thing.items()]
        scene = Scene(tuple(subjects), tuple(objects), self._background())
        if not scene.references:
            raise LumosXError(f"{self._info} gives no reference image: it names none, or only people without faces.")
        return scene

    def _subject(self, person: dict) -> Subject | None:
        words = [word for word in person["subject"] if word != "face"]
        boxes = person["subject"].get("face")
        if not words or (not boxes and self._settings.require_faces):
            return None
        face = None
        if boxes:
            face = Reference(words[0], self._choose(f"the face of {words[0]!r}", list(boxes), self._face(boxes)))
        attributes = [
            self._masked(word, names)
            for attribute in person.get("attributes") or []
            for word, names in attribute.items()
        ]
        return Subject(face, tuple(attributes)) if face or attributes else None

    def _background(self) -> Reference | None:
        for word, names in (self._tags.get("background") or {}).items():
            # Made for three frames, the middle one is the released choice.
            return Reference(word, read_picture(located(self._info.parent, names[1 if len(names) == 3 else 0])))
        return None

    def _masked(self, word: str, names: list[str]) -> Reference:
        return Reference(word, self._choose(repr(word), names, self._within_mask))

    def _choose(self, what: str, candidates: list[str], picture: Callable[[str], Tensor | None]) -> Tensor:
        """One candidate that shows something, at random; with `whole`, all of them are read to find damage."""
        chosen = None
        for candidate in self._chance.sample(candidates, len(candidates)):
            if chosen is None or self._settings.clip.whole:
                shown = picture(candidate)
                chosen = shown if chosen is None else chosen
        if chosen is None:
            raise LumosXError(f"{self._info} has no frame that shows {what}. Remove it there, or add a mask.")
        return chosen

    def _within_mask(self, name: str) -> Tensor | None:
        match = re.search(r"_frame([0-9]{1,9})\.\w+$", name)
        if not match:
            raise LumosXError(
                f"The mask {shown(name)!r} in {self._info} does not say its frame. Name it WORD_frame24.png."
            )
        path = located(self._info.parent, name)
        mask, frame = read_mask(path), self._frame(int(match[1]))
        if mask.shape == frame.shape[:2] and not mask.any():
            return None
        try:
            return cut_out(frame, mask)
        except LumosXError as error:
            raise LumosXError(f"The mask {path} does not fit the video: {error}") from error

    def _face(self, boxes: dict[str, list[float]]) -> Callable[[str], Tensor | None]:
        def picture(place: str) -> Tensor | None:
            frame = self._frame(int(place))
            x0, y0, x1, y1 = (max(0, round(edge)) for edge in boxes[place])
            crop = frame[y0:y1, x0:x1]
            return crop.clone() if crop.numel() else None

        return picture

    def _frame(self, place: int) -> Tensor:
        if place not in self._frames:
            raise LumosXError(
                f"{self._info} names frame {place}, which is not among its selected_frames. Add it there."
            )
        return torch.from_numpy(self._frames[place].astype(np.float32)) / 255

    @cached_property
    def _frames(self) -> dict[int, np.ndarray]:
        return read_frames(self._video, self._selected)


def _parse_info(path: Path) -> tuple[dict, set[int]]:
    """Words and selected frames; raises LumosXError unless everything is of the kind that the format says."""
    try:
        info = json.loads(decode_text(read_bytes(path, "Put it there.", most=_LARGEST_INFO), str(path)))
    except LumosXError:
        raise
    except (ValueError, RecursionError) as error:  # also a number of more digits than Python reads
        raise LumosXError(f"Cannot read {path}: {shown(error)}. Write it again as JSON in UTF-8.") from error

    def names(value: object) -> bool:
        return isinstance(value, list) and len(value) > 0 and all(isinstance(name, str) for name in value)

    def words(value: object) -> bool:
        return isinstance(value, dict) and all(names(each) for each in value.values())

    def boxes(value: object) -> bool:
        return isinstance(value, dict) and all(
            re.fullmatch("[0-9]{1,9}", place)
            and isinstance(box, list)
            and len(box) == 4
            and all(isinstance(x, int | float) and math.isfinite(x) and abs(x) < 1e9 for x in box)
            for place, box in value.items()
        )

    def person(value: Any) -> bool:
        subject = value.get("subject") if isinstance(value, dict) else None
        return (
            isinstance(subject, dict)
            and words({word: each for word, each in subject.items() if word != "face"})
            and boxes(subject.get("face") or {})
            and all_of(words, value.get("attributes"))
        )

    def all_of(right: Callable[[object], bool], value: object) -> bool:
        return value is None or (isinstance(value, list) and all(right(each) for each in value))

    tags: Any = info.get("word_tags_path") if isinstance(info, dict) else None
    selected: Any = info.get("selected_frames") if isinstance(info, dict) else None
    mistakes = [
        name
        for name, right in (
            ("word_tags_path", isinstance(tags, dict)),
            ("selected_frames", isinstance(selected, list) and all(isinstance(place, int) for place in selected)),
            ("person", isinstance(tags, dict) and all_of(person, tags.get("person"))),
            ("other_subjects", isinstance(tags, dict) and all_of(words, tags.get("other_subjects"))),
            ("background", isinstance(tags, dict) and words(tags.get("background") or {})),
        )
        if not right
    ]
    if mistakes:
        raise LumosXError(
            f"{path} has a {mistakes[0]} that is not of the research format. Write it as described there."
        )
    return tags, set(selected)
