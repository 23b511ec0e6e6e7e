"""The search for people: boxes and faces in every photo, and a closer look where faces are fewer than people."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from torch import Tensor

from .cutouts.regions import Detection, Face
from .detectors import FaceFinder, Progress
from .face_search import Step, faces_of_figures, find_faces, small_faces
from .persons import Person, people_of
from .settings import Finders

MOST_PEOPLE = 100  # of one photo and one word: of a larger crowd those whose boxes are surest


def search_people(
    photos: Sequence[Tensor],
    words: Sequence[str],
    finders: Finders,
    *,
    sought: int,
    given: Sequence[Sequence[Face]] | None,
    progress: Progress,
) -> list[Person]:
    """All people in all photos, photo by photo and from left to right.

    Args:
        words: whose boxes are looked for; with none, a face is all that is known of a person.
        sought: how many people are meant; with none, no face is looked for.
        given: for each photo its faces, instead of those the face finder finds.
    """
    people: list[list[Person]] = []
    for index, photo in enumerate(photos):
        progress("people", index, len(photos))
        detections: dict[str, list[Detection]] = {}
        if words:
            found = finders.phrases().find(photo, words)
            detections = {word: each[:MOST_PEOPLE] for word, each in zip(words, found, strict=True)}
        if given is not None or not sought:
            people.append(people_of(index, given[index] if given else [], detections, *photo.shape[:2]))
        else:
            people.append(_people_with_faces(index, photo, detections, finders, progress, len(photos)))
    if given is None and sum(person.face is not None for each in people for person in each) < sought:
        for index, photo in enumerate(photos):
            if not words or not people[index]:
                known = [person.face for person in people[index] if person.face is not None]
                faces = _more_faces(photo, known, finders.faces(), partial(progress, "people", index, len(photos)))
                people[index] = people_of(index, faces, {}, *photo.shape[:2])
    return [person for each in people for person in each]


def _people_with_faces(
    index: int,
    photo: Tensor,
    detections: dict[str, list[Detection]],
    finders: Finders,
    progress: Progress,
    count: int,
) -> list[Person]:
    """The people of a photo. Where some of them show no face, a closer look is taken for it."""
    step = partial(progress, "people", index, count)
    finder, size = finders.faces(), photo.shape[:2]
    faces = finder.find(photo)
    people = people_of(index, faces, detections, *size)
    if any(person.face is None for person in people):
        faces = [*faces, *small_faces(finder, photo, faces, step)]
        people = people_of(index, faces, detections, *size)
    if figures := [person.box for person in people if person.face is None]:
        faces = [*faces, *faces_of_figures(finder, photo, figures, faces, step)]
        people = people_of(index, faces, detections, *size)
    return people


def _more_faces(photo: Tensor, known: Sequence[Face], finder: FaceFinder, step: Step) -> list[Face]:
    """Known faces and small ones; without a known face also those of a photo that is turned."""
    return [*known, *small_faces(finder, photo, known, step)] if known else find_faces(finder, photo, step)
