"""A layout counts the pictures and says which belong together."""

import dataclasses

import pytest

from lumosx_core import LumosXError, ReferenceLayout


def test_standalone_pictures_are_groups_of_one_and_each_subject_is_a_group():
    layout = ReferenceLayout(2, (3, 1))
    assert layout.pictures == 6
    assert layout.groups == (range(0, 1), range(1, 2), range(2, 5), range(5, 6))


def test_a_subject_without_pictures_is_an_empty_group_that_shifts_nothing():
    layout = ReferenceLayout(1, (2, 0, 1))
    assert layout.pictures == 4
    assert layout.groups == (range(0, 1), range(1, 3), range(3, 3), range(3, 4))


def test_groups_cover_every_picture_once_in_order():
    layout = ReferenceLayout(3, (4, 1, 0, 2))
    assert [picture for group in layout.groups for picture in group] == list(range(layout.pictures))


def test_a_layout_of_nothing_has_no_picture_and_no_group():
    assert ReferenceLayout(0).pictures == 0
    assert ReferenceLayout(0).groups == ()


def test_layouts_of_the_same_counts_are_equal_whatever_held_the_counts():
    assert ReferenceLayout(1, [2, 3]) == ReferenceLayout(1, (2, 3))
    assert hash(ReferenceLayout(1, [2, 3])) == hash(ReferenceLayout(1, (2, 3)))
    assert ReferenceLayout(1, (2, 3)) != ReferenceLayout(1, (3, 2))


def test_a_layout_does_not_change():
    with pytest.raises(dataclasses.FrozenInstanceError):
        ReferenceLayout(1).standalone = 2


@pytest.mark.parametrize(
    "counts", [(-1, ()), (1.5, ()), (True, ()), ("2", ()), (0, (2, -3)), (0, (2.0,)), (0, (None,))]
)
def test_what_is_not_a_count_is_refused_by_name(counts):
    standalone, subjects = counts
    wrong = repr(subjects[-1] if subjects else standalone)
    with pytest.raises(LumosXError) as error:
        ReferenceLayout(standalone, subjects)
    assert f"{wrong} is not possible" in str(error.value)


def test_another_number_of_pictures_is_refused_with_both_numbers():
    layout = ReferenceLayout(1, (2, 3))
    layout.check(6)
    for given in (0, 5, 7):
        with pytest.raises(
            LumosXError, match=rf"describes 6 .*\(1 standalone, subjects of \[2, 3\]\), but {given} were"
        ):
            layout.check(given)
