"""What a person of a frame wears, compared with the reference images of everybody's attributes."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ...auto_scene.cutouts.regions import Box, Detection
from ...auto_scene.detectors import PhraseFinder
from ...prompt.match import split_number
from ...scene.scene import Scene
from ..metrics.face_crops import embed_all
from ..metrics.subject_metrics import LEAST_THING_SCORE
from ..networks import ImageEmbedder

SAME_PLACE = 0.5  # intersection over union: two boxes show one thing


@dataclass(frozen=True, eq=False)
class FoundThing:
    """Something in a person's box.

    Args:
        box: on whole pixels inside the frame.
        cosines: (attributes,) to the reference image of each attribute of the scene.
    """

    box: Box
    cosines: Tensor


class ThingReader:
    """Finds attributes in people's boxes and compares them with all attributes of a scene.

    An attribute is searched for by its own words. Somebody who wears another's clothes shows nothing that these words
    mean; so where they find nothing, the words of other subjects' attributes are tried, apart from what is found as
    something else of the person's own.

    A reader is for the frames of one video and its ground truth, which must live as long as it does.

    Attributes:
        owners: index of the attribute in `Scene.references` -> index of its subject, in the scene's order.
    """

    def __init__(self, scene: Scene, finder: PhraseFinder, embedder: ImageEmbedder):
        self._finder, self._embedder = finder, embedder
        self.owners: dict[int, int] = {}
        images = list(scene.references)
        position = len(scene.standalone)
        for number, subject in enumerate(scene.subjects):
            for reference in subject.references:
                if reference is not subject.face:
                    self.owners[position] = number
                position += 1
        self.words = [split_number(images[image].phrase)[0] for image in self.owners]
        self.references = embed_all(embedder, [images[image].image for image in self.owners])
        self._columns = {image: column for column, image in enumerate(self.owners)}
        self._searched: dict[tuple[int, Box], dict[str, list[Detection]]] = {}

    def worn(self, frame: Tensor, person: Box) -> dict[int, float]:
        """Index of each attribute that is found by its own words -> cosine to its reference image."""
        found = self._search(frame, person)
        first = {
            image: found[self.words[column]][0] for image, column in self._columns.items() if found[self.words[column]]
        }
        cosines = self._cosines(frame, [each.box for each in first.values()])
        return {image: float(cosines[row, self._columns[image]]) for row, image in enumerate(first)}

    def find(self, frame: Tensor, person: Box, subject: int) -> dict[int, FoundThing]:
        """What is in the place of each attribute of a subject, by the attribute's index; without the missing ones.

        Args:
            person: the box of who is this subject.
        """
        found = self._search(frame, person)
        own = [image for image, owner in self.owners.items() if owner == subject]
        boxes: dict[int, Box] = {}
        for image in own:
            if candidates := found[self.words[self._columns[image]]]:
                boxes[image] = candidates[0].box
        others = {self.words[self._columns[image]] for image, owner in self.owners.items() if owner != subject}
        spare = sorted((each for word in others for each in found[word]), key=lambda each: -each.score)
        for image in own:
            if image not in boxes:
                free = (each.box for each in spare if all(each.box.iou(box) < SAME_PLACE for box in boxes.values()))
                if (box := next(free, None)) is not None:
                    boxes[image] = box
        cosines = self._cosines(frame, list(boxes.values()))
        return {image: FoundThing(box, cosines[row]) for row, (image, box) in enumerate(boxes.items())}

    def _search(self, frame: Tensor, person: Box) -> dict[str, list[Detection]]:
        """The boxes of each word in a person's box, best first, in pixels of the frame.

        Clothes are asked for twice, to know people by them and to compare them; a box is searched once.
        """
        key = (frame.data_ptr(), person)
        if key not in self._searched:
            self._searched[key] = self._detect(frame, person)
        return self._searched[key]

    def _detect(self, frame: Tensor, person: Box) -> dict[str, list[Detection]]:
        words = list(dict.fromkeys(self.words))
        height, width = frame.shape[:2]
        found = self._finder.find(person.crop(frame), words) if words else []
        return {
            word: [
                Detection(each.box.moved(person.left, person.top).within(height, width), each.score)
                for each in sorted(detections, key=lambda each: -each.score)
                if each.score >= LEAST_THING_SCORE and each.box.area > 0
            ]
            for word, detections in zip(words, found, strict=True)
        }

    def _cosines(self, frame: Tensor, boxes: list[Box]) -> Tensor:
        if not boxes:
            return torch.zeros(0, len(self.owners))
        return embed_all(self._embedder, [box.crop(frame) for box in boxes]) @ self.references.T
