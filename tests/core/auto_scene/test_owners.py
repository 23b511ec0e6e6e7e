"""Matching of people to words, and of things to owners, with given boxes and regions."""

import pytest
import torch

from lumosx_core.auto_scene.cutouts.regions import Box, Detection, Face, Region
from lumosx_core.auto_scene.instances import Instance
from lumosx_core.auto_scene.owners import Claim, name_people, settle_claims
from lumosx_core.auto_scene.persons import Person, people_of

pytest.importorskip("scipy", reason="scipy is not installed")


def person(left, right, face=True, photo=0, region=True, **scores):
    box = Box(left, 0, right, 100)
    return Person(
        photo,
        box,
        Face(Box(left + 10, 5, left + 30, 30)) if face else None,
        scores,
        Region(left, 0, torch.ones(100, right - left)) if region else None,
    )


def thing(phrase, left, top, right, bottom, score=0.5):
    return Instance(
        phrase,
        Box(left, top, right, bottom),
        score,
        Region(left, top, torch.ones(bottom - top, right - left)),
    )


def settled(claims, people):
    return {key: instance.box.left for key, instance in settle_claims(claims, people).items()}


# People of one photo


def test_boxes_found_for_two_words_are_one_person_with_both_scores():
    found = people_of(
        0, [], {"man": [Detection(Box(0, 0, 50, 100), 0.7)], "person": [Detection(Box(1, 0, 50, 98), 0.9)]}, 100, 200
    )
    assert [one.scores for one in found] == [{"person": 0.9, "man": 0.7}]


def test_each_face_goes_to_the_person_in_whose_box_it_lies_highest():
    people = {"person": [Detection(Box(0, 0, 60, 100), 0.9), Detection(Box(40, 10, 110, 100), 0.8)]}
    faces = [Face(Box(60, 15, 85, 40)), Face(Box(15, 5, 40, 30))]
    found = people_of(0, faces, people, 100, 200)
    assert [(one.box.left, one.face.box.left) for one in found] == [(0, 15), (40, 60)]


def test_a_face_in_the_lower_half_of_a_box_is_not_that_persons():
    found = people_of(0, [Face(Box(20, 60, 40, 85))], {"person": [Detection(Box(0, 0, 60, 100), 0.9)]}, 300, 200)
    assert [(one.scores, one.face is not None) for one in found] == [({"person": 0.9}, False), ({}, True)]


def test_a_face_without_a_box_gets_the_figure_around_it_within_the_photo():
    [found] = people_of(0, [Face(Box(90, 10, 110, 40))], {}, 120, 200)
    assert found.box == Box(66, 0, 134, 120)
    assert found.face.box.left == 90


def test_two_faces_never_share_a_person():
    faces = [Face(Box(10, 5, 30, 30)), Face(Box(12, 6, 32, 31))]
    found = people_of(0, faces, {"man": [Detection(Box(0, 0, 50, 100), 0.9)]}, 100, 100)
    assert len(found) == 2 and all(one.face for one in found)


# Names


def test_words_go_to_the_people_whom_they_fit_best_whatever_their_order():
    people = [person(0, 50, woman=0.8, man=0.3), person(100, 150, man=0.7, woman=0.4)]
    assert name_people(["man", "woman"], people) == [1, 0]


def test_the_sum_of_scores_decides_not_the_single_best():
    people = [person(0, 50, man=0.9, woman=0.8), person(100, 150, man=0.85, woman=0.1)]
    assert name_people(["man", "woman"], people) == [1, 0]


def test_equal_people_are_named_from_left_to_right():
    people = [person(0, 50), person(60, 100), person(120, 160)]
    assert name_people(["man", "woman", "girl"], people) == [0, 1, 2]


def test_numbers_of_one_word_count_from_left_to_right():
    people = [person(0, 50, man=0.5), person(60, 100, man=0.9), person(120, 160, man=0.7)]
    assert name_people(["man#1", "man#2"], people) == [1, 2]


def test_numbers_count_from_left_to_right_behind_somebody_of_another_word():
    people = [person(0, 40, woman=0.6), person(60, 100, man=0.6), person(120, 160, man=0.6), person(180, 220, man=0.6)]
    assert name_people(["man#1", "man#2", "man#3", "woman"], people) == [1, 2, 3, 0]


def test_of_people_who_fit_equally_the_first_ones_are_meant():
    people = [person(60 * i, 60 * i + 40, man=0.5, woman=0.5) for i in range(5)]
    assert name_people(["man", "woman", "man#2"], people) == [0, 1, 2]
    assert name_people(["man", "woman"], [person(0, 40), *people]) == [1, 2]
    hidden = [person(0, 40, face=False), person(60, 100, face=False, man=0.5, woman=0.5)]
    assert name_people(["man", "woman"], hidden) == [0, 1]


def test_people_of_three_with_one_bystander():
    people = [person(0, 50, man=0.8), person(60, 100), person(120, 160, woman=0.6)]
    assert name_people(["man", "woman"], people) == [0, 2]


def test_somebody_who_shows_a_face_is_rather_meant_unless_the_word_fits_another_much_better():
    hidden, seen = person(0, 50, face=False, man=0.6), person(60, 100, man=0.4)
    assert name_people(["man"], [hidden, seen]) == [1]
    assert name_people(["man"], [person(0, 50, face=False, man=0.8), seen]) == [0]


def test_words_without_anybody_left_mean_nobody():
    assert name_people(["man", "woman"], [person(0, 50, man=0.3, woman=0.5)]) == [None, 0]
    assert name_people(["man#1", "man#2"], [person(0, 50)]) == [0, None]
    assert name_people(["", "girl"], []) == [None, None]
    assert name_people([], [person(0, 50)]) == []


# Clothes


def test_a_garment_in_the_wrong_persons_figure_is_not_taken():
    people = [person(0, 60), person(50, 110)]
    theirs = thing("jacket", 65, 40, 105, 80, score=0.9)
    mine = thing("jacket", 5, 40, 45, 80, score=0.3)
    assert settled([Claim(0, 0, theirs), Claim(0, 0, mine)], people) == {(0, 0): 5}
    assert settled([Claim(0, 0, theirs)], people) == {}


def test_identical_garments_of_people_who_overlap_go_to_one_each():
    people = [person(0, 60, region=False), person(40, 100, region=False)]
    left, right = thing("white shirt", 5, 40, 45, 80, 0.6), thing("white shirt", 55, 40, 95, 80, 0.8)
    claims = [Claim(0, 0, right), Claim(0, 0, left), Claim(1, 0, right), Claim(1, 0, left)]
    assert settled(claims, people) == {(0, 0): 5, (1, 0): 55}


def test_one_thing_seen_in_two_boxes_goes_to_the_person_in_whose_figure_it_lies():
    people = [person(0, 60), person(40, 100)]
    people[0] = Person(0, people[0].box, None, {}, Region(0, 0, torch.ones(100, 53)))
    part, whole = thing("bag", 46, 60, 60, 80, 0.9), thing("bag", 46, 60, 80, 80, 0.7)
    assert settled([Claim(0, 0, part), Claim(1, 0, whole)], people) == {(1, 0): 46}


def test_what_lies_more_in_ones_own_figure_is_preferred_to_a_higher_score():
    people = [person(0, 60), person(50, 110)]
    shared, own = thing("bag", 50, 60, 66, 80, 0.9), thing("bag", 5, 60, 20, 80, 0.7)
    assert settled([Claim(0, 0, shared), Claim(0, 0, own)], people) == {(0, 0): 5}


def test_what_lies_mostly_in_somebody_elses_figure_is_theirs_whether_they_claim_it_or_not():
    people = [person(0, 52), person(50, 110)]
    assert settled([Claim(0, 0, thing("bag", 48, 60, 68, 80, 0.9))], people) == {}
    assert settled([Claim(0, 0, thing("bag", 44, 60, 56, 80, 0.9))], people) == {(0, 0): 44}


def test_a_thing_outside_of_every_figure_may_be_carried():
    people = [person(0, 60), person(100, 160)]
    assert settled([Claim(0, 0, thing("umbrella", 62, 10, 90, 60))], people) == {(0, 0): 62}


def test_two_attributes_of_a_person_take_different_things_where_there_are_two():
    people = [person(0, 60)]
    big, small = thing("jacket", 5, 30, 55, 80, 0.9), thing("shirt", 25, 30, 35, 60, 0.4)
    claims = [Claim(0, 0, big), Claim(0, 1, thing("shirt", 5, 30, 55, 80, 0.8)), Claim(0, 1, small)]
    assert settled(claims, people) == {(0, 0): 5, (0, 1): 25}
    assert settled(claims[:2], people) == {(0, 0): 5, (0, 1): 5}  # a suit that is a jacket, too


def test_a_small_thing_within_a_large_one_is_another_thing():
    people = [person(0, 60)]
    claims = [
        Claim(0, 0, thing("shirt", 5, 30, 55, 80, 0.9)),
        Claim(0, 1, thing("necklace", 25, 32, 35, 40, 0.5)),
        Claim(0, 1, thing("necklace", 5, 85, 15, 95, 0.2)),
    ]
    assert settled(claims, people) == {(0, 0): 5, (0, 1): 25}


def test_three_people_each_keep_their_own():
    people = [person(0, 60), person(50, 110), person(100, 160)]
    shirts = [thing("shirt", left, 40, left + 30, 80, score) for left, score in ((10, 0.4), (65, 0.9), (120, 0.6))]
    claims = [Claim(p, 0, shirt) for p in range(3) for shirt in shirts]
    assert settled(claims, people) == {(0, 0): 10, (1, 0): 65, (2, 0): 120}
