"""Findings drawn over their photo."""

import numpy as np
import pytest
import torch
from PIL import ImageColor

from lumosx_core.auto_scene.annotations import Mark, draw_findings
from lumosx_core.auto_scene.cutouts.regions import Box, Region
from lumosx_core.drawing.contact_sheet import COLOURS, PAGE, WARNING

GREY = 128
BLUE, ORANGE, GREEN = COLOURS[:3]


def photo(height: int = 600, width: int = 800) -> torch.Tensor:
    return torch.full((height, width, 3), GREY / 255)


def drawn(marks, image=None) -> np.ndarray:
    return np.asarray(draw_findings(photo() if image is None else image, marks)).astype(int)


def is_colour(picture: np.ndarray, colour: str) -> np.ndarray:
    return (picture == ImageColor.getrgb(colour)).all(axis=-1)


def tag_area(picture: np.ndarray, colour: str) -> int:
    return int(is_colour(picture, colour).sum())


def disc(radius: int) -> torch.Tensor:
    place = torch.arange(2 * radius + 1) - radius
    return (place[:, None] ** 2 + place**2 <= radius**2).float()


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        ((600, 800), (800, 600)),
        ((1500, 2000), (1280, 960)),
        ((400, 300), (480, 640)),
        ((200, 100), (200, 400)),
        ((2, 4000), (1280, 1)),
    ],
)
def test_the_drawing_is_neither_huge_nor_tiny(size, expected):
    assert draw_findings(photo(*size), []).size == expected


def test_without_marks_the_photograph_is_seen_alone():
    assert (drawn([]) == GREY).all()


def test_a_mask_is_tinted_inside_its_contour_and_nowhere_else():
    picture = drawn([Mark("", BLUE, region=Region(300, 200, disc(100)))])
    tint = 0.58 * GREY + 0.42 * np.array(ImageColor.getrgb(BLUE))
    assert np.abs(picture[230, 400] - tint).max() <= 2
    assert is_colour(picture, BLUE)[300, 302]  # the contour
    assert is_colour(picture, PAGE)[300, 299]  # its dark rim
    assert (picture[190] == GREY).all()
    assert (picture[:, 290] == GREY).all()


def test_the_contour_closes_where_the_region_ends_with_its_rectangle():
    contour = is_colour(drawn([Mark("", BLUE, region=Region(300, 200, torch.ones(100, 120)))]), BLUE)
    assert contour[200, 305:415].all() and contour[299, 305:415].all()
    assert contour[205:295, 300].all() and contour[205:295, 419].all()


def test_a_small_mask_lies_over_a_large_one_in_whatever_order_they_come():
    small = Mark("", BLUE, region=Region(320, 230, disc(20)))
    large = Mark("", ORANGE, region=Region(300, 200, disc(100)))
    alone = tag_area(drawn([small]), BLUE)
    assert tag_area(drawn([small, large]), BLUE) == tag_area(drawn([large, small]), BLUE) == alone


def test_a_box_has_its_outline_where_it_is():
    picture = drawn([Mark("", BLUE, box=Box(300, 200, 500, 400))])
    outline = is_colour(picture, BLUE)
    assert outline[200, 310:490].all() and outline[399, 310:490].all()
    assert outline[210:390, 300].all() and outline[210:390, 499].all()
    assert (picture[220:380, 320:480] == GREY).all()


def test_marks_are_scaled_with_the_photo():
    marks = [Mark("", BLUE, box=Box(750, 500, 1250, 1000), region=Region(1500, 500, torch.ones(250, 250)))]
    outline = is_colour(drawn(marks, photo(1500, 2000)), BLUE)
    assert outline[320, 500:780].all() and outline[639, 500:780].all()
    assert outline[320, 970:1110].all() and outline[479, 970:1110].all()


def test_a_box_beyond_the_photograph_is_drawn_along_its_edge():
    outline = is_colour(drawn([Mark("", BLUE, box=Box(-50, -20, 200, 300))]), BLUE)
    assert outline[0, 30:190].all()
    assert outline[30:290, 0].all()


def test_a_tag_is_filled_with_its_colour_and_its_text_is_readable():
    for colour, text in ((BLUE, PAGE), ("#102040", "#FFFFFF")):
        picture = drawn([Mark("denim jacket", colour, box=Box(300, 200, 500, 400))])
        tag = picture[170:200]
        assert is_colour(tag, colour).sum() > 1500
        assert is_colour(tag, text).sum() > 50


def test_a_note_is_written_in_the_colour_of_warnings():
    mark = Mark("denim jacket", BLUE, box=Box(300, 200, 500, 400))
    assert not is_colour(drawn([mark]), WARNING).any()
    noted = Mark(mark.label, BLUE, mark.box, note="small")
    assert is_colour(drawn([noted]), WARNING).sum() > 20


@pytest.mark.parametrize("place", [(0, 0), (700, 0), (0, 500), (700, 500)])
def test_a_tag_stays_inside_the_picture(place):
    x, y = place
    middle = tag_area(drawn([Mark("a rather long label", BLUE, box=Box(350, 250, 450, 350))]), BLUE)
    corner = tag_area(drawn([Mark("a rather long label", BLUE, box=Box(x, y, x + 100, y + 100))]), BLUE)
    assert corner == middle


def test_tags_of_things_at_one_place_do_not_cover_each_other():
    box = Box(300, 200, 500, 400)
    alone = [tag_area(drawn([Mark("light brown sweater", colour, box=box)]), colour) for colour in COLOURS]
    outline = tag_area(drawn([Mark("", COLOURS[-1], box=box)]), COLOURS[-1])
    picture = drawn([Mark("light brown sweater", colour, box=box) for colour in COLOURS])
    # The last outline lies over the others; of each tag at least what is beside the outline is seen.
    assert min(tag_area(picture, colour) for colour in COLOURS) > min(alone) - outline


def test_a_tag_lies_at_its_box_wherever_that_is():
    for x, y in ((0, 0), (350, 250), (700, 500), (20, 480)):
        picture = drawn([Mark("face", BLUE, box=Box(x, y, x + 90, y + 90))])
        rows, columns = is_colour(picture, BLUE).nonzero()
        assert rows.min() > y - 30 and rows.max() < y + 120
        assert columns.min() > x - 30 and columns.max() < x + 120


def test_a_tag_does_not_cover_the_face_it_is_of():
    picture = drawn([Mark("face", BLUE, box=Box(300, 200, 400, 300))])
    assert (picture[210:290, 310:390] == GREY).all()


def test_a_tag_lies_on_its_mask_though_the_middle_is_empty():
    ring = disc(150)
    ring[40:261, 40:261] *= 1 - disc(110)
    region = Region(200, 100, ring)
    tag = is_colour(drawn([Mark("scarf", BLUE, region=region)]), BLUE) & ~is_colour(
        drawn([Mark("", BLUE, region=region)]), BLUE
    )
    rows, columns = tag.nonzero()
    distance = np.hypot(columns - 350, rows - 250)
    assert ((distance > 110) & (distance < 150)).sum() > 300


def test_a_line_leads_from_a_tag_to_its_mask_where_there_is_no_room():
    faces = [Mark("", ORANGE, box=Box(x, y, x + 25, y + 15)) for x in range(250, 550, 40) for y in range(220, 380, 25)]
    cap = Mark("cap", GREEN, region=Region(390, 290, torch.ones(20, 20)))
    contour = 20**2 - 14**2
    assert tag_area(drawn([*faces, cap]), GREEN) > tag_area(drawn([Mark("cap", GREEN)]), GREEN) + contour + 100


def test_a_mark_that_was_found_nowhere_is_told_in_the_corner():
    picture = drawn([Mark("scarf", BLUE, note="not found")])
    assert is_colour(picture, BLUE)[:30, :100].sum() > 500
    assert (picture[60:] == GREY).all()


def test_a_label_longer_than_the_picture_ends_in_an_ellipsis():
    tag = drawn([Mark("very " * 100 + "long", BLUE, box=Box(300, 200, 500, 400))])[177:200]
    assert is_colour(tag, BLUE)[0].sum() > 750
    ink = tag.sum(axis=-1) < 350
    end = ink.any(axis=0).nonzero()[0].max()
    assert 770 < end < 796
    assert not ink[:14, end - 9 :].any()  # only dots, at the foot of the line


def test_a_label_is_one_line():
    box = Box(300, 200, 500, 400)
    assert (drawn([Mark("denim \n jacket", BLUE, box=box)]) == drawn([Mark("denim jacket", BLUE, box=box)])).all()


def test_marks_beyond_the_sixtieth_are_counted():
    marks = [Mark("", BLUE, box=Box(10 * i, 100, 10 * i + 8, 300)) for i in range(60)]
    full = drawn(marks)
    assert full.shape == (600, 800, 3)
    more = drawn([*marks, Mark("", ORANGE, box=Box(650, 400, 750, 500))])
    assert more.shape == (630, 800, 3)
    assert (more[:600] == full).all()
    assert not is_colour(more, ORANGE).any()


def test_the_same_marks_give_the_same_drawing():
    marks = [Mark(f"thing {i}", COLOURS[i % 7], box=Box(40 * i, 90, 40 * i + 70, 300), note="small") for i in range(12)]
    assert (drawn(marks) == drawn(marks)).all()


def test_a_hard_region_is_drawn_like_the_same_one_in_floats():
    soft = Mark("coat", BLUE, region=Region(300, 200, disc(100)))
    hard = Mark("coat", BLUE, region=Region(300, 200, disc(100) > 0))
    for image in (photo(), photo(1500, 2000)):
        assert (drawn([hard], image) == drawn([soft], image)).all()
