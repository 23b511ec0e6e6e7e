"""The background filled in where people and things were."""

import pytest
import torch

from lumosx_core.auto_scene.cutouts import background_fill as background
from lumosx_core.auto_scene.cutouts.background_fill import background_mask, fill
from lumosx_core.auto_scene.cutouts.regions import Region
from lumosx_core.errors import LumosXError

WALL = torch.tensor([0.7, 0.5, 0.3])


def plain(height: int = 240, width: int = 320) -> torch.Tensor:
    return WALL.expand(height, width, 3).clone()


def gradient(height: int = 240, width: int = 320) -> torch.Tensor:
    y, x = torch.linspace(0, 1, height)[:, None, None], torch.linspace(0, 1, width)[None, :, None]
    return (0.2 + 0.3 * x + 0.2 * y) * torch.tensor([1.0, 0.8, 1.2])


def person(height: int = 240, width: int = 320) -> torch.Tensor:
    mask = torch.zeros(height, width)
    mask[height // 4 : height * 3 // 4, width // 3 : width * 2 // 3] = 1
    return mask


def with_person(image: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    noise = torch.rand(image.shape, generator=torch.Generator().manual_seed(1))
    return torch.where(mask[..., None] > 0, noise, image)


def noisy(image: torch.Tensor, deviation: float) -> torch.Tensor:
    return image + deviation * torch.randn(image.shape, generator=torch.Generator().manual_seed(2))


@pytest.mark.parametrize("size", [(240, 320), (1401, 1103), (5, 900)])
def test_a_plain_wall_comes_back(size):
    mask = person(*size)
    assert (fill(with_person(plain(*size), mask), mask) - plain(*size)).abs().max() < 1e-4


@pytest.mark.parametrize("size", [(240, 320), (1401, 1103)])
def test_light_that_falls_off_comes_back(size):
    mask = person(*size)
    assert (fill(with_person(gradient(*size), mask), mask) - gradient(*size)).abs().max() < 0.005


def test_a_fill_that_was_reduced_lies_where_it_belongs(monkeypatch):
    monkeypatch.setattr(background, "FILLED_PIXELS", 2**10)
    mask = person()
    error = (fill(with_person(gradient(), mask), mask) - gradient())[mask > 0]
    assert error.mean().abs() < 0.004  # half a block is 0.006 of the gradient
    assert error.abs().max() < 0.01


def test_a_person_who_stands_on_the_frame_is_removed_too():
    mask = person()
    mask[60:, 106:213] = 1
    assert (fill(with_person(gradient(), mask), mask) - gradient()).abs().max() < 0.1
    assert (fill(with_person(plain(), mask), mask) - plain()).abs().max() < 1e-4


@pytest.mark.parametrize("filled_pixels", [2**20, 2**13])  # at full size, and reduced four times
def test_what_is_under_the_mask_is_not_looked_at(filled_pixels, monkeypatch):
    monkeypatch.setattr(background, "FILLED_PIXELS", filled_pixels)
    mask = person()
    mask[0, 0] = 0.03  # faint, yet masked
    image = noisy(plain(), 0.01)
    black, white = (torch.where(mask[..., None] > 0, torch.tensor(value), image) for value in (0.0, 1.0))
    assert fill(black, mask).equal(fill(white, mask))


def test_beyond_the_margin_every_pixel_stays():
    mask, image = person(), noisy(gradient(), 0.02)
    changed = (fill(image, mask) != image).any(dim=-1)
    margin = 5  # 1.5 % of 320
    grown = torch.zeros(240, 320, dtype=torch.bool)
    grown[60 - margin : 180 + margin, 106 - margin : 213 + margin] = True
    assert not changed[~grown].any()
    assert changed[59].any()


def test_a_halo_around_the_person_goes_with_them():
    mask, image = person(), plain()
    image[58:182, 104:215] = 0
    assert (fill(image, mask)[60:180, 106:213] - WALL).abs().max() < 1e-4


def test_the_fill_begins_where_the_wall_ends_without_a_seam():
    mask = person()
    row = fill(with_person(gradient(), mask), mask)[120]
    assert row.diff(dim=0).abs().max() < 0.004  # 0.0011 is the gradient itself


def test_a_surrounding_that_changes_is_blended_in():
    mask, image = person(), plain()
    image[::2] = 0.2  # stripes: the fill can only be their mean
    steps = (fill(image, mask) - image).abs().amax(dim=2)[120, 100:110].diff()
    assert steps.max() < 0.12
    assert steps.sum() > 0.2


def test_values_stay_in_their_range():
    mask = person()
    for value in (0.0, 1.0):
        image = noisy(torch.full((240, 320, 3), value), 0.1).clamp(0, 1)
        filled = fill(image, mask)
        assert filled.min() >= 0
        assert filled.max() <= 1


def laplacian(image: torch.Tensor) -> torch.Tensor:
    return image[1:-1, 1:-1] * 4 - image[:-2, 1:-1] - image[2:, 1:-1] - image[1:-1, :-2] - image[1:-1, 2:]


@pytest.mark.parametrize("softness", [1, 2])
def test_the_grain_goes_on(softness):
    noise = torch.randn(480, 640, 1, generator=torch.Generator().manual_seed(2)).expand(480, 640, 3).clone()
    if softness == 2:
        noise = (noise + noise.roll(1, 0) + noise.roll(1, 1) + noise.roll((1, 1), (0, 1))) / 2
    image, mask = plain(480, 640) + 0.015 * noise, person(480, 640)
    inside = fill(image, mask)[130:350, 220:420]
    assert inside.std(dim=(0, 1)) == pytest.approx([0.015] * 3, rel=0.1)
    assert laplacian(inside).std() == pytest.approx(float(laplacian(image).std()), rel=0.25)
    assert (inside[..., 0] - inside[..., 2]).std() < 0.002  # as grey as it was


def test_a_pattern_is_not_taken_for_grain():
    image, mask = noisy(plain(), 0.2).clamp(0, 1), person()
    assert fill(image, mask)[70:170, 116:203].std(dim=(0, 1)).max() < 0.08


def test_the_same_photograph_gives_the_same_fill_whatever_was_drawn_before():
    image, mask = noisy(plain(), 0.02), person()
    torch.manual_seed(1)
    first = fill(image, mask)
    torch.manual_seed(2)
    state = torch.get_rng_state()
    assert fill(image, mask).equal(first)
    assert torch.get_rng_state().equal(state)


def test_nothing_masked_leaves_the_image():
    image = plain()
    assert fill(image, torch.zeros(240, 320)) is image


def test_the_given_image_is_not_changed():
    image = plain()
    fill(image, person())
    assert image.equal(plain())


def test_a_photograph_without_background_is_refused():
    with pytest.raises(LumosXError, match="cover 100% of the photo.*no background is left"):
        fill(plain(), torch.ones(240, 320))
    mask = torch.ones(240, 320)
    mask[:, 0] = 0  # less than the margin
    with pytest.raises(LumosXError, match="no background is left"):
        fill(plain(), mask)


def test_a_mask_of_another_size_is_refused():
    with pytest.raises(LumosXError, match=r"shape \(100, 320\).*240 pixels high and 320 wide"):
        fill(plain(), torch.ones(100, 320))


def test_the_mask_of_the_background_is_all_regions_together():
    regions = [Region(1, 0, torch.full((2, 2), 0.5)), Region(2, 1, torch.tensor([[0.2, 1.0]]))]
    assert background_mask(3, 5, regions).equal(
        torch.tensor([[0, 0.5, 0.5, 0, 0], [0, 0.5, 0.5, 1.0, 0], [0, 0, 0, 0, 0]])
    )
    assert background_mask(3, 5, []).equal(torch.zeros(3, 5))


def test_hard_and_soft_regions_go_into_one_mask():
    soft = Region(2, 1, torch.full((4, 5), 0.5))
    hard = Region(4, 2, torch.ones(6, 3, dtype=torch.bool))
    mask = background_mask(10, 12, [hard, soft])
    assert mask.dtype == torch.float32
    assert torch.equal(mask, torch.maximum(hard.mask(10, 12), soft.mask(10, 12)))
