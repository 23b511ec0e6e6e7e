import math

import numpy as np
import pytest
import torch
from coloured_world import cosine

from lumosx_core.errors import LumosXError
from lumosx_core.evaluation.measured_video import Protocol, Video
from lumosx_core.evaluation.metrics.consistency import consistency, self_consistency
from lumosx_core.evaluation.networks import NetworkNote


class BrightFrames:
    """The mean colour of each of the frames that it was given, of which it keeps the shape."""

    note = NetworkNote("bright", "none", False)

    def embed_video(self, frames):
        self.seen = frames
        vector = frames.mean(dim=(1, 2)).flatten()
        return vector / vector.norm()

    def embed_text(self, text):
        return torch.tensor([len(text), *[1.0] * 23]) / math.hypot(len(text), 23**0.5)


def numbered(frames: int, fps: float = 8, seed: int = 0) -> Video:
    colours = np.random.default_rng(seed).random((frames, 1, 1, 3))
    return Video(torch.tensor(colours).float().expand(frames, 12, 20, 3), fps)


def by_hand(frames) -> np.ndarray:
    stride = len(frames) // 8
    return np.concatenate([frames[i * stride, 0, 0].numpy() for i in range(8)])


@pytest.mark.parametrize("frames", [8, 15, 16, 41, 81])
def test_eight_frames_at_a_stride_of_an_eighth(frames):
    network, video, truth = BrightFrames(), numbered(frames), numbered(30, seed=1)
    scores = consistency(video, "a man", network, truth)
    own = by_hand(video.frames)
    assert scores.text == pytest.approx(cosine(own, network.embed_text("a man").numpy()), abs=1e-5)
    assert scores.video == pytest.approx(cosine(own, by_hand(truth.frames)), abs=1e-5)
    assert network.seen.shape == (8, 224, 224, 3)


def test_reference_cuts_the_ground_truth_alone():
    network, video, truth = BrightFrames(), numbered(60), numbered(60, fps=8.9, seed=1)
    scores = consistency(video, "a man", network, truth, Protocol.REFERENCE)
    cut = truth.frames[10:40]  # 5 * int(8.9) = 40
    assert scores.video == pytest.approx(cosine(by_hand(video.frames), by_hand(cut)), abs=1e-5)
    clean = consistency(video, "a man", network, truth)
    assert clean.video == pytest.approx(cosine(by_hand(video.frames), by_hand(truth.frames)), abs=1e-5)
    assert clean.text == scores.text and clean.video != scores.video


def test_without_a_ground_truth_there_is_only_the_text():
    assert consistency(numbered(9), "a man", BrightFrames()).video is None


def test_short_videos_are_refused():
    with pytest.raises(LumosXError, match="7 frames to embed, expected at least 8"):
        consistency(numbered(7), "a man", BrightFrames())
    with pytest.raises(LumosXError, match="0 frames to embed"):
        consistency(numbered(9), "a man", BrightFrames(), numbered(9), Protocol.REFERENCE)


def test_self_consistency_is_the_mean_of_cosines_to_the_previous_and_the_first_frame():
    chance = np.random.default_rng(0)
    vectors = chance.normal(size=(7, 4))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    frames = []
    for i in range(1, 7):
        frames.append((max(0, cosine(vectors[i], vectors[i - 1])) + max(0, cosine(vectors[i], vectors[0]))) / 2)
    assert min(cosine(vectors[i], vectors[0]) for i in range(7)) < 0  # so that the clipping is seen
    assert self_consistency(torch.tensor(vectors).float()) == pytest.approx(sum(frames) / 6, abs=1e-6)


def test_one_frame_has_no_consistency():
    assert self_consistency(torch.ones(1, 4)) is None
