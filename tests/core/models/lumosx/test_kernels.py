"""The three kernels by themselves: places in time and space, who attends to whom, and which words pull."""

from __future__ import annotations

import math
from functools import partial

import pytest
import torch
from golden_cases import attended_keys, csam, largest_difference

from lumosx_core import ReferenceLayout
from lumosx_core.models.lumosx.csam import scaled_dot_product_attention
from lumosx_core.models.lumosx.mcam import biased_cross_attention, cell_bias, word_weights
from lumosx_core.models.lumosx.r2pe import rotary_table, rotate, token_positions


def noise(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


class Spy:
    """An attention function that remembers the shapes it was called with: (queries, keys, mask or None)."""

    def __init__(self):
        self.calls = []

    def __call__(self, q, k, v, attn_mask=None):
        self.calls.append((tuple(q.shape), tuple(k.shape), None if attn_mask is None else tuple(attn_mask.shape)))
        return scaled_dot_product_attention(q, k, v, attn_mask)


# R2PE


def corners(layout, frames, grid, **options):
    """(time, row, column) of the first token of each frame and picture."""
    return token_positions(layout, frames, *grid, **options)[:: grid[0] * grid[1]].tolist()


def test_video_tokens_stand_at_their_frame_row_and_column():
    assert token_positions(ReferenceLayout(0), 2, 2, 3).tolist() == [
        [time, row, column] for time in range(2) for row in range(2) for column in range(3)
    ]


def test_standalone_pictures_follow_one_by_one_and_a_subject_takes_one_moment_for_all_its_pictures():
    assert corners(ReferenceLayout(2, (3, 1)), 4, (5, 6)) == [
        *([time, 0, 0] for time in range(4)),
        *([4, 0, 0], [5, 0, 0]),
        *([6, 0, 0], [6, 5, 6], [6, 10, 12]),
        [7, 0, 0],
    ]


def test_no_two_tokens_share_a_place():
    positions = token_positions(ReferenceLayout(1, (4, 2, 3)), 3, 3, 5)
    assert len(set(map(tuple, positions.tolist()))) == len(positions) == 13 * 15


def test_without_r2pe_each_picture_follows_in_time_as_a_frame_would():
    assert corners(ReferenceLayout(1, (2,)), 2, (4, 4), r2pe=False) == [[time, 0, 0] for time in range(5)]


def test_a_subject_without_pictures_leaves_its_moment_empty():
    assert corners(ReferenceLayout(0, (1, 0, 1)), 1, (2, 2)) == [[0, 0, 0], [1, 0, 0], [3, 0, 0]]


def test_attention_after_rotation_depends_on_distance_alone():
    q, k = noise(2, 1, 1, 1, 128).unbind(0)

    def logit(at_q, at_k):
        cos, sin = rotary_table(torch.tensor([at_q, at_k]), 128)
        return (rotate(q[None], cos[:1], sin[:1]) * rotate(k[None], cos[1:], sin[1:])).sum().item()

    assert logit((3, 5, 7), (1, 9, 2)) == pytest.approx(logit((13, 105, 57), (11, 109, 52)), abs=1e-4)
    assert logit((3, 5, 7), (1, 9, 2)) != pytest.approx(logit((3, 5, 7), (1, 9, 3)), abs=1e-2)


def test_rotation_keeps_lengths_and_the_origin():
    x = noise(1, 2, 3, 128)
    rotated = rotate(x, *rotary_table(torch.tensor([[0, 0, 0], [900, 40, 1000]]), 128))
    assert torch.equal(rotated[:, 0], x[:, 0])
    assert largest_difference(rotated.norm(dim=-1), x.norm(dim=-1)) <= 1e-5


def test_each_pair_of_neighbouring_channels_turns_by_its_own_angle():
    angles = torch.tensor([[0.0, 0.3, math.pi / 2]])
    x = torch.tensor([1.0, 0.0, 1.0, 0.0, 0.0, 2.0]).view(1, 1, 1, 6)
    expected = torch.tensor([1.0, 0.0, math.cos(0.3), math.sin(0.3), -2.0, 0.0]).view(1, 1, 1, 6)
    assert largest_difference(rotate(x, angles.cos(), angles.sin()), expected) <= 1e-6


def test_angles_keep_float32_precision_at_the_farthest_positions():
    place = 1000
    cos, sin = rotary_table(torch.tensor([[place, 0, 0], [0, place, 0], [0, 0, place]]), 128)
    first_pair_of_axis = (0, 22, 43)  # its frequency is 1, the next one 10000^(-1/pairs)
    for axis, (pair, pairs) in enumerate(zip(first_pair_of_axis, (22, 21, 21), strict=True)):
        for step in range(pairs):
            angle = place * 10000 ** (-step / pairs)
            assert cos[axis, pair + step].item() == pytest.approx(math.cos(angle), abs=1e-7)
            assert sin[axis, pair + step].item() == pytest.approx(math.sin(angle), abs=1e-7)


def test_rotation_computes_in_float32_whatever_comes_in():
    x = noise(1, 4, 1, 128).bfloat16()
    table = rotary_table(torch.tensor([[700, 30, 30]] * 4), 128)
    assert torch.equal(rotate(x, *table), rotate(x.float(), *table).bfloat16())


# CSAM


def reach(layout, frames, tokens):
    self_attention = partial(csam, layout=layout, image_tokens=tokens)
    total = frames + layout.pictures
    per_token = attended_keys(self_attention, total * tokens).view(total, tokens, total, tokens)
    assert (
        per_token.any(3).any(1) == per_token.all(3).all(1)
    ).all()  # frames and pictures are seen whole or not at all
    return per_token.all(3).all(1).int().tolist()


def test_video_sees_everything_and_each_group_sees_itself():
    assert reach(ReferenceLayout(1, (2, 1)), frames=2, tokens=3) == [
        [1, 1, 1, 1, 1, 1],
        [1, 1, 1, 1, 1, 1],
        [0, 0, 1, 0, 0, 0],
        [0, 0, 0, 1, 1, 0],
        [0, 0, 0, 1, 1, 0],
        [0, 0, 0, 0, 0, 1],
    ]


@pytest.mark.parametrize("frames", [1, 2, 3])
def test_a_video_as_long_as_a_group_is_still_the_video(frames):
    """The official code takes a group of as many pictures as the video has frames for the video."""
    rows = reach(ReferenceLayout(1, (2, 3)), frames, tokens=2)
    assert rows[:frames] == [[1] * (frames + 6)] * frames
    assert rows[frames] == [0] * frames + [1, 0, 0, 0, 0, 0]
    assert rows[frames + 1] == rows[frames + 2] == [0] * frames + [0, 1, 1, 0, 0, 0]
    assert rows[frames + 3] == rows[frames + 5] == [0] * frames + [0, 0, 0, 1, 1, 1]


def test_groups_of_equal_size_share_one_call_and_nothing_is_masked():
    layout, spy = ReferenceLayout(2, (3, 1, 2, 3)), Spy()
    q, k, v = noise(3, 2, 4, (5 + 11) * 6, 8).unbind(0)
    out = csam(q, k, v, layout, 6, spy)
    assert spy.calls == [
        ((2, 4, 30, 8), (2, 4, 96, 8), None),  # the video over everything
        ((6, 4, 6, 8), (6, 4, 6, 8), None),  # 2 videos x 3 single pictures
        ((4, 4, 18, 8), (4, 4, 18, 8), None),  # 2 x 2 subjects of three
        ((2, 4, 12, 8), (2, 4, 12, 8), None),  # 2 x the subject of two
    ]
    assert out.shape == q.shape


def test_mixed_group_sizes_come_back_in_their_own_order():
    layout, tokens = ReferenceLayout(1, (3, 1, 0, 2, 3)), 4
    q, k, v = noise(3, 2, 2, (2 + 10) * tokens, 8).unbind(0)
    out = csam(q, k, v, layout, tokens)
    for group in filter(len, layout.groups):
        own = slice((2 + group.start) * tokens, (2 + group.stop) * tokens)
        alone = scaled_dot_product_attention(q[:, :, own], k[:, :, own], v[:, :, own])
        assert largest_difference(out[:, :, own], alone) <= 1e-6


def test_without_pictures_it_is_plain_attention():
    q, k, v = noise(3, 1, 2, 12, 8).unbind(0)
    for layout in (ReferenceLayout(0), ReferenceLayout(0, (0, 0))):
        assert torch.equal(csam(q, k, v, layout, 4), scaled_dot_product_attention(q, k, v))


# MCAM

# Words 0 1: background; 2: "man", of both subjects; 3: hat of the first; 4 5: coat of the second; 6: of nobody.
PHRASES = torch.tensor(
    [
        [1, 1, 0, 0, 0, 0, 0],
        [0, 0, 1, 0, 0, 0, 0],
        [0, 0, 0, 1, 0, 0, 0],
        [0, 0, 1, 0, 0, 0, 0],
        [0, 0, 0, 0, 1, 1, 0],
    ],
    dtype=torch.bool,
)


def test_subjects_are_drawn_to_all_their_own_words_and_kept_from_each_others():
    first, second = [0, 0, 0, 1, -1, -1, 0], [0, 0, 0, -1, 1, 1, 0]  # a shared word cancels out
    assert word_weights(PHRASES, ReferenceLayout(1, (2, 2))).tolist() == [
        [1, 1, 0, 0, 0, 0, 0],
        *[first] * 2,
        *[second] * 2,
    ]


def test_words_of_the_others_count_by_their_mean():
    phrases = torch.eye(3, dtype=torch.bool)
    assert word_weights(phrases, ReferenceLayout(0, (1, 1, 1))).tolist() == [
        [1, -0.5, -0.5],
        [-0.5, 1, -0.5],
        [-0.5, -0.5, 1],
    ]
    shared = torch.tensor([[1, 0], [1, 0], [0, 1]], dtype=torch.bool)
    assert word_weights(shared, ReferenceLayout(0, (1, 1, 1))).tolist() == [[0.5, -0.5], [0.5, -0.5], [-1, 1]]


def test_a_single_subject_and_standalone_pictures_have_no_others():
    assert word_weights(PHRASES, ReferenceLayout(1, (4,))).tolist() == [
        [1, 1, 0, 0, 0, 0, 0],
        *[[0, 0, 1, 1, 1, 1, 0]] * 4,
    ]
    assert torch.equal(word_weights(PHRASES, ReferenceLayout(5)), PHRASES.float())


def test_a_word_named_twice_in_one_subject_counts_once():
    twice = torch.tensor([[1, 0], [1, 1]], dtype=torch.bool)
    assert word_weights(twice, ReferenceLayout(0, (2,))).tolist() == [[1, 1], [1, 1]]


def dense_bias(q, k, weights, grid, ratio):
    """(B, N, R*P, J): the bias of every token, written out."""
    (batch, heads, _, d), (height, width), columns = q.shape, grid, -(-grid[1] // 8)
    maps = q.view(batch, heads, len(weights), height, width, d)
    bias = torch.zeros(batch, heads, len(weights), height * width, k.shape[2])
    for p in range(height * width):
        row, column = p // (columns * 8) // 8, p % (columns * 8) // 8
        cell = maps[..., row * 8 : row * 8 + 8, column * 8 : column * 8 + 8, :].sum((3, 4)) / 64
        bias[..., p, :] = ratio * (cell @ k.mT).abs() / math.sqrt(d) * weights[:, None].transpose(0, 1)
    return bias.flatten(2, 3)


@pytest.mark.parametrize("grid", [(8, 8), (9, 11), (5, 6), (17, 3), (1, 1), (3, 17), (16, 24)], ids=str)
def test_cross_attention_equals_one_with_the_bias_written_out_for_every_token(grid):
    layout, video_tokens = ReferenceLayout(1, (2, 2)), 2 * grid[0] * grid[1]
    weights = word_weights(PHRASES, layout)
    q = 3 * noise(2, 2, 7 * grid[0] * grid[1], 16) + noise(2, 2, 1, 16, seed=1)
    k, v = 3 * noise(2, 2, 7, 16, seed=2), noise(2, 2, 7, 16, seed=3)
    bias = dense_bias(q[:, :, video_tokens:], k, weights, grid, ratio=0.5)
    assert bias.abs().max() > 0.1
    dense = torch.cat([torch.zeros(2, 2, video_tokens, 7), bias], dim=2)
    ours = biased_cross_attention(q, k, v, weights, grid, 0.5)
    assert largest_difference(ours, scaled_dot_product_attention(q, k, v, dense)) <= 1e-5


def test_a_cell_at_the_edge_divides_by_64_though_it_holds_fewer_tokens():
    q, k, weights = torch.ones(1, 1, 9 * 8, 4), torch.ones(1, 1, 1, 4), torch.ones(1, 1)
    bias = cell_bias(q, k, weights, (9, 8), ratio=1.0)
    assert bias.flatten().tolist() == [2.0, 2.0 * 8 / 64]  # a full cell, and one with one row of eight tokens in it


def test_the_pull_of_a_word_does_not_depend_on_the_sign_of_its_likeness():
    q, k, weights = noise(1, 2, 64, 8), noise(1, 2, 5, 8, seed=1), torch.tensor([[1.0, -1, 0.5, 0, 1]])
    bias = cell_bias(q, k, weights, (8, 8), ratio=0.5)
    assert torch.equal(bias, cell_bias(q, -k, weights, (8, 8), ratio=0.5))
    assert torch.equal(bias.sign()[0, 0, 0], weights.sign().expand(2, -1))
    assert torch.equal(cell_bias(q, k, weights, (8, 8), ratio=1.0), 2 * bias)


def test_only_pictures_carry_a_bias_and_it_is_one_row_a_cell():
    grid, spy = (9, 11), Spy()
    q, k, v = noise(2, 3, (4 + 5) * 99, 16), noise(2, 3, 7, 16, seed=1), noise(2, 3, 7, 16, seed=2)
    biased_cross_attention(q, k, v, word_weights(PHRASES, ReferenceLayout(1, (2, 2))), grid, 0.5, spy)
    video, *pictures = spy.calls
    assert video == ((2, 3, 4 * 99, 16), (2, 3, 7, 16), None)
    # 99 tokens are 2 cells of 64 when counted along; 5 pictures; one call for each video.
    assert pictures == [((5 * 2, 3, 64, 16), (5 * 2, 3, 7, 16), (5 * 2, 3, 1, 7))] * 2


def test_without_pictures_or_strength_there_is_one_plain_call():
    q, k, v = noise(1, 2, 6 * 4, 8), noise(1, 2, 7, 8, seed=1), noise(1, 2, 7, 8, seed=2)
    weights = word_weights(PHRASES, ReferenceLayout(5))
    for weights_, ratio in ((weights[:0], 0.5), (weights, 0.0)):
        spy = Spy()
        assert torch.equal(
            biased_cross_attention(q, k, v, weights_, (2, 2), ratio, spy), scaled_dot_product_attention(q, k, v)
        )
        assert spy.calls == [((1, 2, 24, 8), (1, 2, 7, 8), None)]


def test_a_picture_without_words_attends_as_plain_attention_does():
    q, k, v = noise(1, 2, 3 * 64, 8), noise(1, 2, 7, 8, seed=1), noise(1, 2, 7, 8, seed=2)
    weights = torch.zeros(3, 7)
    out = biased_cross_attention(q, k, v, weights, (8, 8), 0.5)
    assert largest_difference(out, scaled_dot_product_attention(q, k, v)) <= 1e-6


def test_gradients_reach_queries_and_keys_through_the_bias():
    q, k = noise(1, 2, 2 * 64, 8).requires_grad_(), noise(1, 2, 7, 8, seed=1).requires_grad_()
    weights = word_weights(PHRASES[:2], ReferenceLayout(1, (1,)))
    cell_bias(q, k, weights, (8, 8), 0.5).sum().backward()
    # d|S|/dq = sign(S) k / (64 sqrt(d)), on the words of each picture alone.
    pooled = q.detach().view(1, 2, 2, 64, 8).mean(3)
    sign = (pooled @ k.detach().mT).sign() * weights * 0.5 / math.sqrt(8)
    expected_q = (sign @ k.detach() / 64)[:, :, :, None].expand(-1, -1, -1, 64, -1).flatten(2, 3)
    assert largest_difference(q.grad, expected_q) <= 1e-6
    assert largest_difference(k.grad, sign.mT @ pooled) <= 1e-6
    assert k.grad[0, :, :3].abs().min() > 0 and not k.grad[0, :, 3:].any()
