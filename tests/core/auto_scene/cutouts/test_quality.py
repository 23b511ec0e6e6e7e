"""The sentences that warn an artist of a poor reference."""

import math

import pytest
import torch

from lumosx_core.auto_scene.cutouts.quality import cut_out_warnings, face_warnings
from lumosx_core.auto_scene.cutouts.regions import Box, Face, MaskQuality, Region

SIZE = (1000, 800)  # of the photo, height and width


def of_region(region: Region, size=SIZE) -> list[str]:
    return cut_out_warnings("jacket", torch.ones(*region.opacity.shape, 3), region, size)


def turned(degrees: float, tilted: float = 0.0) -> tuple[tuple[float, float], ...]:
    """Landmarks of a head 100 pixels wide that turns, its nose 27 mm before eyes that are 62 mm apart."""
    angle, tilt = math.radians(degrees), math.radians(tilted)
    eye = 31 * math.cos(angle)
    flat = [(-eye, 0.0), (eye, 0.0), (27 * math.sin(angle), 30.0), (-eye / 2, 60.0), (eye / 2, 60.0)]
    cos, sin = math.cos(tilt), math.sin(tilt)
    return tuple((400 + x * cos - y * sin, 400 + x * sin + y * cos) for x, y in flat)


def of_face(box=Box(300, 300, 500, 520), **options) -> list[str]:  # noqa: B008
    return face_warnings('face of "man"', Face(box, **options), SIZE)


def test_a_good_cut_out_is_not_commented():
    assert of_region(Region(100, 100, torch.ones(300, 200))) == []
    assert cut_out_warnings("jacket", torch.ones(112, 20, 3)) == []


def test_a_cut_out_below_112_pixels_is_told_with_both_numbers_and_the_mend():
    (sentence,) = cut_out_warnings("jacket", torch.ones(60, 111, 3))
    assert sentence == (
        "jacket: the cutout is 111 x 60 pixels, its long side 111; the model never saw less than 112. "
        "Use a larger photo or a closer shot."
    )


@pytest.mark.parametrize(
    ("side", "left", "top"), [("left", 0, 100), ("top", 100, 0), ("right", 600, 100), ("bottom", 100, 700)]
)
def test_each_edge_of_the_photograph_can_cut(side, left, top):
    opacity = torch.ones(300, 200)
    (sentence,) = of_region(Region(left, top, opacity))
    assert sentence.startswith(f"jacket: the {side} edge of the photo cuts it over 100% of its side")
    assert "less than 25%" in sentence
    assert "Use a photo that shows it whole" in sentence


@pytest.mark.parametrize(("turns", "side"), [(0, "left"), (1, "bottom"), (2, "right"), (3, "top")])
def test_a_region_that_touches_the_edge_with_a_sleeve_is_whole(turns, side):
    def touching(pixels: int) -> list[str]:
        opacity = torch.zeros(300, 300)
        opacity[:, 20:] = 1
        opacity[100 : 100 + pixels, :20] = 1
        place = {"left": (0, 100), "top": (100, 0), "right": (500, 100), "bottom": (100, 700)}[side]
        return of_region(Region(*place, opacity.rot90(turns)))

    assert touching(70) == []
    (sentence,) = touching(80)
    assert f"the {side} edge of the photo cuts it over 27%" in sentence


def test_a_region_that_ends_just_before_the_edge_is_cut_by_it():
    assert "left edge" in of_region(Region(5, 100, torch.ones(300, 200)))[0]  # 0.5 % of 1000
    assert of_region(Region(6, 100, torch.ones(300, 200))) == []
    small = (200, 200)
    assert "left edge" in of_region(Region(3, 10, torch.ones(150, 120)), small)[0]
    assert of_region(Region(4, 10, torch.ones(150, 120)), small) == []


def test_a_soft_end_at_the_edge_is_an_end():
    opacity = torch.ones(300, 200)
    opacity[-2:] = torch.tensor([[0.6], [0.3]])
    assert "bottom edge" in of_region(Region(100, 700, opacity))[0]


def test_without_the_size_of_the_photograph_nothing_is_said_about_its_edge():
    assert of_region(Region(0, 0, torch.ones(300, 200)), None) == []


def test_a_region_with_almost_nothing_in_it_is_told():
    opacity = torch.zeros(200, 200)
    opacity[:, :8] = 1
    (sentence,) = of_region(Region(100, 100, opacity))
    assert sentence.startswith("jacket: almost nothing is left, 4.0% of the cutout's rectangle; expected 5% or more.")
    assert "Draw a box closer around it" in sentence
    opacity[:, :11] = 1
    assert of_region(Region(100, 100, opacity)) == []


def test_a_good_face_is_not_commented():
    assert of_face() == []
    assert of_face(score=0.6, landmarks=turned(0)) == []


def test_a_doubtful_face_is_told_with_its_score():
    (sentence,) = of_face(score=0.59)
    assert sentence.startswith('face of "man": may be no face, its score is 0.59; expected 0.6 or more.')
    assert "choose another face or draw its box" in sentence


def test_a_small_face_is_told():
    (sentence,) = of_face(Box(300, 300, 380, 411))
    assert "is 80 x 111 pixels, its long side 111; the model never saw less than 112" in sentence
    assert of_face(Box(300, 300, 380, 412)) == []


@pytest.mark.parametrize(
    ("box", "sides"),
    [
        (Box(0, 300, 200, 500), "left"),
        (Box(-8.5, 300, 200, 500), "left"),
        (Box(300, -3, 500, 200), "top"),
        (Box(600, 300, 800, 500), "right"),
        (Box(300, 800, 500, 1001), "bottom"),
        (Box(0, 0, 200, 200), "left and top"),
    ],
)
def test_a_face_at_the_edge_or_beyond_is_cut(box, sides):
    (sentence,) = of_face(box)
    assert f"is cut by the {sides} edge of the photo; expected a whole face" in sentence


def test_a_face_near_the_edge_is_whole():
    assert of_face(Box(1, 1, 799, 999)) == []


@pytest.mark.parametrize("tilted", [0, 30, -45])
@pytest.mark.parametrize("direction", [1, -1])
def test_a_face_is_turned_away_from_about_43_degrees_on_however_tilted(direction, tilted):
    assert of_face(landmarks=turned(direction * 41, tilted)) == []
    (sentence,) = of_face(landmarks=turned(direction * 45, tilted))
    assert sentence == (
        'face of "man": is turned too far to the side (about 45 degrees or more; expected less than 43). Use a '
        "photo that shows the face more from the front."
    )


def test_a_profile_whose_eyes_lie_at_one_point_is_turned_away():
    profile = ((1.0, 1.0), (1.0, 1.0), (5.0, 3.0), (2.0, 6.0), (2.0, 6.0))
    assert "(about 90 degrees or more;" in of_face(landmarks=profile)[0]


@pytest.mark.parametrize(
    "landmarks",
    [
        (),
        turned(80)[:3],
        turned(80) * 2,
        tuple((*point, 1.0) for point in turned(80)),
        ((math.nan, math.nan), *turned(80)[1:]),
        (*turned(80)[:4], (0.0, math.inf)),
    ],
)
def test_of_landmarks_that_are_not_five_points_nothing_is_said(landmarks):
    assert of_face(landmarks=landmarks) == []


def test_a_hard_mask_is_judged_like_a_soft_one():
    opacity = torch.zeros(200, 200)
    opacity[:, :8] = 1
    hard, soft = (of_region(Region(0, 100, each)) for each in (opacity > 0, opacity))
    assert hard == soft and len(hard) == 2


def test_all_that_is_wrong_is_said():
    assert len(of_face(Box(0, 0, 50, 60), score=0.2, landmarks=turned(80))) == 4
    opacity = torch.zeros(100, 100)
    opacity[:, 0] = 1
    assert len(of_region(Region(0, 100, opacity))) == 3


@pytest.mark.parametrize(("tilted", "state"), [(90, "lies on its side"), (-90, "lies on its side"), (180, "is upside")])
def test_a_face_that_lies_is_warned_of(tilted, state):
    (sentence,) = of_face(landmarks=turned(0, tilted))
    assert state in sentence and "turn it first" in sentence


@pytest.mark.parametrize(
    ("stability", "warned"), [(0.0, True), (0.87, True), (0.88, False), (1.0, False), (None, False)]
)
def test_an_unstable_mask_is_warned_of(stability, warned):
    quality = None if stability is None else MaskQuality(0.9, stability)
    region = Region(20, 20, torch.ones(300, 200), quality)
    sentences = cut_out_warnings("lamp", torch.ones(300, 200, 3), region, (800, 800))
    assert [f"stability is {stability:.2f}" in sentence for sentence in sentences] == [True] * warned


@pytest.mark.parametrize("size", [120, 300, 800])
@pytest.mark.parametrize(("cells", "warned"), [(60, False), (4, True)])
def test_a_face_without_detail_is_called_blurred(size, cells, warned):
    generator = torch.Generator().manual_seed(0)
    noise = torch.rand(1, 3, cells, cells, generator=generator)
    image = torch.nn.functional.interpolate(noise, size=(size, size), mode="bicubic")[0].permute(1, 2, 0).clamp(0, 1)
    sentences = face_warnings("face", Face(Box(1, 1, size - 1, size - 1)), (size, size), image)
    assert ["blurred" in sentence for sentence in sentences] == [True] * warned
