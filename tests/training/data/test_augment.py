"""Augmentation of reference pictures: what it may change, what it leaves alone, and that it can be repeated."""

import random

import numpy as np
import pytest
from PIL import Image

from lumosx_core import LumosXError
from lumosx_training.data.augment import augment, chance_of


def picture(width=90, height=120):
    """Colourful everywhere, another colour in each corner, nowhere white."""
    x, y = np.meshgrid(np.linspace(40, 200, width), np.linspace(40, 200, height))
    return Image.fromarray(np.stack([x, y, 240 - x], axis=-1).astype(np.uint8))


def augmented(seed, *, background=False, mode="paper", given=None, height=128, width=192):
    return augment(given or picture(), height, width, random.Random(seed), background=background, mode=mode)


def content(image):
    """The box of what is not white."""
    values = np.asarray(image)
    rows, columns = np.nonzero((values < 250).any(axis=(1, 2)))[0], np.nonzero((values < 250).any(axis=(0, 2)))[0]
    return rows[0], rows[-1] + 1, columns[0], columns[-1] + 1


def difference(one, other):
    return np.abs(np.asarray(one, np.float32) - np.asarray(other, np.float32)).mean()


def test_the_result_has_the_videos_size_and_the_picture_in_its_middle():
    result = augmented(0)
    assert result.size == (192, 128) and result.mode == "RGB"
    top, bottom, left, right = content(result)
    assert abs((top + bottom) / 2 - 64) <= 4 and abs((left + right) / 2 - 96) <= 4
    assert right - left <= 96 + 1  # 90 x 120 fits as 96 x 128


def test_the_same_randomness_gives_the_same_picture_and_another_another():
    assert difference(augmented(3), augmented(3)) == 0
    assert difference(augmented(3), augmented(4)) > 1


@pytest.mark.parametrize("other", [(1, "clip", 0, 0), (0, "other", 0, 0), (0, "clip", 1, 0), (0, "clip", 0, 1)])
def test_randomness_differs_for_seed_sample_picture_and_variant(other):
    assert chance_of(0, "clip", 0, 0).random() == chance_of(0, "clip", 0, 0).random()
    assert chance_of(0, "clip", 0, 0).random() != chance_of(*other).random()


def test_a_subject_is_mirrored_nine_times_of_ten():
    mirrored = 0
    for seed in range(200):
        columns = np.asarray(augmented(seed), np.float32)[44:84, 64:128, 2].mean(axis=0)
        mirrored += columns[:20].mean() < columns[-20:].mean()  # blue falls from left to right in the picture
    assert 0.82 < mirrored / 200 < 0.97


def test_a_background_stays_where_it_is():
    """The paper changes backgrounds by numbers only."""
    given = picture(192, 128)
    for seed in range(20):
        assert difference(augmented(seed, background=True, given=given), given) < 12


def test_a_background_is_cropped_and_turned_as_the_released_code_does_but_not_mirrored():
    given = picture(192, 128)
    results = [augmented(seed, background=True, mode="code", given=given) for seed in range(40)]
    assert sum(difference(result, given) > 12 for result in results) > 20
    blue = [np.asarray(result, np.float32)[44:84, 40:152, 2].mean(axis=0) for result in results]
    assert all(columns[:20].mean() > columns[-20:].mean() for columns in blue)


def test_subjects_are_augmented_alike_in_both_modes():
    assert difference(augmented(5, mode="paper"), augmented(5, mode="code")) == 0


def test_brightness_contrast_and_saturation_change_by_no_more_than_five_percent_each():
    grey = Image.new("RGB", (192, 128), (100, 100, 100))
    means = [np.asarray(augmented(seed, background=True, given=grey)).mean() for seed in range(60)]
    assert min(means) >= 94 and max(means) <= 106
    assert np.std(means) > 0.5


def test_a_subject_shrinks_to_no_less_than_112_pixels():
    long_sides = []
    for seed in range(24):
        top, bottom, left, right = content(augmented(seed, given=picture(300, 300), height=480, width=832))
        long_sides.append(max(bottom - top, right - left))
    # Corners that a turn cuts off make the box no smaller.
    assert min(long_sides) >= 111 and min(long_sides) < 200 and max(long_sides) > 400


def test_a_small_subject_is_not_shrunk():
    for seed in range(20):
        top, bottom, _left, _right = content(augmented(seed, height=64, width=96))
        assert bottom - top >= 60


def test_a_crop_keeps_two_thirds_of_the_picture_whatever_its_shape():
    """Trousers are long: they are not cut to a square."""
    for size in ((40, 160), (160, 40)):
        shares = []
        for seed in range(60):
            result = augment(picture(*size), 160, 160, random.Random(seed), background=True, mode="code")
            values = np.asarray(result, np.float32)
            top, bottom, left, right = content(result)
            middle = values[(top + bottom) // 2 - 2 :, (left + right) // 2 - 2 :][:4, :4].mean(axis=(0, 1))
            shares.append(middle)
        # The middle of the crop is near the middle of the picture: a third at most can be lost on one side.
        assert np.abs(np.array(shares)[:, :2] - 120).max() < 160 * 0.34 / 2 + 8


@pytest.mark.parametrize("size", [(1, 1), (1, 500), (500, 1), (3, 2)])
@pytest.mark.parametrize("mode", ["paper", "code"])
def test_pictures_of_a_few_pixels_survive(size, mode):
    for seed in range(5):
        assert augmented(seed, given=Image.new("RGB", size), mode=mode).size == (192, 128)
        assert augmented(seed, given=Image.new("RGB", size), mode=mode, background=True).size == (192, 128)


def test_an_unknown_kind_is_refused():
    with pytest.raises(LumosXError, match="Unknown augmentation 'strong'"):
        augmented(0, mode="strong")
