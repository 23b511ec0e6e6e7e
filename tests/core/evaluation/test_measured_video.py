import pytest
import torch

from lumosx_core.errors import LumosXError
from lumosx_core.evaluation.measured_video import Networks, Video
from lumosx_core.evaluation.results import Label


@pytest.mark.parametrize(
    ("frames", "fps", "words"),
    [
        (torch.zeros(4, 8, 8), 16, "shape"),
        (torch.zeros(0, 8, 8, 3), 16, "shape"),
        (torch.zeros(4, 8, 8, 3, dtype=torch.uint8), 16, "255"),
        (torch.full((4, 8, 8, 3), torch.nan), 16, "not numbers"),
        (torch.zeros(4, 8, 8, 3), 0, "frame rate"),
        (torch.zeros(4, 8, 8, 3), float("nan"), "frame rate"),
    ],
)
def test_what_is_not_a_video_is_refused(frames, fps, words):
    with pytest.raises(LumosXError, match=words):
        Video(frames, fps)


def test_even_frames_reach_from_the_first_to_the_last():
    video = Video(torch.zeros(81, 2, 2, 3), 16)
    assert video.even_frames(8) == [round(i * 80 / 7) for i in range(8)]
    assert Video(torch.zeros(5, 2, 2, 3), 16).even_frames(8) == [0, 1, 2, 3, 4]
    assert Video(torch.zeros(8, 2, 2, 3), 16).even_frames(8) == list(range(8))


def test_missing_networks_are_named():
    assert Networks().missing("arc", "clip") == ["arc", "clip"] and list(Networks().notes()) == []


def test_labels_are_ordered_from_good_to_bad():
    assert [label.severity for label in Label] == [0, 1, 2, 3, 4, 5]
    assert [label.value for label in Label] == ["ok", "drift", "blending", "dominance", "swap", "missing"]
