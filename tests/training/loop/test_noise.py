"""Noise draws depend only on seed, step and position, and have the right distribution."""

from __future__ import annotations

import math

import torch

from lumosx_training.loop.batches.noise import draw_fraction, draw_noise, draw_seed, draw_timestep, draw_timesteps
from lumosx_training.loop.config import TimestepSettings

UNIFORM = TimestepSettings()


def quantiles(settings, count=4000):
    drawn = torch.tensor([draw_timestep(settings, 0, step, 0) for step in range(count)])
    return [float(drawn.quantile(share)) for share in (0.25, 0.5, 0.75)]


def test_a_clip_gets_the_same_noise_wherever_it_is_drawn():
    whole = draw_noise((3, 2), 7, 11, range(4))
    assert torch.equal(draw_noise((3, 2), 7, 11, [1, 3]), whole[1::2])
    timesteps = draw_timesteps(UNIFORM, 7, 11, range(4))
    assert torch.equal(draw_timesteps(UNIFORM, 7, 11, [1, 3]), timesteps[1::2])


def test_seed_step_and_place_each_change_what_is_drawn():
    keys = [(0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1), (1, 11, 0), (11, 1, 0)]
    assert len({draw_seed("noise", *key) for key in keys}) == len(keys)
    assert draw_seed("noise", 0, 0, 0) != draw_seed("timestep", 0, 0, 0)


def test_draws_stay_the_same_from_release_to_release():
    """A run that is resumed after an update must not see other noise."""
    assert draw_seed("noise", 1, 2, 3) == 14559745102293507366
    assert draw_fraction("text", 1, 2, 3) == 0.8061431667772642


def test_noise_is_normal():
    noise = draw_noise((200, 200), 0, 0, [0])
    assert abs(noise.mean()) < 0.02 and abs(noise.std() - 1) < 0.02


def test_uniform_timesteps_reach_from_clean_to_noise():
    assert [round(each / 25) for each in quantiles(UNIFORM)] == [10, 20, 30]
    drawn = draw_timesteps(UNIFORM, 0, 0, range(3000))
    assert 0 <= drawn.min() < 2 and 998 < drawn.max() <= 1000


def test_logit_normal_timesteps_prefer_the_middle():
    low, middle, high = quantiles(TimestepSettings("logit_normal", mean=0.5, std=0.8))
    normal = 0.6745  # quartile of the normal distribution
    for drawn, at in ((low, -normal), (middle, 0), (high, normal)):
        assert abs(drawn - 1000 / (1 + math.exp(-(0.5 + 0.8 * at)))) < 15


def test_a_shift_moves_levels_as_the_sampler_does():
    shifted = quantiles(TimestepSettings(shift=3.0))
    for drawn, share in zip(shifted, (0.25, 0.5, 0.75), strict=True):
        assert abs(drawn - 1000 * 3 * share / (1 + 2 * share)) < 25
