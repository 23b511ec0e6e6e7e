"""Phrases found and masked in a photo, or in a part of one."""

import pytest
import torch

pytest.importorskip("scipy", reason="scipy is not installed")

from drawn_world import ColourPhrases, OwnersMasks, Photo

from lumosx_core.auto_scene.cutouts.regions import Box
from lumosx_core.auto_scene.instances import View, find_instances


def test_phrases_share_one_look_at_the_photo():
    photo = Photo().paint("lamp", (10, 10, 40, 60), 1).paint("table", (100, 50, 200, 90), 2)
    masks = OwnersMasks()
    view = View(photo.image, masks)
    lamps, tables, hats = find_instances(view, ["lamp", "table", "red hat"], ColourPhrases())
    find_instances(view, ["table"], ColourPhrases())
    assert masks.looks == [(200, 300)]
    assert [lamps[0].box, tables[0].box, hats] == [Box(10, 10, 40, 60), Box(100, 50, 200, 90), []]
    assert lamps[0].region.area == 30 * 50


def test_a_search_inside_a_box_finds_nothing_outside_and_answers_in_pixels_of_the_photo():
    photo = Photo().paint("lamp", (10, 10, 40, 60), 1).paint("lamp", (210, 20, 240, 70), 2)
    finder = ColourPhrases()
    [[lamp]] = find_instances(View(photo.image, OwnersMasks()), ["lamp"], finder, inside=Box(200, 0, 300, 200))
    assert lamp.box == Box(210, 20, 240, 70) and lamp.region.box == Box(207, 15, 243, 75)
    assert finder.asked == [((200, 100), ("lamp",))]


def test_a_part_is_looked_at_on_its_own_where_that_shows_more_pixels_of_the_photo():
    photo = Photo().paint("lamp", (10, 10, 40, 60), 1)
    masks = OwnersMasks(side=50)
    view = View(photo.image, masks)
    assert view.part(Box(0, 0, 160, 100)) is view
    part = view.part(Box(5, 5, 105, 105))
    [[lamp]] = find_instances(part, ["lamp"], ColourPhrases(), inside=Box(5, 5, 105, 105))
    assert masks.looks == [(120, 120)] and lamp.region.area == 30 * 50


@pytest.mark.parametrize("side", [300, 200, 151])
def test_a_photo_of_few_pixels_is_looked_at_as_it_is_however_small_the_part(side):
    view = View(Photo().image, OwnersMasks(side=side))
    assert view.part(Box(5, 5, 25, 25)) is view


@pytest.mark.parametrize(
    ("box", "expected"),
    [
        (Box(0, 0, 20, 20), Box(0, 0, 100, 100)),
        (Box(280, 180, 300, 200), Box(200, 100, 300, 200)),
        (Box(140, 90, 160, 110), Box(100, 50, 200, 150)),
        (Box(140, 0, 160, 20), Box(100, 0, 200, 100)),
        (Box(0, 90, 120, 110), Box(0, 50, 144, 150)),
    ],
)
def test_a_part_has_no_fewer_pixels_than_the_segmenter_takes(box, expected):
    assert View(Photo().image, OwnersMasks(side=100)).part(box).box == expected


def test_instances_are_limited_and_empty_ones_left_out():
    photo = Photo()
    for i in range(6):
        photo.paint("lamp", (10 + 30 * i, 10, 20 + 30 * i, 40 + i), 1)
    [lamps] = find_instances(View(photo.image, OwnersMasks()), ["lamp"], ColourPhrases(), most=4)
    assert len(lamps) == 4

    class Nothing(OwnersMasks):
        def look_at(self, image):
            regions = super().look_at(image)
            return lambda boxes: [
                type(region)(region.left, region.top, torch.zeros_like(region.opacity)) for region in regions(boxes)
            ]

    assert find_instances(View(photo.image, Nothing()), ["lamp"], ColourPhrases()) == [[]]
    assert find_instances(View(photo.image, OwnersMasks()), [], ColourPhrases()) == []


def test_a_box_with_an_empty_mask_makes_room_for_the_next():
    photo = Photo().paint("lamp", (10, 10, 60, 90), 1).paint("lamp", (200, 20, 220, 60), 2)

    class SmallThings(OwnersMasks):
        def look_at(self, image):
            regions = super().look_at(image)
            return lambda boxes: [
                type(region)(region.left, region.top, region.opacity * (region.area < 1000))
                for region in regions(boxes)
            ]

    [[lamp]] = find_instances(View(photo.image, SmallThings()), ["lamp"], ColourPhrases(), most=1)
    assert lamp.box == Box(200, 20, 220, 60)
