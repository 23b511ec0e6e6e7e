"""Near-duplicates: exactly those of a comparison of all pairs; the best stays, and each dropped one says of whom."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image, ImageEnhance

from lumosx_core.errors import LumosXError
from lumosx_training.prepare.near_duplicates.clip_colours import cell_colours, levels_apart, read_colours
from lumosx_training.prepare.near_duplicates.hash_index import HashIndex, bits_apart, scattered
from lumosx_training.prepare.settings import DuplicateSettings
from lumosx_training.prepare.stages.duplicates import Duplicates

GREY = cell_colours(Image.new("RGB", (64, 64), "grey"))


def flipped(hashes, chance, most):
    changed = hashes.copy()
    for number in range(len(changed)):
        for bit in chance.choice(64, chance.integers(0, most + 1), replace=False):
            changed[number] ^= np.uint64(1) << np.uint64(bit)
    return changed


def entries(count, seed, most=9):
    """Random hashes, near and not so near copies of earlier ones, still clips, and flat ones with few bits."""
    chance = np.random.default_rng(seed)
    made = []
    for _ in range(count):
        kind = chance.random()
        if made and kind < 0.5:
            made.append(flipped(made[chance.integers(len(made))], chance, most))
        elif kind < 0.6:
            made.append(np.full(3, chance.integers(0, 2**63), np.uint64))
        elif kind < 0.7:
            made.append(chance.integers(0, 2**63, 3).astype(np.uint64) & np.uint64(0xF00000000000000F))
        else:
            made.append(chance.integers(0, 2**63, 3).astype(np.uint64))
    return np.stack(made)


def facts_of(hashes, quality=None, mirrored=None, colours=None):
    def texts(row):
        return [f"{int(value):016x}" for value in row]

    return {
        f"clip-{number:05d}": {
            "hashes": {
                "key_frames": texts(row),
                "mirrored": texts(row if mirrored is None else mirrored[number]),
                "colours": [GREY] * 3 if colours is None else colours[number],
                "height": 480,
                "width": 640,
                "seconds": 2.0,
            },
            "quality": {"quality": 4.0 if quality is None else float(quality[number])},
        }
        for number, row in enumerate(hashes)
    }


def dropped(outcomes):
    return {name: outcome.facts["of"] for name, outcome in outcomes.items() if outcome.rejected == "duplicate"}


@pytest.mark.parametrize("distance", [0, 1, 2, 6, 10])
def test_the_index_finds_exactly_what_a_comparison_of_all_pairs_finds(distance):
    hashes = entries(500, seed=distance, most=distance + 1)
    index = HashIndex(distance, len(hashes))
    mixed = scattered(hashes)
    pairs = 0
    for number, row in enumerate(hashes):
        near = (bits_apart(hashes[:number], row) <= distance).all(axis=1)
        assert index.near(mixed[number]).tolist() == np.flatnonzero(near).tolist()
        pairs += int(near.sum())
        index.add(mixed[number])
    assert pairs > 10


def test_bits_apart_counts_bits_and_scattering_keeps_distances():
    first, second = np.array([0, 2**64 - 1, 6], np.uint64), np.array([0, 0, 5], np.uint64)
    assert bits_apart(first, second).tolist() == [0, 64, 2]
    assert bits_apart(scattered(first), scattered(second)).tolist() == [0, 64, 2]


def test_the_best_of_each_cluster_stays_as_in_a_search_through_all_pairs():
    hashes = entries(400, seed=3)
    quality = np.random.default_rng(4).random(len(hashes))
    outcomes = Duplicates(DuplicateSettings()).gather(facts_of(hashes, quality))
    kept: list[int] = []
    expected = {}
    for item in np.argsort(-quality).tolist():
        near = [other for other in kept if (bits_apart(hashes[other], hashes[item]) <= 6).all()]
        if near:
            expected[f"clip-{item:05d}"] = f"clip-{near[0]:05d}"
        else:
            kept.append(item)
    assert dropped(outcomes) == expected and len(expected) > 50
    assert list(outcomes) == list(facts_of(hashes))
    copies = {name: outcome.facts["copies"] for name, outcome in outcomes.items() if not outcome.rejected}
    assert {copy: name for name, names in copies.items() for copy in names} == expected


def test_all_three_key_frames_must_be_near():
    first = np.array([[11, 22, 33]], np.uint64)
    other = first.copy()
    other[0, 1] ^= np.uint64(0b1111111)  # 7 bits of the middle frame
    assert dropped(Duplicates(DuplicateSettings()).gather(facts_of(np.concatenate([first, other])))) == {}
    other[0, 1] = first[0, 1] ^ np.uint64(0b111111)
    found = Duplicates(DuplicateSettings()).gather(facts_of(np.concatenate([first, other])))
    assert dropped(found) == {"clip-00001": "clip-00000"}
    assert found["clip-00001"].facts["bits_apart"] == [0, 6, 0]


def test_mirrored_clips_are_duplicates_only_if_the_settings_ask_for_it():
    plain = np.array([[11, 22, 33], [2**50, 2**51, 2**52]], np.uint64)
    facts = facts_of(plain, mirrored=plain[::-1])
    plain_only = Duplicates(DuplicateSettings(distance=0)).gather(facts)
    assert dropped(plain_only) == {}
    both = Duplicates(DuplicateSettings(distance=0, mirrored=True)).gather(facts)
    assert dropped(both) == {"clip-00001": "clip-00000"}
    assert both["clip-00001"].facts["mirrored"] is True


def test_switched_off_everything_stays_and_no_clip_at_all_is_no_error():
    facts = facts_of(np.array([[1, 2, 3], [1, 2, 3]], np.uint64))
    assert dropped(Duplicates(DuplicateSettings(distance=-1)).gather(facts)) == {}
    assert Duplicates(DuplicateSettings()).gather({}) == {}


def person(shirt, face="peachpuff"):
    """A drawing that looks the same in grey whatever the colour of the shirt, if the colours are as bright."""
    image = Image.new("RGB", (160, 128), "slategrey")
    image.paste(shirt, (60, 60, 110, 128))
    image.paste(face, (70, 24, 100, 56))
    return image


GREEN, RED = (0, 120, 0), (220, 8, 8)  # equally bright


def test_people_who_stand_alike_in_other_clothes_are_no_duplicates():
    same = np.array([[11, 22, 33]] * 3, np.uint64)
    colours = [[cell_colours(person(shirt))] * 3 for shirt in (GREEN, RED, GREEN)]
    outcomes = Duplicates(DuplicateSettings()).gather(facts_of(same, colours=colours))
    assert dropped(outcomes) == {"clip-00002": "clip-00000"}
    assert outcomes["clip-00002"].facts["levels_apart"] == 0
    without = Duplicates(DuplicateSettings(colour_distance=255)).gather(facts_of(same, colours=colours))
    assert dropped(without) == {"clip-00001": "clip-00000", "clip-00002": "clip-00000"}


def test_one_key_frame_of_other_colours_is_enough():
    same = np.array([[11, 22, 33]] * 2, np.uint64)
    green, red = cell_colours(person(GREEN)), cell_colours(person(RED))
    assert (
        dropped(Duplicates(DuplicateSettings()).gather(facts_of(same, colours=[[green] * 3, [green, green, red]])))
        == {}
    )


def test_a_mirrored_copy_is_compared_with_its_colours_mirrored():
    plain = np.array([[11, 22, 33], [2**50, 2**51, 2**52]], np.uint64)
    settings, shirt = DuplicateSettings(distance=0, mirrored=True), person(GREEN)
    shirt.paste(RED, (0, 0, 40, 128))
    mirrored = shirt.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    for image, expected in ((mirrored, {"clip-00001": "clip-00000"}), (shirt, {})):
        colours = [[cell_colours(each)] * 3 for each in (shirt, image)]
        facts = facts_of(plain, mirrored=plain[::-1], colours=colours)
        assert dropped(Duplicates(settings).gather(facts)) == expected


@pytest.mark.parametrize("grading", [ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color])
@pytest.mark.parametrize("strength", [0.7, 1.3])
def test_grading_leaves_the_colours_of_a_clip_near(grading, strength):
    image = person("crimson")
    first, second = (read_colours(cell_colours(each)) for each in (image, grading(image).enhance(strength)))
    apart = levels_apart(first[None, None], second[None])
    other = levels_apart(first[None, None], read_colours(cell_colours(person("seagreen")))[None])
    assert apart.shape == (1,) and 0 < apart < DuplicateSettings().colour_distance < other


@pytest.mark.parametrize(
    "damage",
    [
        {},
        {"hashes": {}},
        {"hashes": {"key_frames": ["zz"] * 3, "mirrored": []}},
        {"hashes": {"key_frames": ["00"] * 3, "mirrored": ["00"] * 3}},
        {"hashes": {"key_frames": ["00"] * 3, "mirrored": ["00"] * 3, "colours": [GREY] * 2}},
        {"hashes": {"key_frames": ["00"] * 3, "mirrored": ["00"] * 3, "colours": [GREY[:-2]] * 3}},
    ],
)
def test_facts_without_hashes_are_refused_by_name(damage):
    with pytest.raises(LumosXError, match="clip-x"):
        Duplicates(DuplicateSettings()).gather({"clip-x": damage})
