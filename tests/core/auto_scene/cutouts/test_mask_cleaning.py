"""Masks cleaned for cutting out: crumbs, pinholes, halo and edge."""

import sys

import pytest
import torch

ndimage = pytest.importorskip("scipy.ndimage")

from lumosx_core.auto_scene.cutouts.mask_cleaning import MAX_FEATHER, check_feather, clean  # noqa: E402
from lumosx_core.auto_scene.cutouts.regions import Region, region_of  # noqa: E402
from lumosx_core.errors import LumosXError, MissingPackageError  # noqa: E402


def square(side: int = 100, height: int = 200, width: int = 220) -> torch.Tensor:
    mask = torch.zeros(height, width)
    mask[50 : 50 + side, 60 : 60 + side] = 1
    return mask


def cleaned(mask: torch.Tensor, **options) -> torch.Tensor:
    """The whole mask after cleaning."""
    return clean(region_of(mask), **options).mask(*mask.shape)


def hard(mask: torch.Tensor) -> torch.Tensor:
    return cleaned(mask, feather=0, shrink=0)


def test_a_clean_hard_mask_stays_as_it_is():
    assert hard(square()).equal(square())


def test_a_soft_mask_is_decided_at_a_half():
    mask = square() * 0.5
    mask[50:60, 60:160] = 0.49
    result = clean(region_of(mask), feather=0, shrink=0)
    assert (result.left, result.top, result.opacity.shape) == (60, 60, (90, 100))
    assert (result.opacity == 1).all()


def test_a_pinhole_is_filled_and_the_space_under_an_arm_is_not():
    mask = square()
    mask[70:80, 80:90] = 0  # 1 % of the square, a bit more of what is left
    pinhole = square()
    pinhole[70:79, 80:89] = 0
    assert hard(pinhole).equal(square())
    assert hard(mask).equal(mask)


def test_the_space_around_a_region_is_no_hole_however_small():
    mask = torch.ones(500, 500)
    mask[0, 0] = mask[499, 50:55] = 0
    assert hard(mask).equal(mask)


def test_a_hole_that_opens_only_at_a_corner_is_enclosed():
    mask = square()
    mask[50, 60] = mask[51, 61] = 0
    assert hard(mask)[51, 61] == 1
    assert hard(mask)[50, 60] == 0


def test_crumbs_go_and_the_second_shoe_stays():
    mask = square(40)
    mask[60:90, 130:160] = 1
    with_crumb = mask.clone()
    with_crumb[10:18, 10:19] = 1  # 72 of 1600 pixels
    assert hard(with_crumb).equal(mask)


def test_parts_that_touch_at_a_corner_are_one():
    mask = square(40)
    mask[90, 100] = 1
    assert hard(mask).equal(mask)


def test_shrinking_takes_the_pixels_at_the_edge():
    assert cleaned(square(), feather=0, shrink=1).sum() == 98 * 98
    assert cleaned(square(), feather=0, shrink=3).sum() == 94 * 94


def test_the_feather_lies_inside_and_ends_after_its_length():
    row = cleaned(square(), feather=4, shrink=0)[100]
    assert row[59] == 0
    assert row[60:65].tolist() == [0.25, 0.5, 0.75, 1, 1]
    assert row[155:161].tolist() == [1, 1, 0.75, 0.5, 0.25, 0]


def test_by_default_one_pixel_goes_and_the_next_is_soft():
    row = cleaned(square())[100]
    assert row[60] == 0
    assert row[61] == pytest.approx(2 / 3)
    assert row[62] == 1


@pytest.mark.parametrize(("feather", "shrink"), [(2.0, 0.0), (1.5, 1.0), (5.0, 2.5)])
def test_the_edge_is_as_far_from_the_outside_as_exact_distances_say(feather, shrink):
    y, x = torch.meshgrid(torch.arange(200), torch.arange(220), indexing="ij")
    mask = (((x - 110) / 90) ** 2 + ((y - 100) / 70) ** 2 < 1).float()
    distance = torch.from_numpy(ndimage.distance_transform_edt(mask.numpy())).float()
    expected = ((distance - shrink) / feather).clamp(0, 1)
    assert (cleaned(mask, feather=feather, shrink=shrink) - expected).abs().max() < 1e-5


def test_a_single_pixel_stays_opaque():
    result = clean(Region(5, 7, torch.ones(1, 1)))
    assert (result.left, result.top, result.opacity.tolist()) == (5, 7, [[1.0]])


@pytest.mark.parametrize("width", [1, 2, 3, 4])
def test_a_chain_keeps_its_length_and_an_opaque_middle(width):
    opacity = clean(Region(0, 0, torch.ones(width, 300))).opacity
    assert opacity.shape == (width, 300)
    assert (opacity[:, 5:-5].amax(dim=0) == 1).all()


def test_a_strap_stays_on_its_bag():
    mask = square()
    mask[20:51, 100:102] = 1
    mask[20:22, 100:150] = 1
    result = cleaned(mask)
    assert ndimage.label((result > 0.3).numpy())[1] == 1
    assert result[20:22, 100:150].amax(dim=0).min() > 0.5
    assert result[20:22, 105:145].amax(dim=0).min() == 1
    assert result[60, 60] == 0  # the bag itself is shrunk


def test_the_result_lies_where_the_region_lay_and_is_cropped():
    region = region_of(square())
    result = clean(Region(region.left + 1000, region.top + 2000, region.opacity))
    assert (result.left, result.top, result.opacity.shape) == (1061, 2051, (98, 98))
    assert result.opacity.dtype == torch.float32


def test_the_given_region_is_not_changed():
    region = region_of(square() * 0.7)
    before = region.opacity.clone()
    clean(region)
    assert region.opacity.equal(before)


def test_a_hard_region_is_cleaned_like_the_same_one_in_floats():
    mask = square()
    mask[70:79, 80:89] = 0
    hard, soft = clean(Region(5, 7, mask > 0)), clean(Region(5, 7, mask))
    assert hard.opacity.equal(soft.opacity) and hard.box == soft.box
    assert hard.opacity.dtype == torch.float32


@pytest.mark.parametrize("opacity", [torch.zeros(4, 4), torch.full((4, 4), 0.49), torch.zeros(4, 4, dtype=torch.bool)])
def test_a_region_of_nothing_is_refused(opacity):
    with pytest.raises(LumosXError, match="The region is empty.*0.5"):
        clean(Region(0, 0, opacity))


@pytest.mark.parametrize("options", [{"feather": -1}, {"shrink": 33}, {"shrink": float("nan")}])
def test_an_edge_that_is_none_is_refused(options):
    with pytest.raises(LumosXError, match=f"{next(iter(options))} is .*expected 0 to 32 pixels"):
        clean(region_of(square()), **options)


@pytest.mark.parametrize("value", [-0.5, MAX_FEATHER + 0.5, float("nan")])
def test_a_feather_can_be_checked_before_there_is_a_region(value):
    check_feather(0)
    check_feather(MAX_FEATHER)
    with pytest.raises(LumosXError, match="feather is .*expected 0 to 32 pixels"):
        check_feather(value)


def test_without_scipy_the_package_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "scipy", None)
    with pytest.raises(MissingPackageError, match="Cleaning a mask needs the package 'scipy'"):
        clean(region_of(square()))
