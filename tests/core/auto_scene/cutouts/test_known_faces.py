"""Known faces removed from garments, and what is worn on a face left alone."""

import pytest
import torch

from lumosx_core.auto_scene.cutouts.known_faces import without_faces
from lumosx_core.auto_scene.cutouts.regions import Box, Face, MaskQuality, Region

FACE = Face(Box(40, 20, 80, 70))
OVAL = 40 * 50 * 3.1416 / 4


def region(*boxes, hard=True):
    mask = torch.zeros(400, 200)
    for box in boxes:
        box.crop(mask)[:] = 1
    return Region(0, 0, mask.bool() if hard else mask)


def removed(garment, wearer=FACE, others=()):
    return garment.area - without_faces(garment, wearer, others).area


@pytest.mark.parametrize("hard", [True, False])
@pytest.mark.parametrize(
    "garment",
    [
        [Box(0, 0, 120, 300)],  # a coat with the whole head
        [Box(20, 15, 100, 380)],  # a dress with the face
        [Box(20, 10, 100, 120)],  # a hood that is up
        [Box(0, 75, 120, 300), Box(40, 20, 80, 70)],  # the face as a part of its own
        [Box(0, 40, 120, 320)],  # a jacket with most of the face
    ],
)
def test_a_face_that_was_taken_for_a_part_of_the_garment_goes(garment, hard):
    garment = region(*garment, hard=hard)
    kept = without_faces(garment, FACE)
    assert removed(garment) > 0.5 * OVAL
    assert float(kept.opacity[45, 60]) == 0 and kept.area > 0 and kept.opacity.dtype == garment.opacity.dtype


@pytest.mark.parametrize(
    "garment",
    [
        Box(42, 30, 78, 42),  # glasses
        Box(42, 45, 78, 72),  # a mask
        Box(35, 0, 85, 30),  # a hat, its brim on the forehead
        Box(30, 60, 90, 100),  # a scarf up to the mouth
        Box(38, 40, 46, 48),  # an earring
        Box(0, 90, 120, 300),  # a shirt that ends below the chin
    ],
)
def test_what_is_worn_on_the_face_or_close_to_it_stays(garment):
    assert removed(region(garment)) == 0


def test_the_chin_is_taken_off_a_garment_that_is_far_below():
    assert 0 < removed(region(Box(0, 62, 120, 380))) < 0.3 * OVAL


def test_what_others_show_of_their_faces_is_no_part_of_a_garment():
    child = Face(Box(60, 150, 90, 190))
    assert removed(region(Box(0, 90, 120, 300)), FACE, [child]) > 900
    assert removed(region(Box(0, 90, 75, 300)), FACE, [child]) > 400


def test_a_garment_that_is_nothing_but_a_face_stays():
    whole = region(Box(45, 25, 75, 65))
    assert without_faces(whole, FACE) is whole


def test_somebody_who_lies_has_the_coat_beside_the_face():
    lying = Face(Box(20, 40, 70, 80), 1.0, ((35, 72), (35, 48), (45, 60), (60, 70), (60, 50)))
    assert lying.turns == 3
    coat = Region(0, 0, torch.ones(120, 380, dtype=torch.bool))
    coat.opacity[:, :60] = False
    assert removed(coat, lying) > 0  # the part of its chin


def test_quality_stays_with_the_region():
    garment = Region(0, 0, torch.ones(300, 120, dtype=torch.bool), MaskQuality(0.9, 0.8))
    assert without_faces(garment, FACE).quality == MaskQuality(0.9, 0.8)
