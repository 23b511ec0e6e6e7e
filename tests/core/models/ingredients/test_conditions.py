"""What of a scene Ingredients reads: the faces of its subjects, and a sentence about all else."""

from __future__ import annotations

import pytest
import torch

from lumosx_core import LumosXError, Reference, Scene, Subject
from lumosx_core.models.ingredients.conditions import FaceConditions, check_face_count, faces_of, unused_parts


def picture(phrase="man", **changes):
    return Reference(phrase, torch.zeros(8, 8, 3), **changes)


def test_the_faces_are_those_of_the_subjects_in_their_order():
    scene = Scene((Subject(picture("man")), Subject(picture("woman"), title="Eve")))
    assert [(name, face.phrase) for name, face in faces_of(scene)] == [("subject 1", "man"), ("Eve", "woman")]
    assert unused_parts(scene) == []


def test_every_other_image_is_named_once():
    scene = Scene(
        (Subject(picture("man"), (picture("red coat"), picture("hat"))),),
        objects=(picture("umbrella"),),
        background=picture("street"),
    )
    [warning] = unused_parts(scene)
    assert "4 of the 5 images are ignored" in warning
    for each in ("the background (street)", "object 1 (umbrella)", "subject 1 (attribute 1) (red coat)", "(hat)"):
        assert each in warning
    assert "(man)" not in warning


@pytest.mark.parametrize("changed", [{"strength": 0.5}, {"start": 0.2}, {"end": 0.7}])
def test_a_strength_or_timing_is_named_as_ignored(changed):
    [warning] = unused_parts(Scene((Subject(picture()), Subject(picture(), **changed))))
    assert "subject 2" in warning and "subject 1" not in warning


def test_the_strength_of_the_face_itself_counts_too():
    assert unused_parts(Scene((Subject(picture(strength=2.0)),)))


@pytest.mark.parametrize(
    ("scene", "message"),
    [
        (Scene(background=picture("street")), "no subject with a face"),
        (Scene((Subject(picture()), Subject(None, (picture("hat"),)))), "Subject 2 has no face image"),
        (Scene(tuple(Subject(picture()) for _ in range(9))), "9 faces.*at most 8.*Remove 1"),
    ],
)
def test_a_scene_that_it_cannot_use_is_refused(scene, message):
    with pytest.raises(LumosXError, match=message):
        faces_of(scene)


def test_eight_faces_are_possible():
    check_face_count(8)
    with pytest.raises(LumosXError, match="10 faces"):
        check_face_count(10)


@pytest.mark.parametrize(
    ("id_cond", "hidden", "labels"),
    [
        ((2, 20), (3, 5, 4, 8), ()),
        ((20,), (2, 5, 4, 8), ()),
        ((2, 20), (2, 5, 4, 8), ("man",)),
        ((0, 20), (0, 5, 4, 8), ()),
    ],
)
def test_parts_that_do_not_describe_the_same_faces_are_refused(id_cond, hidden, labels):
    with pytest.raises(LumosXError):
        FaceConditions(torch.zeros(id_cond), torch.zeros(hidden), torch.zeros(1, 16, 3, 8, 10), labels)
