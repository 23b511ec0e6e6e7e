"""People followed through the key frames of a clip: who in one frame is who in another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from lumosx_core.auto_scene.cutouts.faces import crop_face
from lumosx_core.auto_scene.cutouts.regions import Box, Face
from lumosx_core.auto_scene.persons import Person, cheapest
from lumosx_core.evaluation.networks import ImageEmbedder

from .key_frames import MIDDLE
from .scene_settings import PeopleSettings

_WORD = "person"
_APART = 10.0  # the cost of a pair that is not linked: more than any that is


@dataclass(frozen=True)
class Sighting:
    """One person in one frame, in its pixels.

    Args:
        score: of the box; None where only a face was found.
        face: None if it is not seen well enough.
        usable: the person is large enough, shows a face, and does not fill the frame: references are cut from it.
    """

    box: Box
    score: float | None
    face: Face | None
    usable: bool

    def person(self, photo: int = 0) -> Person:
        """As Auto Scene has people."""
        return Person(photo, self.box, self.face, {} if self.score is None else {_WORD: self.score})

    def to_json(self) -> dict[str, Any]:
        face = self.face
        return {
            "box": _numbers(self.box),
            "score": self.score,
            "face": None if face is None else _numbers(face.box),
            "face_score": None if face is None else round(face.score, 4),
            "landmarks": None if face is None or face.landmarks is None else [list(point) for point in face.landmarks],
            "usable": self.usable,
        }

    @staticmethod
    def of(record: Mapping[str, Any]) -> Sighting:
        face = None
        if record["face"] is not None:
            points = record["landmarks"]
            landmarks = None if points is None else tuple((point[0], point[1]) for point in points)
            face = Face(Box(*record["face"]), record["face_score"], landmarks)
        return Sighting(Box(*record["box"]), record["score"], face, record["usable"])


Track = dict[int, Sighting]
"""Frame -> where the person is in it."""


def sighting_of(person: Person, height: int, width: int, settings: PeopleSettings) -> Sighting:
    """A person who was found, judged by the settings."""
    face = person.face if person.face is not None and person.face.score >= settings.min_face_score else None
    box = person.box.within(height, width)
    area = box.area / (height * width)
    large = settings.min_area <= area <= settings.max_area and min(box.width, box.height) >= settings.min_side
    return Sighting(box, person.scores.get(_WORD), face, face is not None and large)


def tracks_of(
    frames: Sequence[int],
    images: Sequence[Tensor],
    sightings: Sequence[Sequence[Sighting]],
    identity: ImageEmbedder | None,
    settings: PeopleSettings,
) -> list[Track]:
    """Link people of the middle frame to those of the others; who is not linked is a track of one sighting.

    Each person is linked to at most one in each frame, so that the sum of similarities is as high as possible
    (Hungarian): of faces, where both show one and a network for them is given, of boxes otherwise.

    Args:
        frames: their indices in the clip; the same frame may be there twice.
        sightings: for each frame, from left to right.

    Returns: tracks of the middle frame's people first, in their order.
    """
    middle = sightings[MIDDLE]
    tracks: list[Track] = [{frames[MIDDLE]: each} for each in middle]
    rest: list[Track] = []
    vectors = [_vectors(image, each, identity) for image, each in zip(images, sightings, strict=True)]
    for k, frame in enumerate(frames):
        if frame == frames[MIDDLE] or frame in frames[:k]:
            continue
        costs = [
            [_cost(a, u, b, v, settings) for b, v in zip(sightings[k], vectors[k], strict=True)]
            for a, u in zip(middle, vectors[MIDDLE], strict=True)
        ]
        pairs = cheapest(costs) if middle and sightings[k] else []
        linked = {column: row for row, column in pairs if costs[row][column] < _APART}
        for column, sighting in enumerate(sightings[k]):
            if column in linked:
                tracks[linked[column]][frame] = sighting
            else:
                rest.append({frame: sighting})
    return tracks + rest


def _vectors(image: Tensor, sightings: Sequence[Sighting], identity: ImageEmbedder | None) -> list[Tensor | None]:
    faces = [each.face for each in sightings]
    crops = [crop_face(image, face) for face in faces if face is not None]
    if identity is None or not crops:
        return [None] * len(faces)
    embedded = iter(identity.embed(crops))
    return [None if face is None else next(embedded) for face in faces]


def _cost(one: Sighting, u: Tensor | None, other: Sighting, v: Tensor | None, settings: PeopleSettings) -> float:
    if u is not None and v is not None:
        similarity = float(torch.dot(u, v))
        return 1 - similarity if similarity >= settings.min_similarity else _APART
    overlap = one.box.iou(other.box)
    return 1 - overlap if overlap >= settings.min_overlap else _APART


def tracks_to_json(tracks: Sequence[Track]) -> list[dict[str, Any]]:
    """Tracks as JSON values."""
    return [{str(frame): each.to_json() for frame, each in track.items()} for track in tracks]


def tracks_from_json(records: Sequence[Mapping[str, Any]]) -> list[Track]:
    """Tracks from what `tracks_to_json` made of them."""
    return [{int(frame): Sighting.of(each) for frame, each in track.items()} for track in records]


def _numbers(box: Box) -> list[float]:
    return [round(edge, 2) for edge in (box.left, box.top, box.right, box.bottom)]
