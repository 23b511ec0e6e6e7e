"""Which person of a frame is which subject. Never by the dimension that is measured: a face on the wrong body would
move the slot along, and nothing would look wrong.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ...auto_scene.cutouts.regions import Box, Face
from ...auto_scene.detectors import FaceFinder, PhraseFinder
from ...auto_scene.persons import cheapest, people_of
from ...auto_scene.plan.plan import detector_word
from ...scene.scene import Scene
from ..measured_video import Protocol
from ..metrics.face_crops import embed_all, face_area, faces_in, reference_faces
from ..networks import ImageEmbedder
from .things import ThingReader

ACCEPTED = 0.25  # the least cosine of a face, or of clothes, to the reference; below, the subject is missing
_NOT_SEEN = 2.0  # as a cost: as much as a cosine of -1, and finite, as the assignment asks for


@dataclass(frozen=True)
class SeenPerson:
    """Somebody in a frame.

    Args:
        box: of the whole figure, on whole pixels inside the frame.
        face: None: not seen.
    """

    box: Box
    face: Face | None


Slots = list[SeenPerson | None]
"""For each subject of the scene, who it is in a frame; None: missing."""


def people_in(frame: Tensor, scene: Scene, faces: FaceFinder, phrases: PhraseFinder | None) -> list[SeenPerson]:
    """The people of a frame, from left to right.

    Args:
        phrases: finds figures by the subjects' words; None: a figure is where it would be around a face.
    """
    words = sorted({detector_word(subject.face.phrase) for subject in scene.subjects if subject.face is not None})
    detections = dict(zip(words, phrases.find(frame, words), strict=True)) if phrases is not None and words else {}
    height, width = frame.shape[:2]
    people = people_of(0, faces_in(faces, frame), detections, height, width)
    return [SeenPerson(person.box.within(height, width), person.face) for person in people]


class SlotsByFaces:
    """Subjects by their faces, for what people wear.

    Subjects without a face image are always missing.

    Raises:
        LumosXError: no subject has a face image.
    """

    def __init__(self, scene: Scene, faces: FaceFinder, arc: ImageEmbedder, accepted: float = ACCEPTED):
        self._subjects = len(scene.subjects)
        self._arc, self._accepted = arc, accepted
        self.known, crops = zip(*reference_faces(scene, faces, Protocol.CLEAN), strict=True)
        self._references = embed_all(arc, crops)

    def __call__(self, frame: Tensor, people: Sequence[SeenPerson]) -> Slots:
        faced = [person for person in people if person.face is not None]
        crops = [face_area(each.face.box, frame.shape[0], frame.shape[1]).crop(frame) for each in faced if each.face]
        cosines = embed_all(self._arc, crops) @ self._references.T if crops else torch.zeros(0, len(self.known))
        return _assigned(cosines, faced, self.known, self._subjects, self._accepted)


class SlotsByClothing:
    """Subjects by what they wear, for faces: the mean cosine over their attributes, one that is not found counts 0."""

    def __init__(self, scene: Scene, reader: ThingReader, accepted: float = ACCEPTED):
        self._scene, self._reader, self._accepted = scene, reader, accepted
        self.known = tuple(index for index, subject in enumerate(scene.subjects) if subject.attributes)

    def __call__(self, frame: Tensor, people: Sequence[SeenPerson]) -> Slots:
        rows = []
        for person in people:
            worn = self._reader.worn(frame, person.box)
            rows.append([self._likeness(worn, subject) for subject in self.known])
        cosines = torch.tensor(rows).reshape(len(people), len(self.known))
        return _assigned(cosines, people, self.known, len(self._scene.subjects), self._accepted)

    def _likeness(self, worn: dict[int, float], subject: int) -> float:
        own = [image for image, owner in self._reader.owners.items() if owner == subject]
        return sum(worn.get(image, 0.0) for image in own) / len(own)


class SlotsByPosition:
    """Subjects by where they are in the ground truth, for faces of people who wear nothing that is known.

    Args:
        expected: for each subject its box in a frame of the ground truth, as fractions of width and height; None: not
            seen there.
    """

    def __init__(self, expected: Sequence[Box | None]):
        self._expected = expected
        self.known = tuple(index for index, box in enumerate(expected) if box is not None)

    def __call__(self, frame: Tensor, people: Sequence[SeenPerson]) -> Slots:
        height, width = frame.shape[:2]
        rows = [
            [-self._distance(person.box.scaled(1 / width, 1 / height), subject) for subject in self.known]
            for person in people
        ]
        closeness = torch.tensor(rows).reshape(len(people), len(self.known))
        # Nobody is too far away: it is the order that says who is who.
        return _assigned(closeness, people, self.known, len(self._expected), -math.inf)

    def _distance(self, box: Box, subject: int) -> float:
        expected = self._expected[subject]
        assert expected is not None
        (x, y), (u, v) = box.centre, expected.centre
        return math.hypot(x - u, y - v)


def _assigned(
    likeness: Tensor, people: Sequence[SeenPerson], known: Sequence[int], subjects: int, accepted: float
) -> Slots:
    """People to subjects such that the sum of likenesses is largest; pairs below `accepted` are taken apart.

    Args:
        likeness: (people, known).
    """
    slots: Slots = [None] * subjects
    if len(people) == 0 or len(known) == 0:
        return slots
    # What would not be accepted must not push anybody from where they belong.
    costs = torch.where(likeness >= accepted, 1 - likeness, _NOT_SEEN - min(0.0, float(likeness.min())))
    for row, column in cheapest(costs.tolist()):
        if float(likeness[row, column]) >= accepted:
            slots[known[column]] = people[row]
    return slots
