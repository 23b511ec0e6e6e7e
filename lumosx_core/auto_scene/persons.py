"""The people of a photo: boxes found for words, and faces, joined to persons.

Boxes come twice ("man" and "person" find the same figure), and the boxes of people who hug are nearly one. What tells
these cases apart is the faces: where there are two, the boxes of two people are as far apart as their faces.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import permutations

from ..errors import MissingPackageError
from .cutouts.regions import Box, Detection, Face, Region

# Two boxes are one person above this intersection over union, unless they fit different faces.
SAME_PERSON = 0.6
# Of the way from one face to another: two boxes whose heads differ by this much in that direction are two people. Boxes
# of one person differ by some per cent of their size, hardly ever towards another face.
TWO_APART = 0.3
# Boxes of one person have more than this in common, where both have a face of their own to fit.
DOUBLE = 0.8
# A face belongs to the person in whose box it is high up: its centre within this fraction of the height.
FACE_WITHIN = 0.5
NOT_THEIRS = 10.0  # as a distance of a face: more than any within a box, and finite, as the assignment asks for
HEAD = 0.85  # heights of a face from the top of a figure, which is its hair, to the middle of the face
# A body around a face, in widths and heights of the face: shoulders three faces wide, a figure seven and a half high.
BODY_SIDE, BODY_ABOVE, BODY_BELOW = 1.2, 0.4, 6.0


@dataclass(frozen=True, eq=False)
class Person:
    """Somebody seen in a photo.

    Args:
        photo: index of the photo.
        box: of the whole figure, in its pixels.
        face: None if the face is not seen.
        scores: for each word that was looked for, how well it fits, 0..1.
        region: None as long as the figure is not masked.
    """

    photo: int
    box: Box
    face: Face | None
    scores: dict[str, float]
    region: Region | None = None


@dataclass(frozen=True, eq=False)
class KnownPeople:
    """People who were found before, so that nobody is searched for.

    Args:
        people: everyone in the photos, also those who are not in the plan.
        chosen: person of the plan -> index into `people`; who is not there cannot be seen in the photos.
    """

    people: Sequence[Person]
    chosen: Mapping[int, int]


@dataclass(eq=False)
class _Figure:
    """Boxes that are one person: the best of them, the scores of all, and whether it was kept apart from another."""

    box: Box
    scores: dict[str, float]
    apart: bool


def people_of(
    photo: int,
    faces: Sequence[Face],
    detections: Mapping[str, Sequence[Detection]],
    height: int,
    width: int,
) -> list[Person]:
    """The people of one photo, from left to right.

    Boxes found for several words are joined to people, but never two that fit two different faces. Each face is given
    to the person in whose box it is where the head would be. A face in nobody's box is a person of its own, with a
    box as large as a figure around such a face.

    Args:
        detections: for each word, the boxes found.
    """
    figures = _figures(faces, detections)
    owners = _owners(faces, figures)
    faceless = [figure for i, figure in enumerate(figures) if i not in owners.values()]
    doubles = [figure for figure in faceless if _joins_a_face(figure, figures, owners)]
    people = [
        Person(photo, figure.box, next((faces[f] for f, owner in owners.items() if owner == i), None), figure.scores)
        for i, figure in enumerate(figures)
        if figure not in doubles
    ]
    for f, face in enumerate(faces):
        if f not in owners:
            people.append(Person(photo, _body(face).within(height, width), face, {}))
    return sorted(people, key=lambda person: (person.face or person).box.centre)


def _figures(faces: Sequence[Face], detections: Mapping[str, Sequence[Detection]]) -> list[_Figure]:
    """Boxes joined to figures, the best first."""
    figures: list[_Figure] = []
    found = [(detection, word) for word, each in detections.items() for detection in each]
    for detection, word in sorted(found, key=lambda pair: -pair[0].score):
        alike = [figure for figure in figures if figure.box.iou(detection.box) > SAME_PERSON]
        same = next((figure for figure in alike if not _are_two(figure.box, detection.box, faces)), None)
        if same is None:
            figures.append(_Figure(detection.box, {word: detection.score}, apart=bool(alike)))
        else:
            same.scores.setdefault(word, detection.score)
    return figures


def _are_two(one: Box, other: Box, faces: Sequence[Face]) -> bool:
    """Whether two boxes that are nearly one fit two different faces."""
    for his, hers in permutations(faces, 2):
        if NOT_THEIRS in (_distance(his, one), _distance(hers, other)):
            continue
        (x0, y0), (x1, y1) = (_head(box, his.turns) for box in (one, other))
        (u0, v0), (u1, v1) = (face.box.turned(his.turns).centre for face in (his, hers))
        across, down = u1 - u0, v1 - v0
        if one.iou(other) < DOUBLE or (x1 - x0) * across + (y1 - y0) * down > TWO_APART * (across**2 + down**2) > 0:
            return True
    return False


def _head(box: Box, turns: int) -> tuple[float, float]:
    """The middle of a figure's upper edge."""
    box = box.turned(turns)
    return box.centre[0], box.top


def _owners(faces: Sequence[Face], figures: Sequence[_Figure]) -> dict[int, int]:
    """Index of a face -> index of its figure; each has at most one of the other."""
    if not figures or not faces:
        return {}
    costs = [[_distance(face, figure.box) for figure in figures] for face in faces]
    return {f: i for f, i in cheapest(costs) if costs[f][i] != NOT_THEIRS}


def _joins_a_face(figure: _Figure, figures: Sequence[_Figure], owners: Mapping[int, int]) -> bool:
    """Whether a figure without a face is a second box of one with a face, which then has its scores as well.

    It was kept apart for a face that it might have had, but somebody else has that face.
    """
    if not figure.apart:
        return False
    faced = [figures[i] for i in owners.values() if figures[i].box.iou(figure.box) > SAME_PERSON]
    if not faced:
        return False
    same = max(faced, key=lambda other: other.box.iou(figure.box))
    for word, score in figure.scores.items():
        same.scores.setdefault(word, score)
    return True


def _distance(face: Face, person: Box) -> float:
    """How far a face is from where a person's face would be, as a fraction of the person's box; or NOT_THEIRS.

    Up and down are the face's own: of somebody who lies, or in a photo that lies on its side, to the left and right.
    """
    turns = face.turns
    head, person = face.box.turned(turns), person.turned(turns)
    if not person.width or not person.height:
        return NOT_THEIRS
    x, y = head.centre
    right, down = (x - person.left) / person.width, (y - person.top) / person.height
    if not 0 <= right <= 1 or not 0 <= down <= FACE_WITHIN or head.width > 1.2 * person.width:
        return NOT_THEIRS
    return abs(right - 0.5) + abs(down - HEAD * head.height / person.height)


def _body(face: Face) -> Box:
    """A figure around a face, as the face is turned; it may reach beyond the photo."""
    head = face.box.turned(face.turns)
    body = head.grown(left=BODY_SIDE, top=BODY_ABOVE, right=BODY_SIDE, bottom=BODY_BELOW)
    return body.turned(-face.turns)


def cheapest(costs: list[list[float]]) -> list[tuple[int, int]]:
    """Pairs of row and column with the lowest sum of costs.

    Raises:
        MissingPackageError: scipy is not installed.
    """
    try:
        from scipy.optimize import linear_sum_assignment
    except ImportError as error:
        raise MissingPackageError("scipy", "Telling who is who in a photo", error) from error
    rows, columns = linear_sum_assignment(costs)
    return list(zip(rows.tolist(), columns.tolist(), strict=True))
