import random

import pytest

from lumosx_core.errors import LumosXError
from lumosx_core.evaluation.measured_video import Protocol
from lumosx_core.evaluation.results import (
    CaseScores,
    ConsistencyScores,
    DimensionScores,
    DynamicScores,
    FrameMatrix,
    Label,
    Slot,
    SlotLabel,
)
from lumosx_core.evaluation.summary import OVERALL, VALUES, bootstrap, summarise, summarise_binding
from lumosx_core.evaluation.video_names import find_video

CLEAN, REFERENCE = Protocol


def case(video: str, people: int, text: float | None, moves: bool | None = None) -> CaseScores:
    return CaseScores(
        video,
        video,
        people,
        consistency=None if text is None else ConsistencyScores(text, None),
        dynamic=None if moves is None else DynamicScores(moves, 1, 6.0, (), ()),
    )


CASES = [
    case("person1_a.mp4", 1, 0.1, True),
    case("b.mp4", 2, 0.6, False),
    case("person2_c.mp4", 2, 0.2, True),
    case("person3_d.mp4", 1, None),
]


def test_groups_are_by_the_number_of_people_and_the_whole_is_the_mean_over_videos():
    groups = {each.group: each for each in summarise(CASES)}
    assert list(groups) == ["1 person", "2 people", OVERALL]
    assert groups["1 person"].videos == 2 and groups["1 person"].means["ViCLIP-T"].value == pytest.approx(0.1)
    assert groups["1 person"].means["ViCLIP-T"].videos == 1
    assert groups["2 people"].means["ViCLIP-T"].value == pytest.approx(0.4)
    assert groups[OVERALL].means["ViCLIP-T"].value == pytest.approx((0.1 + 0.6 + 0.2) / 3)
    assert groups[OVERALL].means["Dynamic"].value == pytest.approx(2 / 3)
    assert "ArcSim" not in groups[OVERALL].means and groups[OVERALL].videos == 4


def test_reference_groups_by_file_name_and_counts_unnamed_videos_twice():
    groups = {each.group: each for each in summarise(CASES, REFERENCE)}
    assert list(groups) == ["person1", "person2", "person3", OVERALL]
    assert groups["person2"].means["ViCLIP-T"].value == pytest.approx(0.2)
    assert groups[OVERALL].means["ViCLIP-T"].value == pytest.approx((0.1 + 0.6 + 0.6 + 0.2) / 4)
    assert groups[OVERALL].videos == 4 and groups[OVERALL].means["ViCLIP-T"].videos == 3


def test_more_than_nine_people_are_in_order():
    cases = [case(str(n), n, 0.5) for n in (10, 2, 1)]
    assert [each.group for each in summarise(cases)] == ["1 person", "2 people", "10 people", OVERALL]


def test_no_video_is_refused():
    with pytest.raises(LumosXError, match="nothing to summarise"):
        summarise([])


def test_every_value_is_a_field_of_its_metric():
    assert all(value(CASES[3]) is None for value in VALUES.values())


def test_the_interval_is_that_of_resampled_means():
    chance = random.Random(1)
    values = [chance.gauss(0, 1) for _ in range(40)]
    means = sorted(sum(chance.choices(values, k=40)) / 40 for _ in range(4000))
    low, high = bootstrap(values)
    assert low == pytest.approx(means[100], abs=0.06) and high == pytest.approx(means[3900], abs=0.06)
    assert bootstrap(values) == (low, high) and bootstrap([0.3]) == pytest.approx((0.3, 0.3))


def test_weights_are_those_of_cases():
    chance = random.Random(2)
    values, weights = [chance.random() for _ in range(30)], [chance.randint(1, 5) for _ in range(30)]
    means = []
    for _ in range(4000):
        drawn = chance.choices(range(30), k=30)
        means.append(sum(values[i] * weights[i] for i in drawn) / sum(weights[i] for i in drawn))
    means.sort()
    assert bootstrap(values, weights) == pytest.approx((means[100], means[3900]), abs=0.02)


def dimension(*labels: Label) -> DimensionScores:
    slots = tuple(Slot(i, f"man {i}") for i in range(len(labels)))
    return DimensionScores("face", slots, (), 0.1, (), tuple(SlotLabel(label) for label in labels))


def test_shares_are_of_slots_and_success_is_of_cases():
    cases = [
        CaseScores("a", "a", 2, misbinding=(dimension(Label.OK, Label.OK),)),
        CaseScores("b", "b", 3, misbinding=(dimension(Label.SWAP, Label.SWAP, Label.OK),)),
        CaseScores("c", "c", 1),
    ]
    [summary] = summarise_binding(cases)
    assert (summary.dimension, summary.slots, summary.thresholds) == ("face", 5, (0.1,))
    assert summary.shares["ok"].value == pytest.approx(3 / 5) and summary.shares["swap"].value == pytest.approx(2 / 5)
    assert sum(each.value for each in summary.shares.values()) == pytest.approx(1)
    assert summary.success.value == 0.5 and (summary.success.low, summary.success.high) == (0, 1)
    assert summary.shares["ok"].low == pytest.approx(1 / 3) and summary.shares["ok"].high == 1


def test_confusion_is_the_lead_of_the_largest_other():
    rows = ((-0.5, 0.25, 0.125), (None, None, None), (0.0, 0.25, -0.125))
    frame = FrameMatrix(0, (None,) * 3, rows, rows, (SlotLabel(Label.OK),) * 3)
    slots = tuple(Slot(i, "") for i in range(3))
    scores = DimensionScores("face", slots, (), 0.1, (frame,), frame.labels)
    assert scores.confusion == (0.75 + 0.375) / 2
    of_one = DimensionScores("face", (Slot(0, ""), Slot(1, ""), Slot(0, "")), (), 0.1, (frame,), frame.labels)
    assert of_one.confusion == (0.75 + 0.375) / 2
    alone = DimensionScores("face", (Slot(0, ""),) * 3, (), 0.1, (frame,), frame.labels)
    assert alone.confusion == 0


FILES = ["10.mp4", "1.mp4", "1.json.mp4", "ünï.webm"]


def test_videos_are_found_by_their_whole_name():
    assert [find_video(name, FILES) for name in ("1", "10", "ünï", "2", "1.json")] == [
        "1.mp4",
        "10.mp4",
        "ünï.webm",
        None,
        "1.json.mp4",
    ]
    with pytest.raises(LumosXError, match="Remove one"):
        find_video("1", ["1.mp4", "1.webm"])


def test_reference_takes_the_first_that_begins_so():
    assert find_video("1", FILES, REFERENCE) == "10.mp4" and find_video("2", FILES, REFERENCE) is None
