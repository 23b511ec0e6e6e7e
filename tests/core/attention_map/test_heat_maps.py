"""The image and the sentences that an artist sees of a recording."""

import numpy as np
import pytest
import torch
from test_binding import LABELS, LAYOUT, LEFT, RIGHT, attention

from lumosx_core import ReferenceLayout
from lumosx_core.attention_map.binding import measure_binding
from lumosx_core.attention_map.heat_maps import (
    CELL,
    DIMMED,
    FOOTER,
    GAP,
    LABEL,
    MOST_ROWS,
    _percent,
    draw_attention_map,
    shown_frames,
)
from lumosx_core.attention_map.record import AttentionRecord
from lumosx_core.attention_map.report import describe_binding
from lumosx_core.drawing.contact_sheet import COLOURS

ROW = CELL // 2 + GAP  # frames are twice as wide as high


def drawn(record=None, columns=2, scores=(0.9, 0.8), grey=0.5):
    record = record or attention()
    shown = shown_frames(record.mass.shape[2], columns)
    return np.asarray(draw_attention_map(record, 0, torch.full((len(shown), 60, 120, 3), grey), shown, scores), int)


def cell(picture, row, column):
    top, left = GAP + row * ROW, LABEL + column * (CELL + GAP)
    return picture[top : top + CELL // 2, left : left + CELL]


def hot_place(part):
    """Row and column, as shares, of what differs most from the dimmed frame."""
    difference = np.abs(part - round(DIMMED * 128)).sum(-1)
    row, column = np.unravel_index(difference.argmax(), difference.shape)
    return row / part.shape[0], column / part.shape[1]


def test_columns_are_spread_from_the_first_frame_to_the_last():
    assert shown_frames(21, 5) == [0, 5, 10, 15, 20]
    assert shown_frames(3, 5) == [0, 1, 2]
    assert shown_frames(21, 1) == [0]


def test_there_is_a_row_for_each_subject_and_each_picture_and_a_column_for_each_frame():
    picture = drawn()
    assert picture.shape == (GAP + 7 * ROW + FOOTER, LABEL + 2 * (CELL + GAP), 3)


@pytest.mark.parametrize(("row", "place"), [(1, LEFT), (2, (4, 3)), (4, RIGHT), (5, (4, 9))])
def test_the_heat_of_a_picture_lies_where_it_is_looked_at(row, place):
    for column in range(2):
        found = hot_place(cell(drawn(), row, column))
        assert found == pytest.approx(((place[0] + 0.5) / 6, (place[1] + 0.5) / 12), abs=0.06)


def test_heat_moves_with_the_video():
    record = attention()
    record.mass[:, 1, 1] = record.mass[:, 3, 0]  # in the second frame the man is where the woman was
    places = [hot_place(cell(drawn(record), 1, column)) for column in range(2)]
    assert places[0][1] < 0.4 and places[1][1] > 0.6


def test_heat_and_labels_are_in_the_colour_of_the_subject():
    picture = drawn()
    for row, subject in ((0, 0), (2, 0), (3, 1), (5, 1)):
        colour = np.array([int(COLOURS[subject][i : i + 2], 16) for i in (1, 3, 5)])
        grey = round(DIMMED * 128)
        pixels = cell(picture, row, 0).reshape(-1, 3)
        hottest = pixels[np.abs(pixels - grey).sum(-1).argmax()]
        opacity = (hottest - grey) @ (colour - grey) / ((colour - grey) @ (colour - grey))
        assert opacity > 0.2
        assert np.abs(hottest - grey - opacity * (colour - grey)).max() <= 2
        assert (picture[GAP + row * ROW + 5, 2] == colour).all()


def heat_of(part):
    return np.abs(part - round(DIMMED * 128)).sum(-1).max()


def test_an_image_that_gets_little_attention_stays_dark_and_its_row_says_how_little():
    record = attention()
    strong = drawn(record)
    record.mass[:, 2] *= 0.1
    weak = drawn(record)
    assert heat_of(cell(weak, 2, 0)) < 0.2 * heat_of(cell(strong, 2, 0))
    assert heat_of(cell(weak, 1, 0)) == pytest.approx(heat_of(cell(strong, 1, 0)), rel=0.1)
    label = [picture[GAP + 2 * ROW : GAP + 3 * ROW - GAP, :LABEL] for picture in (strong, weak)]
    assert not np.array_equal(*label)  # another percentage


def test_a_background_that_gets_most_of_the_attention_darkens_nobody():
    record = attention()
    people = cell(drawn(record), 1, 0)
    record.mass[:, 0, :, :, 0] += 50 * record.mass.max()
    assert (cell(drawn(record), 1, 0) == people).all()
    assert heat_of(cell(drawn(record), 6, 0)) > 100


@pytest.mark.parametrize(
    ("fraction", "shown"), [(0.146, "15 %"), (0.0996, "10 %"), (0.0364, "3.6 %"), (0.0002, "0.0 %")]
)
def test_percentages_have_two_digits(fraction, shown):
    assert _percent(fraction) == shown


def test_what_is_looked_at_nowhere_more_than_elsewhere_shows_the_frame():
    room = cell(drawn(), 6, 0)
    assert np.abs(room - round(DIMMED * 128)).max() <= 1


def test_a_frame_of_its_own_lies_below_each_column():
    record = attention()
    frames = torch.stack([torch.full((60, 120, 3), 0.0), torch.full((60, 120, 3), 1.0)])
    picture = np.asarray(draw_attention_map(record, 0, frames, [0, 1], (1.0, 1.0)), int)
    assert cell(picture, 6, 0).max() == 0 and cell(picture, 6, 1).min() > 100


def test_long_phrases_no_phrases_and_crowds_are_drawn():
    labels = ("x" * 300, "many words " * 60, "", "穿牛仔夹克的男人", "hat")
    record = AttentionRecord(attention().mass, (True,) * 5, LAYOUT, labels)
    assert drawn(record).shape == drawn().shape
    assert (drawn(record)[:-FOOTER, LABEL - 8 : LABEL] == drawn()[0, 0]).all()  # no word runs into the frames
    mass = torch.rand(1, 100, 2, 3, 4)
    crowd = AttentionRecord(mass, (True,) * 100, ReferenceLayout(0, (2,) * 50), ("a",) * 100)
    assert drawn(crowd, scores=(0.5,) * 50).shape[0] == GAP + MOST_ROWS * ROW + FOOTER


def report(record):
    return describe_binding(record, measure_binding(record, 0))


def test_the_report_says_what_is_looked_at_instead():
    text = report(attention(jacket=RIGHT))
    first, second = text.splitlines()[1:]
    assert first.startswith('Subject 1 ("man", "jacket"): 0.')
    assert second.startswith('Subject 2 ("woman", "hat"): 0.')
    assert second.endswith('of what its region looks at is its own; most of the rest goes to "jacket" of subject 1.')
    assert "about 0.50" in text.splitlines()[0]


def test_the_report_of_one_subject_speaks_of_no_rest():
    record = AttentionRecord(attention().mass[:, :3], (True,) * 3, ReferenceLayout(1, (2,)), LABELS[:3])
    assert report(record) == 'Subject 1 ("man", "jacket"): 1.00 of what its region looks at is its own.'


def test_the_report_tells_who_was_not_seen_and_that_there_are_no_subjects():
    mass = attention().mass.clone()
    mass[:, 3:] = 0
    record = AttentionRecord(mass, (True, True, True, False, False), LAYOUT, LABELS)
    assert report(record).endswith('Subject 2 ("woman", "hat"): was not seen in the steps that were recorded.')
    alone = AttentionRecord(mass[:, :1], (True,), ReferenceLayout(1), LABELS[:1])
    assert report(alone).startswith("The scene has no subjects")


def test_a_picture_without_a_phrase_is_called_so():
    record = AttentionRecord(attention(jacket=RIGHT).mass, (True,) * 5, LAYOUT, ("room", "man", "", "woman", "hat"))
    assert "goes to an image without a phrase of subject 1" in report(record)
