"""Regions and binding scores, on attention whose answer is known."""

import pytest
import torch

from lumosx_core import LumosXError, ReferenceLayout
from lumosx_core.attention_map.binding import (
    anchors,
    face_centres,
    measure_binding,
    regions_from_masks,
    subject_regions,
)
from lumosx_core.attention_map.record import AttentionRecord

LAYOUT = ReferenceLayout(1, (2, 2))
LABELS = ("room", "man", "jacket", "woman", "hat")
FRAMES, HEIGHT, WIDTH = 2, 6, 12
LEFT, RIGHT = (2, 3), (2, 9)  # row and column of the heads; the garments are two rows further down


def blob(row, column):
    rows, columns = torch.arange(HEIGHT)[:, None], torch.arange(WIDTH)
    return torch.exp(-((rows - row) ** 2 + (columns - column) ** 2) / 2.0).expand(FRAMES, -1, -1)


def attention(jacket=LEFT, hat=RIGHT, man=LEFT, woman=RIGHT, weights=(1.0, 1.0, 1.0, 1.0), seen=(True,) * 5):
    """The man stands on the left, the woman on the right; garments are looked at from where they are worn."""
    maps = [torch.full((FRAMES, HEIGHT, WIDTH), 0.02)]
    places = (man, (jacket[0] + 2, jacket[1]), woman, (hat[0] + 2, hat[1]))
    for place, weight in zip(places, weights, strict=True):
        maps.append(weight * (0.1 * blob(*place) + 0.004))
    return AttentionRecord(torch.stack(maps)[None], seen, LAYOUT, LABELS)


def test_centres_are_where_the_faces_are_looked_at():
    x, y = face_centres(attention(), 0)
    assert torch.allclose(x, torch.tensor([[3.5], [9.5]]).expand(2, FRAMES), atol=0.15)
    assert torch.allclose(y, torch.tensor(2.5), atol=0.15)


def test_a_region_is_what_is_clearly_nearest_to_a_face_from_top_to_bottom():
    regions = subject_regions(attention(), 0)
    assert regions.shape == (2, FRAMES, HEIGHT, WIDTH)
    assert (regions[0, :, :, 2:5] == 1).all() and (regions[1, :, :, 8:11] == 1).all()
    assert (regions[:, :, 2, 6] == 0).all()  # half-way it is nobody's
    assert (regions.sum(0) <= 1).all()


def test_what_somebody_wears_does_not_move_their_region():
    assert torch.equal(subject_regions(attention(), 0), subject_regions(attention(jacket=RIGHT, hat=LEFT), 0))


def test_the_only_subject_has_the_whole_frame():
    record = AttentionRecord(attention().mass[:, :3], (True,) * 3, ReferenceLayout(1, (2,)), LABELS[:3])
    assert (subject_regions(record, 0) == 1).all()
    assert measure_binding(record, 0).scores == (1.0,)


def test_a_garment_on_the_wrong_person_lowers_both_scores():
    right = measure_binding(attention(), 0).scores
    wrong = measure_binding(attention(jacket=RIGHT, hat=LEFT), 0).scores
    assert min(right) > 0.8
    assert max(wrong) < 0.6
    half = measure_binding(attention(hat=LEFT), 0).scores
    assert all(b < h < a for a, h, b in zip(right, half, wrong, strict=True))


def test_the_shares_name_the_picture_that_is_looked_at_instead():
    shares = measure_binding(attention(jacket=RIGHT), 0).shares
    assert shares.sum(1) == pytest.approx(torch.ones(2))
    assert (shares[:, 0] == 0).all()  # the room is nobody's
    others = {picture: float(shares[1, picture]) for picture in (1, 2)}
    assert max(others, key=others.get) == 2


def test_a_loud_picture_does_not_drown_the_others():
    """The jacket is looked at twenty times as much: that counts with its root only, and who is right stays clear."""
    loud = (1.0, 20.0, 1.0, 1.0)
    right = measure_binding(attention(weights=loud), 0).scores
    wrong = measure_binding(attention(jacket=RIGHT, hat=LEFT, weights=loud), 0).scores
    assert all(a > b + 0.2 for a, b in zip(right, wrong, strict=True)) and min(right) > 0.6


def test_a_subject_that_hardly_anybody_looks_at_is_told_by_its_score():
    """Who stands where the woman should be looks at the man's images nearly as much as he does himself."""
    mass = attention().mass.clone()
    mass[:, 3:] *= 0.02
    mass[:, 1:3] += mass[:, 1:3].flip(-1)
    ignored = AttentionRecord(mass, (True,) * 5, LAYOUT, LABELS)
    masks = torch.zeros(2, HEIGHT, WIDTH)
    masks[0, :, :6], masks[1, :, 6:] = 1, 1
    assert measure_binding(ignored, 0, regions_from_masks(masks, ignored)).scores[1] < 0.2


def test_a_subject_with_more_pictures_has_no_better_score_for_it():
    record = attention()
    even = torch.full_like(record.mass, 0.01)
    layout = ReferenceLayout(1, (3, 1))
    unbound = AttentionRecord(even, record.seen, layout, LABELS)
    masks = torch.zeros(2, HEIGHT, WIDTH)
    masks[0, :, :6], masks[1, :, 6:] = 1, 1
    scores = measure_binding(unbound, 0, regions_from_masks(masks, unbound)).scores
    assert scores == pytest.approx((0.5, 0.5))


def test_a_larger_region_has_no_better_score_for_it():
    """The left half looks at the man's images twice as much as the right half does, and the other way round."""
    mass = torch.full((1, 5, FRAMES, HEIGHT, WIDTH), 0.01)
    mass[:, 1:3, ..., :6] = mass[:, 3:5, ..., 6:] = 0.02
    record = AttentionRecord(mass, (True,) * 5, LAYOUT, LABELS)
    for wide in (6, 1):
        masks = torch.zeros(2, HEIGHT, WIDTH)
        masks[0, :, :wide], masks[1, :, 6:] = 1, 1
        assert measure_binding(record, 0, regions_from_masks(masks, record)).scores == pytest.approx((2 / 3, 2 / 3))


def test_a_face_that_is_looked_at_from_another_face_too_keeps_its_place():
    mass = attention().mass.clone()
    man, woman = mass[:, 1].clone(), mass[:, 3].clone()
    mass[:, 1] += 0.8 * woman
    mass[:, 3] += 0.8 * man
    x, _ = face_centres(AttentionRecord(mass, (True,) * 5, LAYOUT, LABELS), 0)
    assert x[0].max() < 5.3 and x[1].min() > 7.7  # 5.8 and 7.2 without what the other face takes away


def test_who_was_never_seen_has_no_region_and_takes_none_from_others():
    mass = attention().mass.clone()
    mass[:, 3:] = 0
    record = AttentionRecord(mass, (True, True, True, False, False), LAYOUT, LABELS)
    regions = subject_regions(record, 0)
    assert (regions[0] == 1).all() and (regions[1] == 0).all()
    assert measure_binding(record, 0).scores == (1.0, 0.0)


def test_a_picture_that_was_never_seen_does_not_count_as_one_of_the_group():
    mass = attention().mass.clone()
    mass[:, 4] = 0
    record = AttentionRecord(mass, (True, True, True, True, False), LAYOUT, LABELS)
    assert min(measure_binding(record, 0).scores) > 0.8


def test_each_video_is_measured_by_itself():
    good, bad = attention(), attention(jacket=RIGHT, hat=LEFT)
    both = AttentionRecord(torch.cat([good.mass, bad.mass]), good.seen, LAYOUT, LABELS)
    assert measure_binding(both, 0).scores == measure_binding(good, 0).scores
    assert measure_binding(both, 1).scores == measure_binding(bad, 0).scores


def test_several_pictures_of_one_face_find_it_together():
    layout = ReferenceLayout(0, (3, 2, 1))
    assert anchors(layout, ("man", "man", "jacket", "", "", "dog")) == [[0, 1], [3], [5]]


def test_masks_of_an_artist_become_regions_in_all_frames():
    masks = torch.zeros(2, 60, 120)
    masks[0, :, :60], masks[1, 30:, 60:90] = 1, 1
    regions = regions_from_masks(masks, attention())
    assert regions.shape == (2, FRAMES, HEIGHT, WIDTH)
    assert (regions[0, :, :, :6] == 1).all() and (regions[0, :, :, 6:] == 0).all()
    assert (regions[1, :, 3:, 6:9] == 1).all() and regions[1].sum() == 9 * FRAMES
    swapped = measure_binding(attention(), 0, regions_from_masks(masks.flip(0), attention())).scores
    assert max(swapped) < 0.35


def test_masks_that_do_not_fit_the_scene_are_errors():
    with pytest.raises(LumosXError, match="regions has 3 masks, but the scene has 2 subjects"):
        regions_from_masks(torch.ones(3, 8, 8), attention())
    with pytest.raises(LumosXError, match="The mask of subject 2 in regions is empty"):
        regions_from_masks(torch.stack([torch.ones(8, 8), torch.zeros(8, 8)]), attention())
