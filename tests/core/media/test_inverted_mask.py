"""Detection of inverted masks, on many shapes of subjects."""

from __future__ import annotations

import pytest
import torch
from PIL import Image, ImageDraw

from lumosx_core.errors import LumosXError
from lumosx_core.media.images import to_tensor
from lumosx_core.media.inverted_mask import looks_inverted
from lumosx_core.scene.build import INVERTED, references_of, whole_scene

WIDTH, HEIGHT = 160, 120


def drawn(draw, size=(WIDTH, HEIGHT)) -> torch.Tensor:
    """A mask, 1 where the function draws."""
    image = Image.new("L", size)
    draw(ImageDraw.Draw(image), *size)
    return to_tensor(image)


def noise(mask: torch.Tensor) -> torch.Tensor:
    return torch.rand(*mask.shape, 3, generator=torch.Generator().manual_seed(0))


def cutout(mask: torch.Tensor, colour: float = 0.0) -> torch.Tensor:
    """The output of Load Image for a transparent image: one colour around the subject."""
    return torch.where(mask[..., None] > 0.5, noise(mask), torch.tensor(colour))


SUBJECTS = {
    "a disc with room around it": lambda d, w, h: d.ellipse((40, 20, 120, 100), fill=255),
    "a disc that touches all four sides": lambda d, w, h: d.ellipse((0, 0, w - 1, h - 1), fill=255),
    "a bust that touches the lower side": lambda d, w, h: (
        d.ellipse((55, 8, 105, 70), fill=255),
        d.polygon([(25, h), (40, 75), (120, 75), (135, h)], fill=255),
    ),
    "a standing person": lambda d, w, h: d.rectangle((70, 6, 92, 114), fill=255),
    "a standing person who touches top and bottom": lambda d, w, h: d.rectangle((60, 0, 100, h), fill=255),
    "a shirt, cropped tightly": lambda d, w, h: d.polygon(
        [(0, 20), (45, 0), (115, 0), (w, 20), (w, 55), (125, 55), (125, h), (35, h), (35, 55), (0, 55)], fill=255
    ),
    "a hat in a corner": lambda d, w, h: d.rectangle((0, 0, 70, 50), fill=255),
    "a thin cane": lambda d, w, h: d.line((80, 4, 80, 116), fill=255, width=4),
}
every_subject = pytest.mark.parametrize("draw", SUBJECTS.values(), ids=SUBJECTS)


@every_subject
def test_a_mask_of_the_subject_is_not_inverted(draw):
    mask = drawn(draw)
    assert not looks_inverted(noise(mask), mask)
    assert not looks_inverted(cutout(mask), mask)
    assert not looks_inverted(cutout(mask, 1.0), mask)


# Indistinguishable from a mask of a subject: what is cut out is not in the middle, or so little of the border is kept.
AMBIGUOUS = {"a hat in a corner", "a shirt, cropped tightly"}


@pytest.mark.parametrize("name", [name for name in SUBJECTS if name not in AMBIGUOUS])
@pytest.mark.parametrize("colour", [0.0, 1.0])
def test_the_mask_that_load_image_gives_of_a_cutout_is_inverted(name, colour):
    mask = drawn(SUBJECTS[name])
    assert looks_inverted(cutout(mask, colour), 1 - mask)


@pytest.mark.parametrize(
    "name", ["a disc with room around it", "a disc that touches all four sides", "a standing person"]
)
def test_it_is_inverted_whatever_is_seen_around_the_subject(name):
    mask = drawn(SUBJECTS[name])
    assert looks_inverted(noise(mask), 1 - mask)


GOOD = {
    "everything": lambda d, w, h: d.rectangle((0, 0, w, h), fill=255),
    "nearly everything": lambda d, w, h: (
        d.rectangle((0, 0, w, h), fill=255),
        d.rectangle((70, 50, 90, 70), fill=0),  # a hand in front of a coat
    ),
    "the left half": lambda d, w, h: d.rectangle((0, 0, w // 2, h), fill=255),
    "an open jacket without the shirt": lambda d, w, h: (
        d.polygon([(0, 20), (50, 0), (60, 0), (55, h), (10, h)], fill=255),
        d.polygon([(w, 20), (110, 0), (100, 0), (105, h), (150, h)], fill=255),
    ),
    "a bracelet": lambda d, w, h: d.ellipse((40, 20, 120, 100), outline=255, width=12),
    "a necklace": lambda d, w, h: d.arc((20, -60, 140, 110), 0, 180, fill=255, width=8),
    "headphones": lambda d, w, h: d.arc((10, 2, 150, 220), 180, 360, fill=255, width=14),
    "a table that touches three sides": lambda d, w, h: d.rectangle((0, 60, w, h), fill=255),
    "a coat that touches all sides": lambda d, w, h: d.polygon(
        [(30, 0), (130, 0), (w, 40), (w, h), (0, h), (0, 40)], fill=255
    ),
    "two shoes": lambda d, w, h: (
        d.rectangle((0, 70, 60, h), fill=255),
        d.rectangle((100, 70, w, h), fill=255),
    ),
    "nothing": lambda d, w, h: None,
}


@pytest.mark.parametrize("draw", GOOD.values(), ids=GOOD)
def test_a_mask_that_is_meant_so_is_not_inverted(draw):
    mask = drawn(draw)
    assert not looks_inverted(noise(mask), mask)
    assert not looks_inverted(cutout(mask, 1.0), mask)


def test_specks_of_a_segmentation_are_no_hole():
    mask = torch.ones(HEIGHT, WIDTH)
    mask[::7, ::5] = 0
    assert not looks_inverted(noise(mask), mask)


@pytest.mark.parametrize("size", [(1, 1), (2, 3), (1, 50)])
def test_the_smallest_images_are_judged_without_an_error(size):
    assert not looks_inverted(torch.rand(*size, 3), torch.ones(size))


def test_a_garment_with_an_inverted_mask_is_refused_and_with_the_right_one_cut_out():
    mask = drawn(SUBJECTS["a disc with room around it"])
    image = cutout(mask)[None]
    with pytest.raises(LumosXError) as caught:
        references_of("Attribute 2", image, "red hat", 1 - mask[None])
    assert str(caught.value) == f'Attribute 2 ("red hat"): {INVERTED}'
    [reference] = references_of("Attribute 2", image, "red hat", mask[None])
    assert reference.image.shape[:2] == (81, 81)


def test_people_may_be_cut_out_of_a_background():
    mask = drawn(SUBJECTS["a standing person"])
    inputs = {"background": noise(mask)[None], "background_phrase": "room", "background_mask": 1 - mask[None]}
    assert whole_scene(inputs, say=pytest.fail).background.phrase == "room"
