"""Averaged weights follow the trained ones, and showing them leaves no trace."""

from __future__ import annotations

import pytest
import torch

from lumosx_training.loop.config import EmaSettings
from lumosx_training.loop.ema import Ema


def test_the_average_is_the_one_of_the_formula():
    parameter = torch.zeros(3)
    ema = Ema({"weight": parameter}, EmaSettings(decay=0.9, warmup=False))
    expected = torch.zeros(3)
    for step in range(5):
        parameter += 1
        ema.update(step)
        expected = 0.9 * expected + 0.1 * parameter
    torch.testing.assert_close(ema.averages["weight"], expected)


def test_a_warm_up_begins_with_a_short_memory():
    ema = Ema({}, EmaSettings(decay=0.99, warmup=True))
    assert [ema.decay(0), ema.decay(90), ema.decay(10_000)] == [0.1, 0.91, 0.99]
    assert Ema({}, EmaSettings(decay=0.99, warmup=False)).decay(0) == 0.99


def test_the_start_is_a_copy_of_the_weights():
    parameter = torch.ones(2)
    ema = Ema({"weight": parameter}, EmaSettings())
    parameter += 1
    assert ema.averages["weight"].tolist() == [1, 1]


def test_averages_stand_in_only_while_the_block_runs():
    parameter = torch.tensor([0.1, 0.2]).bfloat16()
    ema = Ema({"weight": parameter}, EmaSettings())
    ema.averages["weight"].fill_(5.0)
    before = parameter.clone()
    with pytest.raises(RuntimeError), ema.swapped_in():
        assert parameter.tolist() == [5, 5]
        raise RuntimeError("a video that cannot be written")
    assert torch.equal(parameter, before)
    assert ema.averages["weight"].tolist() == [5, 5]
