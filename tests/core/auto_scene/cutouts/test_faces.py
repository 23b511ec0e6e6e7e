"""Order, choice and crop of faces."""

import pytest
import torch

from lumosx_core.auto_scene.cutouts.faces import crop_face, faces_of_masks, order_faces, pick
from lumosx_core.auto_scene.cutouts.regions import Box, Face
from lumosx_core.errors import LumosXError

SMALL, LARGE, RIGHT = Face(Box(50, 0, 60, 10)), Face(Box(10, 5, 40, 45)), Face(Box(90, 0, 110, 25))


def test_faces_are_ordered_from_left_to_right_or_by_size():
    faces = [RIGHT, LARGE, SMALL]
    assert order_faces(faces) == [LARGE, SMALL, RIGHT]
    assert order_faces(faces, "largest first") == [LARGE, RIGHT, SMALL]
    with pytest.raises(LumosXError, match="'by age'.*left to right, largest first"):
        order_faces(faces, "by age")


def test_faces_are_picked_by_number_in_the_order_asked_for():
    assert pick(" 3, 1 ", 3) == [2, 0]
    assert pick("", 3) == [0, 1, 2]


@pytest.mark.parametrize("picks", ["0", "4", "one", "1,,x", "-1", "99999999999"])
def test_a_pick_without_a_face_is_refused(picks):
    with pytest.raises(LumosXError, match="there are 3|is not a number"):
        pick(picks, 3)


def test_the_crop_has_the_margin_of_the_benchmark():
    image = torch.arange(300.0).reshape(300, 1, 1).expand(300, 200, 3)
    crop = crop_face(image, Face(Box(50, 100, 90, 200)))
    assert crop.shape == (120, 40, 3)  # 17 % of 100 pixels above, 3 % below
    assert (crop[0, 0, 0], crop[-1, 0, 0]) == (83, 202)


def test_the_crop_ends_at_the_photographs_edge():
    image = torch.zeros(100, 80, 3)
    assert crop_face(image, Face(Box(-20, -10, 30, 40))).shape == (42, 30, 3)
    assert crop_face(image, Face(Box(70, 90, 130, 170))).shape == (24, 10, 3)
    assert crop_face(image, Face(Box(200, 200, 210, 210))).shape == (1, 1, 3)


def test_parts_of_masks_are_faces():
    pytest.importorskip("scipy", reason="scipy is not installed")
    masks = torch.zeros(2, 100, 100)
    masks[0, 10:40, 10:30] = 1
    masks[0, 50:80, 60:90] = 1
    masks[0, 5, 5] = 1  # a stray pixel
    masks[1, 0:20, 0:20] = 1
    boxes = [face.box for face in faces_of_masks(masks)]
    assert boxes == [Box(10, 10, 30, 40), Box(60, 50, 90, 80), Box(0, 0, 20, 20)]
    assert faces_of_masks(torch.ones(1, 1, 1))[0].box == Box(0, 0, 1, 1)
    with pytest.raises(LumosXError, match="mask of faces is empty"):
        faces_of_masks(torch.zeros(2, 10, 10))
