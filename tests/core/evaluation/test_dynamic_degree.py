"""Counting rules of the dynamic degree, with a flow that the frames spell out."""

import numpy as np
import pytest
import torch

from lumosx_core.errors import LumosXError
from lumosx_core.evaluation.measured_video import Protocol, Video
from lumosx_core.evaluation.metrics.dynamic_degree import dynamic_degree
from lumosx_core.evaluation.networks import NetworkNote

CLEAN, REFERENCE = Protocol


class WrittenFlow:
    """The flow's length at each pixel is the red of the second frame, its direction alternates."""

    note = NetworkNote("written", "none", False)

    def flow(self, first, second):
        turn = torch.arange(second.shape[1]) * 0.7
        return torch.stack([second[..., 0] * turn.cos(), second[..., 0] * turn.sin()])


def video(lengths, fps=8, size=(256, 300)) -> Video:
    """Frames into each of which everything moves by so much."""
    frames = torch.tensor(lengths, dtype=torch.float32)[:, None, None, None].expand(-1, *size, 3)
    return Video(frames, fps)


def test_a_pair_is_the_mean_of_its_largest_twentieth():
    chance = np.random.default_rng(0)
    frames = torch.tensor(chance.random((9, 17, 23, 3))).float()
    scores = dynamic_degree(Video(frames, 8), WrittenFlow())
    for frame, pair in zip(range(6, 9), scores.pairs, strict=True):
        ordered = sorted(frames[frame, ..., 0].flatten().tolist(), reverse=True)
        assert pair == pytest.approx(sum(ordered[:19]) / 19, abs=1e-5)  # 17 * 23 / 20 = 19.55
    assert scores.frames == (5, 6, 7, 8)


def test_six_pixels_of_256_rows_move_and_not_one_more_counts():
    still, moving = [0] * 6, [6.01] * 8
    assert dynamic_degree(video(still + moving), WrittenFlow()).dynamic
    assert not dynamic_degree(video(still + [5.99] * 8), WrittenFlow()).dynamic
    small = dynamic_degree(video(still + moving, size=(128, 64)), WrittenFlow())
    assert small.threshold == 1.5


@pytest.mark.parametrize(
    ("protocol", "fps", "step"),
    [
        (CLEAN, 4.1, 1),
        (CLEAN, 8, 1),
        (CLEAN, 12, 2),
        (CLEAN, 16, 2),
        (CLEAN, 20, 3),
        (CLEAN, 24, 3),
        (REFERENCE, 12, 2),
        (REFERENCE, 20, 2),  # 2.5 to even
        (REFERENCE, 28, 4),
    ],
)
def test_the_step_between_frames(protocol, fps, step):
    scores = dynamic_degree(video([0] * 20, fps, (20, 20)), WrittenFlow(), protocol)
    assert scores.frames == tuple(range(5, 20, step))


@pytest.mark.parametrize(
    ("protocol", "sampled", "needed"),
    [
        (CLEAN, 2, 1),  # one pair: never nothing
        (CLEAN, 7, 2),  # 6 pairs: 1.5 up
        (CLEAN, 11, 3),  # 10 pairs: 2.5 up
        (CLEAN, 17, 4),
        (REFERENCE, 2, 0),  # 0.5 to even
        (REFERENCE, 6, 2),  # 1.5 to even
        (REFERENCE, 10, 2),  # 2.5 to even
        (REFERENCE, 17, 4),
    ],
)
def test_how_many_pairs_must_move(protocol, sampled, needed):
    def score(moving):
        lengths = [0] * 6 + [9] * moving + [0] * (sampled - 1 - moving)
        return dynamic_degree(video(lengths, size=(20, 20)), WrittenFlow(), protocol)

    assert score(needed).needed == needed and score(needed).dynamic
    assert needed == 0 or not score(needed - 1).dynamic


@pytest.mark.parametrize("protocol", Protocol)
@pytest.mark.parametrize("fps", [1, 4])
def test_four_frames_a_second_and_fewer_are_refused(protocol, fps):
    with pytest.raises(LumosXError, match=f"has {fps} frames a second, expected more than 4"):
        dynamic_degree(video([0] * 20, fps), WrittenFlow(), protocol)


def test_too_short_a_video_and_nonsense_are_refused():
    with pytest.raises(LumosXError, match="has 6 frames, of which 1 would be compared"):
        dynamic_degree(video([0] * 6), WrittenFlow())
    with pytest.raises(LumosXError, match="written returned a flow"):
        dynamic_degree(video([0] * 6 + [float("1e38")] * 2, size=(20, 20)), _Overflowing())


class _Overflowing(WrittenFlow):
    def flow(self, first, second):
        return super().flow(first, second) * 1e38
