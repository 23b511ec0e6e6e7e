"""What is compared: faces, whole people, or each attribute inside its person. Each gives one matrix for a frame."""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor

from ...auto_scene.cutouts.regions import Box
from ...auto_scene.detectors import FaceFinder
from ...scene.scene import Scene
from ..measured_video import Protocol as Rules
from ..metrics.face_crops import embed_all, face_area, reference_faces
from ..networks import ImageEmbedder
from ..results import Slot
from .person_slots import Slots
from .things import ThingReader


class Dimension(Protocol):
    """One dimension of a scene.

    Attributes:
        name: "face", "person" or "attributes".
        slots: rows and columns of its matrices.
        references: (n, n), similarity of reference to reference; its diagonal means nothing.
    """

    name: str
    slots: tuple[Slot, ...]
    references: Tensor

    def read(self, frame: Tensor, people: Slots) -> tuple[Tensor, list[Box | None]]:
        """(n, n) similarities of what is in the frame to the references, NaN in rows of missing slots, and the boxes.

        Args:
            people: who each subject of the scene is in this frame.
        """


class FaceDimension:
    """Faces against face images."""

    name = "face"

    def __init__(self, scene: Scene, finder: FaceFinder, arc: ImageEmbedder):
        subjects, crops = zip(*reference_faces(scene, finder, Rules.CLEAN), strict=True)
        self._arc, self._vectors = arc, embed_all(arc, crops)
        self.references = self._vectors @ self._vectors.T
        first = len(scene.standalone)
        self.slots: tuple[Slot, ...] = ()
        for number, subject in enumerate(scene.subjects):
            if number in subjects and subject.face is not None:
                self.slots += (Slot(number, subject.face.phrase, first),)
            first += len(subject.references)

    def read(self, frame: Tensor, people: Slots) -> tuple[Tensor, list[Box | None]]:
        """See `Dimension`."""
        boxes: list[Box | None] = []
        for slot in self.slots:
            person = people[slot.subject]
            seen = person is not None and person.face is not None
            boxes.append(face_area(person.face.box, frame.shape[0], frame.shape[1]) if seen else None)  # type: ignore
        return _rows(frame, boxes, self._arc, self._vectors), boxes


class PersonDimension:
    """Whole people against all images of each subject: the mean of the cosines."""

    name = "person"

    def __init__(self, scene: Scene, embedder: ImageEmbedder):
        self._embedder = embedder
        images = [[each.image for each in subject.references] for subject in scene.subjects]
        vectors = [embed_all(embedder, each) for each in images]
        # The mean of cosines is the product with the mean vector, which is shorter than 1.
        self._means = torch.stack([each.mean(dim=0) for each in vectors])
        self.references = self._means @ self._means.T
        self.slots = tuple(Slot(number, subject.references[0].phrase) for number, subject in enumerate(scene.subjects))

    def read(self, frame: Tensor, people: Slots) -> tuple[Tensor, list[Box | None]]:
        """See `Dimension`."""
        boxes = [None if person is None else person.box for person in people]
        return _rows(frame, boxes, self._embedder, self._means), boxes


class AttributeDimension:
    """Each attribute inside its person against the images of everybody's attributes."""

    name = "attributes"

    def __init__(self, scene: Scene, reader: ThingReader):
        self._reader = reader
        images = scene.references
        self.references = reader.references @ reader.references.T
        self.slots = tuple(Slot(owner, images[image].phrase, image) for image, owner in reader.owners.items())

    def read(self, frame: Tensor, people: Slots) -> tuple[Tensor, list[Box | None]]:
        """See `Dimension`."""
        rows = torch.full((len(self.slots), len(self.slots)), torch.nan)
        boxes: list[Box | None] = [None] * len(self.slots)
        found = {
            image: thing
            for subject, person in enumerate(people)
            if person is not None
            for image, thing in self._reader.find(frame, person.box, subject).items()
        }
        for row, slot in enumerate(self.slots):
            if slot.reference in found:
                thing = found[slot.reference]
                rows[row], boxes[row] = thing.cosines, thing.box
        return rows, boxes


def _rows(frame: Tensor, boxes: list[Box | None], embedder: ImageEmbedder, references: Tensor) -> Tensor:
    rows = torch.full((len(boxes), len(references)), torch.nan)
    seen = [row for row, box in enumerate(boxes) if box is not None]
    if seen:
        rows[seen] = embed_all(embedder, [box.crop(frame) for box in boxes if box is not None]) @ references.T
    return rows
