"""A scene keeps the order that the network needs, and refuses what cannot be a scene."""

import dataclasses
import sys

import pytest
import torch

from lumosx_core import LumosXError, MissingPackageError, Reference, ReferenceLayout, Scene, Subject


def picture(phrase):
    return Reference(phrase, torch.rand(4, 6, 3))


HAT, COAT, BAG, MAN, WOMAN, DOG, LAMP, BEACH = map(
    picture, ("red hat", "grey coat", "bag", "man", "woman", "dog", "lamp", "beach")
)


def phrases(references):
    return [reference.phrase for reference in references]


def test_pictures_stand_background_first_then_objects_then_each_subject_face_first():
    scene = Scene([Subject(MAN, [HAT]), Subject(WOMAN, [COAT, BAG])], objects=[DOG, LAMP], background=BEACH)
    assert phrases(scene.references) == ["beach", "dog", "lamp", "man", "red hat", "woman", "grey coat", "bag"]
    assert phrases(scene.standalone) == ["beach", "dog", "lamp"]
    assert scene.layout == ReferenceLayout(3, (2, 3))


def test_each_group_of_the_layout_holds_the_pictures_of_one_subject():
    scene = Scene([Subject(MAN, [HAT]), Subject(WOMAN, [COAT, BAG])], objects=[DOG], background=BEACH)
    groups = [phrases(scene.references[group.start : group.stop]) for group in scene.layout.groups]
    assert groups == [["beach"], ["dog"], ["man", "red hat"], ["woman", "grey coat", "bag"]]


def test_a_subject_needs_no_face():
    scene = Scene([Subject(None, [COAT, BAG])])
    assert phrases(scene.references) == ["grey coat", "bag"]
    assert scene.layout == ReferenceLayout(0, (2,))
    assert [label for label, _ in scene.labelled()] == ["attribute 1 of subject 1", "attribute 2 of subject 1"]


def test_messages_call_each_picture_by_its_place_in_the_scene():
    scene = Scene([Subject(MAN, [HAT]), Subject(WOMAN, [COAT, BAG])], objects=[DOG, LAMP], background=BEACH)
    labels, references = zip(*scene.labelled(), strict=True)
    assert labels == (
        "background",
        "object 1",
        "object 2",
        "face of subject 1",
        "attribute 1 of subject 1",
        "face of subject 2",
        "attribute 1 of subject 2",
        "attribute 2 of subject 2",
    )
    assert references == scene.references


def test_a_scene_of_objects_alone_is_a_scene():
    scene = Scene(objects=[DOG])
    scene.check()
    assert scene.layout == ReferenceLayout(1)


def test_an_empty_scene_is_refused():
    assert Scene().references == ()
    assert Scene().layout == ReferenceLayout(0)
    with pytest.raises(LumosXError, match="The scene is empty.*Add at least one image"):
        Scene().check()


def test_a_subject_without_pictures_is_refused_by_its_number():
    scene = Scene([Subject(MAN), Subject(None)])
    with pytest.raises(LumosXError, match="Subject 2 has no image.*remove the subject"):
        scene.check()


@pytest.mark.parametrize("shape", [(4, 6), (4, 6, 4), (4, 6, 1), (3, 4, 6), (1, 4, 6, 3), (0, 6, 3)])
def test_a_picture_that_is_not_one_rgb_picture_is_refused_by_phrase_and_shape(shape):
    with pytest.raises(LumosXError) as error:
        Reference("red hat", torch.zeros(shape))
    assert "'red hat'" in str(error.value) and str(shape) in str(error.value)
    assert "expected (height, width, 3)" in str(error.value)


@pytest.mark.parametrize(
    ("thing", "field"), [(MAN, "phrase"), (Subject(MAN), "face"), (Scene([Subject(MAN)]), "background")]
)
def test_nothing_in_a_scene_changes_after_it_was_made(thing, field):
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(thing, field, None)


def test_lists_given_to_a_scene_are_copied_so_that_changing_them_later_does_nothing():
    attributes, subjects, objects = [HAT], [Subject(MAN)], [DOG]
    subject, scene = Subject(MAN, attributes), Scene(subjects, objects)
    for given in (attributes, subjects, objects):
        given.clear()
    assert phrases(subject.references) == ["man", "red hat"]
    assert phrases(scene.references) == ["dog", "man"]


def test_scenes_are_told_apart_by_identity_as_pictures_have_no_single_answer_to_equality():
    assert Scene([Subject(MAN)]) != Scene([Subject(MAN)])
    assert len({MAN, HAT, MAN}) == 2


def test_a_picture_of_bytes_is_refused_before_it_turns_white():
    with pytest.raises(LumosXError, match="uint8.*float in 0..1.*255"):
        Reference("man", torch.full((4, 4, 3), 200, dtype=torch.uint8))


def test_a_missing_package_and_a_broken_one_are_told_apart():
    absent = MissingPackageError("huggingface-hub", "The download", ModuleNotFoundError(name="huggingface_hub"))
    assert f"not installed. Run: {sys.executable} -m pip install huggingface-hub" in str(absent)
    broken = MissingPackageError("diffusers", "The VAE", ModuleNotFoundError("No module named 'x'", name="x"))
    assert "cannot be imported (No module named 'x'). Run: " in str(broken)
    assert str(broken).endswith(" -m pip install --upgrade diffusers")
