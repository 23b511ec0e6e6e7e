"""Boxes and regions."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lumosx_core.auto_scene.cutouts.regions import Box, Region, region_of
from lumosx_core.errors import LumosXError

numbers = st.floats(-500, 500)


@given(numbers, numbers, numbers, numbers, st.integers(1, 90), st.integers(1, 90))
def test_any_box_is_brought_into_the_picture_and_keeps_a_pixel(left, top, right, bottom, height, width):
    box = Box(left, top, right, bottom).within(height, width)
    assert 0 <= box.left < box.right <= width and 0 <= box.top < box.bottom <= height
    assert Box(left, top, right, bottom).crop(torch.zeros(height, width)).shape == (box.height, box.width)


def test_shares_and_unions_of_boxes():
    one, other = Box(0, 0, 10, 10), Box(5, 0, 25, 10)
    assert (one.share_in(other), other.share_in(one), one.iou(other)) == (0.5, 0.25, 0.2)
    assert Box(0, 0, 0, 5).share_in(one) == 0 and one.iou(Box(20, 20, 30, 30)) == 0
    assert Box(10, 20, 30, 60).grown(left=0.5, bottom=-0.25) == Box(0, 20, 30, 50)
    assert Box(10, 20, 30, 60).scaled(0.5, 2) == Box(5, 40, 15, 120)


def test_a_mask_becomes_a_region_and_back():
    mask = torch.zeros(30, 40)
    mask[5:9, 7:20] = 0.5
    region = region_of(mask)
    assert region.box == Box(7, 5, 20, 9) and region.area == 26
    assert torch.equal(region.mask(30, 40), mask)


def test_regions_share_pixels_not_boxes():
    triangle = torch.ones(10, 10).tril()
    one, other = Region(0, 0, triangle), Region(0, 0, 1 - triangle)
    assert one.share_in(other) == 0 and other.share_in(one) == 0
    assert Region(5, 0, torch.ones(10, 10)).share_in(Region(0, 0, torch.ones(10, 10))) == 0.5
    assert Region(50, 0, torch.ones(1, 1)).share_in(one) == 0
    assert Region(0, 0, torch.zeros(3, 3)).share_in(one) == 0


def test_a_region_is_cut_out_on_white():
    image = torch.full((20, 20, 3), 0.25)
    opacity = torch.ones(4, 6)
    opacity[0, 0] = 0
    cut = Region(3, 2, opacity).cut_out(image)
    assert cut.shape == (4, 6, 3) and cut[0, 0, 0] == 1 and cut[1, 1, 1] == 0.25


def test_empty_and_misshapen_masks_are_refused():
    with pytest.raises(LumosXError, match="mask is empty"):
        region_of(torch.zeros(4, 4))
    with pytest.raises(LumosXError, match=r"\(1, 4, 4\), expected \(height, width\)"):
        region_of(torch.zeros(1, 4, 4))


def test_a_region_with_a_hard_edge_is_like_the_same_one_in_floats():
    random = torch.Generator().manual_seed(0)
    hard = Region(3, 2, torch.rand(8, 9, generator=random) > 0.4)
    soft = Region(3, 2, hard.opacity.float())
    other = Region(6, 5, torch.rand(8, 9, generator=random))
    image = torch.rand(20, 20, 3, generator=random)
    assert hard.area == soft.area > 0 and hard.box == soft.box
    assert hard.share_in(other) == pytest.approx(soft.share_in(other))
    assert other.share_in(hard) == pytest.approx(other.share_in(soft))
    assert hard.share_in(hard) == 1
    assert torch.equal(hard.solid, soft.solid)
    for one, same in ((hard.mask(20, 20), soft.mask(20, 20)), (hard.cut_out(image), soft.cut_out(image))):
        assert one.dtype == torch.float32 and torch.equal(one, same)


def test_a_region_is_solid_from_a_half_on():
    assert Region(0, 0, torch.tensor([[0.0, 0.49, 0.5, 1.0]])).solid.tolist() == [[False, False, True, True]]


def test_a_hard_mask_becomes_a_region():
    region = region_of(torch.eye(4) > 0)
    assert region.opacity.dtype == torch.float32 and region.area == 4
