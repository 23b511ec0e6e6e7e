"""Who is who in three frames, and which things are certainly whose."""

from __future__ import annotations

import pytest
import torch

pytest.importorskip("scipy", reason="scipy is not installed")

from lumosx_core.auto_scene.cutouts.regions import Box, Face, Region
from lumosx_core.auto_scene.instances import Instance
from lumosx_core.auto_scene.persons import Person
from lumosx_training.prepare.ownership import attribute_problem, face_problem, object_problem
from lumosx_training.prepare.scene_settings import PeopleSettings, ReferenceSettings
from lumosx_training.prepare.tracks import Sighting, sighting_of, tracks_from_json, tracks_of, tracks_to_json

SETTINGS, RULES = PeopleSettings(min_side=20), ReferenceSettings()
FRAMES = [2, 20, 38]
COLOURS = {"red": (1.0, 0.1, 0.1), "blue": (0.1, 0.1, 1.0), "green": (0.1, 1.0, 0.1)}


class Colours:
    """Faces are the same person's if they have the same colour."""

    note = None

    def embed(self, images):
        return torch.stack([torch.nn.functional.normalize(image.mean((0, 1)) - 0.4, dim=0) for image in images])


def scene(*people):
    """An image of 100 x 300 with faces at these places, and the sightings."""
    image = torch.full((100, 300, 3), 0.4)
    sightings = []
    for left, colour in people:
        face = Box(left + 10, 10, left + 30, 30)
        face.crop(image)[:] = torch.tensor(COLOURS[colour])
        sightings.append(Sighting(Box(left, 5, left + 40, 95), 0.9, Face(face, 0.9), True))
    return image, sightings


def linked(*frames, identity=None):
    images, sightings = zip(*frames, strict=True)
    return tracks_of(FRAMES, images, sightings, identity, SETTINGS)


def lefts(track):
    return {frame: each.box.left for frame, each in track.items()}


def test_people_who_change_places_are_followed_by_their_faces_and_not_by_their_boxes():
    frames = scene((0, "red"), (200, "blue")), scene((20, "red"), (180, "blue")), scene((20, "blue"), (190, "red"))
    by_face = [lefts(track) for track in linked(*frames, identity=Colours())]
    assert by_face == [{2: 0, 20: 20, 38: 190}, {2: 200, 20: 180, 38: 20}]
    by_box = [lefts(track) for track in linked(*frames)]
    assert by_box == [{2: 0, 20: 20, 38: 20}, {2: 200, 20: 180, 38: 190}]


def test_another_person_in_the_same_place_is_not_linked():
    frames = scene((0, "red")), scene((0, "blue")), scene((5, "blue"), (200, "green"))
    tracks = [lefts(track) for track in linked(*frames, identity=Colours())]
    assert tracks == [{20: 0, 38: 5}, {2: 0}, {38: 200}]


def test_each_person_is_linked_once_so_that_all_together_fit_best():
    """By itself the left one fits the box between them best; then nothing would be left for the right one."""
    one = scene((0, "red"))[0]
    boxes = [Sighting(Box(left, 0, left + 100, 100), 0.9, None, False) for left in (0, 60)]
    later = [Sighting(Box(left, 0, left + 100, 100), 0.9, None, False) for left in (30, 125)]
    tracks = tracks_of(FRAMES, [one] * 3, [boxes, boxes, later], None, SETTINGS)
    assert [lefts(track) for track in tracks] == [{2: 0, 20: 0, 38: 30}, {2: 60, 20: 60, 38: 125}]


def test_one_frame_three_times_is_one_sighting():
    image, sightings = scene((0, "red"))
    assert [lefts(t) for t in tracks_of([0, 0, 0], [image] * 3, [sightings] * 3, None, SETTINGS)] == [{0: 0}]


@pytest.mark.parametrize(
    ("box", "score", "usable"),
    [
        (Box(0, 0, 60, 90), 0.7, True),
        (Box(0, 0, 60, 90), 0.6, False),  # the face is not certain
        (Box(0, 0, 19, 90), 0.9, False),  # narrow
        (Box(0, 0, 30, 30), 0.9, False),  # less than 4 % of the image
        (Box(0, 0, 300, 95), 0.9, False),  # more than 90 %
    ],
)
def test_only_people_of_a_usable_size_with_a_face_count(box, score, usable):
    person = Person(0, box, Face(Box(5, 5, 15, 15), score), {"person": 0.8})
    assert sighting_of(person, 100, 300, SETTINGS).usable is usable


def test_tracks_survive_being_written():
    face = Face(Box(1.25, 2, 3, 4.5), 0.75, ((1.0, 2.0),) * 5)
    tracks = [{2: Sighting(Box(0, 0, 5, 9), 0.5, face, True), 20: Sighting(Box(1, 0, 5, 9), None, None, False)}]
    assert tracks_from_json(tracks_to_json(tracks)) == tracks


# Owners


def region(left, top, right, bottom) -> Region:
    return Region(left, top, torch.ones(bottom - top, right - left, dtype=torch.bool))


def person(left, right) -> Person:
    return Person(0, Box(left, 0, right, 100), Face(Box(left, 0, left + 20, 20), 0.9), {}, region(left, 0, right, 100))


def thing(*box) -> Instance:
    return Instance("shirt", Box(*box), 0.8, region(*box))


PEOPLE = [person(0, 50), person(60, 110)]


def test_what_is_inside_the_owner_is_theirs():
    assert attribute_problem(region(10, 30, 40, 60), [thing(10, 30, 40, 60)], 0, PEOPLE, RULES) == ""
    assert face_problem(Face(Box(10, 5, 30, 30)), 0, PEOPLE, RULES) == ""
    assert "inside the owner" in attribute_problem(region(10, 30, 40, 60), [], 1, PEOPLE, RULES)
    assert "inside the owner" in face_problem(Face(Box(10, 5, 30, 30)), 1, PEOPLE, RULES)


def test_four_fifths_must_be_inside():
    assert attribute_problem(region(10, 30, 59, 60), [], 0, PEOPLE, RULES) == ""  # 40 of 49 pixels
    assert "80%" in attribute_problem(region(10, 30, 61, 60), [], 0, PEOPLE, RULES)  # 40 of 51


def test_what_is_as_much_inside_somebody_else_is_nobodys():
    close = [person(0, 50), person(4, 54)]
    assert "somebody else" in attribute_problem(region(2, 30, 42, 60), [], 0, close, RULES)
    assert attribute_problem(region(0, 30, 42, 60), [], 0, close, ReferenceSettings(min_lead=0.05)) == ""


def test_words_that_fit_several_regions_of_one_person_are_left_out():
    two = [thing(10, 30, 40, 50), thing(10, 60, 40, 80), thing(70, 30, 90, 50)]
    assert "2 regions" in attribute_problem(region(10, 30, 40, 50), two, 0, PEOPLE, RULES)
    same = [thing(10, 30, 40, 50), thing(11, 30, 40, 51), thing(70, 30, 90, 50)]  # the last one is somebody else's
    assert attribute_problem(region(10, 30, 40, 50), same, 0, PEOPLE, RULES) == ""


def test_an_object_that_somebody_holds_is_none():
    assert "inside a person" in object_problem(region(10, 30, 40, 50), [], PEOPLE, RULES)
    free = thing(120, 30, 140, 50)
    assert object_problem(free.region, [free, thing(10, 30, 40, 50)], PEOPLE, RULES) == ""
    assert "2 regions" in object_problem(free.region, [free, thing(160, 30, 180, 50)], PEOPLE, RULES)
