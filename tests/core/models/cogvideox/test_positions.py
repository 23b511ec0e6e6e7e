"""Positions of tokens, beside those that are compared with recorded numbers and with diffusers."""

from __future__ import annotations

import math

import pytest
import torch

from lumosx_core import LumosXError
from lumosx_core.models.cogvideox.config import CogVideoXConfig
from lumosx_core.models.cogvideox.positions import position_table, rotary_table, rotate, timestep_embedding


def test_at_the_trained_size_frames_rows_and_columns_have_whole_numbers():
    cos, sin = rotary_table(CogVideoXConfig(), 13, 60, 90)
    assert cos.shape == sin.shape == (13 * 30 * 45, 64)
    slowest = torch.atan2(sin, cos).reshape(13, 30, 45, 64)
    frame, row, column = 2, 3, 1
    angles = slowest[frame, row, column]
    assert angles[[0, 1]].tolist() == pytest.approx([frame] * 2, abs=1e-5)  # a quarter of the channels
    assert angles[[16, 17]].tolist() == pytest.approx([row] * 2, abs=1e-5)
    assert angles[[40, 41]].tolist() == pytest.approx([column] * 2, abs=1e-5)
    assert angles[42].item() == pytest.approx(column / 10000 ** (2 / 24), abs=1e-5)


def test_rotation_keeps_lengths_and_depends_on_distances_only():
    table = rotary_table(CogVideoXConfig(), 3, 60, 90)
    torch.manual_seed(0)
    a, b = (torch.randn(1, 1, 1, 64).expand(-1, -1, 3 * 30 * 45, -1) for _ in range(2))
    turned, other = rotate(a, table), rotate(b, table)
    assert turned.norm(dim=-1).allclose(a.norm(dim=-1))

    def product(first: tuple[int, int, int], second: tuple[int, int, int]) -> torch.Tensor:
        at = [(f * 30 + r) * 45 + c for f, r, c in (first, second)]
        return (turned[0, 0, at[0]] * other[0, 0, at[1]]).sum()

    assert product((0, 1, 2), (1, 4, 9)).allclose(product((1, 3, 10), (2, 6, 17)), atol=1e-3)
    assert not product((0, 1, 2), (1, 4, 9)).allclose(product((0, 1, 2), (1, 4, 10)), atol=1e-3)


def test_another_size_is_refused_with_the_networks_own():
    with pytest.raises(LumosXError, match="96 x 64 pixels, .* learned for 90 x 60 only. Make the video 720 x 480"):
        rotary_table(CogVideoXConfig(), 13, 64, 96)


def test_computed_positions_are_sinusoids_of_time_column_and_row():
    config = CogVideoXConfig(
        num_attention_heads=2, attention_head_dim=16, sample_width=6, sample_height=4, max_text_seq_length=5
    )
    table = position_table(config, 2)
    assert table.shape == (1, 5 + 2 * 2 * 3, 32) and not table[:, :5].any()
    frame, row, column = 1, 1, 2
    token = table[0, 5 + (frame * 2 + row) * 3 + column]
    expected = [math.sin(frame), math.sin(column / 1.875), math.sin(row / 1.875)]
    assert token[[0, 8, 20]].tolist() == pytest.approx(expected, abs=1e-6)
    assert token[[4, 14, 26]].tolist() == pytest.approx(
        [math.cos(frame), math.cos(column / 1.875), math.cos(row / 1.875)], abs=1e-6
    )


def test_the_timestep_has_cosines_first():
    embedding = timestep_embedding(torch.tensor([0, 3]), 8)
    assert embedding[0].tolist() == [1, 1, 1, 1, 0, 0, 0, 0]
    assert embedding[1].tolist() == pytest.approx([f(3 / 10**i) for f in (math.cos, math.sin) for i in range(4)])


def test_a_fraction_of_a_timestep_is_not_lost():
    assert not torch.equal(timestep_embedding(torch.tensor([3.5]), 8), timestep_embedding(torch.tensor([3.0]), 8))
