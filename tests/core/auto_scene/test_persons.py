"""Boxes and faces joined to persons: hugs, crowds, children, mirrors, posters, and people who lie."""

import pytest

pytest.importorskip("scipy", reason="scipy is not installed")

from lumosx_core.auto_scene.cutouts.regions import Box, Detection, Face
from lumosx_core.auto_scene.owners import name_people
from lumosx_core.auto_scene.persons import people_of

UPRIGHT = ((0.3, 0.4), (0.7, 0.4), (0.5, 0.6), (0.35, 0.8), (0.65, 0.8))


def face(left, top, side=20):
    points = tuple((left + side * x, top + side * y) for x, y in UPRIGHT)
    return Face(Box(left, top, left + side, top + side), 0.9, points)


def found(faces, height=300, width=400, **boxes):
    """Who is seen, for boxes as `word=[(left, top, right, bottom, score), ...]`."""
    detections = {word: [Detection(Box(*box[:4]), box[4]) for box in each] for word, each in boxes.items()}
    return people_of(0, faces, detections, height, width)


def named(words, people):
    return [None if p is None else people[p].face for p in name_people(words, people)]


MAN, WOMAN = face(75, 20), face(110, 30)
HIS, HERS = (40, 5, 130, 250), (58, 10, 146, 250)  # 0.67 of them in common


def hug(*, mirrored=False, **scores):
    faces, boxes = [MAN, WOMAN], {"man": HIS, "woman": HERS}
    if mirrored:
        faces = [face(400 - each.box.right, each.box.top) for each in faces]
        boxes = {word: (400 - box[2], box[1], 400 - box[0], box[3]) for word, box in boxes.items()}
    people = found(faces, **{word: [(*box, scores.get(word, 0.6))] for word, box in boxes.items()})
    return faces, people


@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize("scores", [{}, {"man": 0.9}, {"woman": 0.9}])
def test_people_who_hug_are_two_and_keep_their_faces(mirrored, scores):
    faces, people = hug(mirrored=mirrored, **scores)
    assert Box(*HIS).iou(Box(*HERS)) > 0.6
    assert len(people) == 2
    assert named(["man", "woman"], people) == faces and named(["woman", "man"], people) == faces[::-1]


@pytest.mark.parametrize("shift", [4, 8, 12, 16])
def test_the_closer_the_boxes_the_more_the_faces_tell(shift):
    his, hers = (40, 5, 130, 250), (40 + shift, 5 + shift, 130 + shift, 250)
    man, woman = face(75 - shift // 2, 20), face(78 + shift, 20 + shift)
    assert Box(*his).iou(Box(*hers)) > 0.6
    people = found([man, woman], man=[(*his, 0.6)], woman=[(*hers, 0.7)])
    assert len(people) == 2 and named(["man", "woman"], people) == [man, woman]


def test_boxes_of_several_words_are_still_one_person_each():
    jittered = (43, 3, 133, 252, 0.65), (56, 12, 149, 248, 0.55)
    people = found([MAN, WOMAN], man=[(*HIS, 0.6)], woman=[(*HERS, 0.6)], person=list(jittered))
    assert [(set(one.scores), one.face) for one in people] == [({"man", "person"}, MAN), ({"woman", "person"}, WOMAN)]


def test_one_person_of_two_words_is_one_however_the_boxes_differ():
    people = found([MAN], man=[(*HIS, 0.6)], person=[(*HERS, 0.7)], boy=[(45, 0, 140, 240, 0.3)])
    assert len(people) == 1 and set(people[0].scores) == {"man", "person", "boy"} and people[0].face is MAN


def test_of_three_faces_in_two_boxes_each_box_has_one_and_the_third_is_somebody():
    child = face(95, 90, 16)
    people = found([MAN, WOMAN, child], man=[(*HIS, 0.6)], woman=[(*HERS, 0.6)])
    assert len(people) == 3 and named(["man", "woman"], people) == [MAN, WOMAN]
    assert [one.face for one in people if not one.scores] == [child]


def test_a_child_that_is_carried_has_its_own_face():
    child = face(95, 70, 16)
    people = found([MAN, child], man=[(*HIS, 0.8)], girl=[(80, 60, 125, 150, 0.5)], person=[(*HIS, 0.7)])
    assert len(people) == 2 and named(["man", "girl"], people) == [MAN, child]


@pytest.mark.parametrize("words", [["man", "woman"], ["woman", "man"]])
def test_a_person_behind_a_person_keeps_the_face_above_the_shoulder(words):
    front, behind = face(90, 60), face(92, 22)
    boxes = {"man": [(60, 50, 150, 290, 0.6)], "woman": [(62, 12, 148, 290, 0.7)]}
    assert named(words, found([front, behind], **boxes)) == [{"man": front, "woman": behind}[word] for word in words]


def test_a_mirror_image_is_another_figure_with_its_own_face():
    real, mirrored = face(60, 20), face(240, 24, 18)
    people = found([real, mirrored], man=[(30, 5, 120, 280, 0.8), (205, 10, 290, 280, 0.5)])
    assert [one.face for one in people] == [real, mirrored] and named(["man"], people) == [real]


@pytest.mark.parametrize("place", [(10, 10), (200, 10), (90, 140)])
def test_the_face_of_a_poster_or_of_a_print_is_taken_for_nobody_whom_a_word_means(place):
    people = found([MAN, face(*place, side=14)], man=[(*HIS, 0.7)], person=[(*HIS, 0.6)])
    assert named(["man"], people) == [MAN]


def test_two_boxes_kept_apart_by_a_face_that_belongs_to_somebody_else_are_one_again():
    # The second box of the man fits the woman's face better than his, but she has a box of her own.
    people = found([MAN, WOMAN], man=[(*HIS, 0.8)], person=[(70, 6, 150, 250, 0.6)], woman=[(80, 20, 160, 250, 0.7)])
    assert [one.face for one in people] == [MAN, WOMAN]


@pytest.mark.parametrize("turns", [1, 2, 3])
def test_people_of_a_photo_that_is_turned_are_the_same(turns):
    height, width = 300, 400
    size = (width, height) if turns % 2 else (height, width)
    man, woman = (each.turned(turns, height, width) for each in (MAN, WOMAN))
    boxes = {
        word: [(*_sides(Face(Box(*box)).turned(turns, height, width).box), 0.6)]
        for word, box in {"man": HIS, "woman": HERS}.items()
    }
    people = found([man, woman], *size, **boxes)
    assert man.turns == (-turns) % 4
    assert len(people) == 2 and named(["man", "woman"], people) == [man, woman]


def test_somebody_who_lies_has_the_face_at_the_end_of_the_box():
    lying = MAN.turned(1, 300, 400)
    head = lying.box
    [one] = found([lying], 400, 300, man=[(head.left - 10, head.top - 40, head.left + 200, head.bottom + 40, 0.7)])
    assert one.face is lying
    [alone] = found([lying], 400, 300)
    assert alone.box.width > 2 * alone.box.height


def test_a_crowd_of_forty_is_forty_people():
    faces = [face(30 * i + 5, 10) for i in range(40)]
    boxes = [(30 * i, 0, 30 * i + 30, 200, 0.5) for i in range(40)]
    people = found(faces, 300, 1200, person=boxes, man=boxes)
    assert [one.face for one in people] == faces


def _sides(box):
    return box.left, box.top, box.right, box.bottom
