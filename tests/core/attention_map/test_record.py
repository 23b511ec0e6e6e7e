"""Recorded attention against a softmax over everything at once."""

import math
from dataclasses import replace

import pytest
import torch
from model_calls import predict

from lumosx_core import ReferenceLayout
from lumosx_core.attention_map import record as attention_record
from lumosx_core.attention_map.record import (
    AttentionPass,
    AttentionRecording,
    asked_tokens,
    attention_to_pictures,
    picture_content,
)
from lumosx_core.models.lumosx.tiny import tiny_files
from lumosx_core.models.lumosx.weights.load import load_model

LAYOUT, LABELS = ReferenceLayout(1, (2,)), ("room", "man", "jacket")
FRAMES, GRID = 2, (3, 4)
TOKENS, PICTURE = FRAMES * 12, 12
LENGTH = TOKENS + 3 * PICTURE


def queries_and_keys(batch=1, seed=0, heads=2, width=8):
    chance = torch.Generator().manual_seed(seed)
    return [2 * torch.randn(batch, heads, LENGTH, width, generator=chance) for _ in range(2)]


def dense_mass(q, k, content, key_bias=None):
    """(B, T, h, w, R), by the textbook."""
    logits = q.double() @ k.double().transpose(-1, -2) / math.sqrt(q.shape[-1])
    logits = logits + (0 if key_bias is None else key_bias.double())
    weights = logits.softmax(-1).mean(1)[:, :TOKENS, TOKENS:].unflatten(-1, (3, PICTURE))
    return (weights * content.double()).sum(-1).unflatten(1, (FRAMES, *GRID))


def seen(videos=(0,), content=None, pictures=(0, 1, 2), frames=range(FRAMES), key_bias=None):
    content = torch.ones(len(pictures), PICTURE) if content is None else content
    return AttentionPass(pictures, frames, videos, content, key_bias)


def recording(videos=1, frames=FRAMES):
    return AttentionRecording(LAYOUT, LABELS, videos, frames, GRID)


@pytest.mark.parametrize("most", [2**24, 130])
def test_the_share_of_each_picture_is_that_of_a_softmax_over_all_tokens_however_small_the_memory(monkeypatch, most):
    monkeypatch.setattr(attention_record, "MOST_WEIGHTS", most)
    q, k = queries_and_keys(batch=2)
    content, bias = torch.rand(3, PICTURE), torch.rand(LENGTH)
    tokens = torch.tensor([0, 5, 17, 23])
    found = attention_to_pictures(q, k, tokens, content, bias)
    expected = dense_mass(q, k, content, bias).flatten(1, 3)[:, tokens]
    assert found.shape == (2, 4, 3) and found.dtype == torch.float32
    assert torch.allclose(found.double(), expected, atol=1e-6)


def test_a_recording_is_the_mean_over_all_that_was_added_for_each_video_and_picture():
    record = recording(videos=2)
    first, second, content = queries_and_keys(2), queries_and_keys(2, seed=1), torch.rand(3, PICTURE)
    record.add(seen((0, 1), content), *first)
    record.add(seen((0, 1), content), *second)
    found = record.finish()
    expected = (dense_mass(*first, content) + dense_mass(*second, content)) / 2
    assert torch.allclose(found.mass.double(), expected.movedim(-1, 1), atol=1e-6)
    assert (found.seen, found.layout, found.labels) == ((True,) * 3, LAYOUT, LABELS)


def test_only_the_named_rows_of_the_batch_are_recorded_and_several_conditionings_are_averaged():
    q, k = queries_and_keys(batch=3)
    record = recording()
    record.add(seen((0, 2)), q, k)
    expected = dense_mass(q, k, torch.ones(3, PICTURE))[[0, 2]].mean(0, keepdim=True)
    assert torch.allclose(record.finish().mass.double(), expected.movedim(-1, 1), atol=1e-6)


def test_a_picture_is_averaged_over_the_passes_that_saw_it_and_never_seen_ones_are_told():
    q, k = queries_and_keys()
    record = recording()
    record.add(seen(), q, k)
    fewer = [part[:, :, : TOKENS + PICTURE] for part in (q, k)]
    record.add(seen(pictures=(1,)), *fewer)
    mass = record.finish().mass
    both = dense_mass(q, k, torch.ones(3, PICTURE)).movedim(-1, 1)
    assert torch.allclose(mass[:, [0, 2]].double(), both[:, [0, 2]], atol=1e-6)
    assert not torch.allclose(mass[:, 1].double(), both[:, 1], atol=1e-3)

    record = recording()
    record.add(seen(pictures=(1,)), *fewer)
    assert record.finish().seen == (False, True, False)
    assert (record.finish().mass[:, [0, 2]] == 0).all()


def test_windows_over_time_fill_their_own_frames():
    q, k = queries_and_keys()
    record = recording(frames=3)
    record.add(seen(frames=[0, 1]), q, k)
    record.add(seen(frames=[1, 2]), q, k)
    window = dense_mass(q, k, torch.ones(3, PICTURE)).movedim(-1, 1)[0].float()
    mass = record.finish().mass[0]
    assert torch.allclose(mass[:, 0], window[:, 0], atol=1e-6)
    assert torch.allclose(mass[:, 1], (window[:, 1] + window[:, 0]) / 2, atol=1e-6)
    assert torch.allclose(mass[:, 2], window[:, 1], atol=1e-6)


def test_nothing_recorded_is_nothing():
    assert recording().finish() is None


def test_few_enough_tokens_are_asked_and_they_are_spread_evenly():
    for frames, grid in ((3, (4, 5)), (21, (30, 52)), (1, (1, 1)), (81, (64, 64)), (5000, (2, 2))):
        rows, columns = asked_tokens(frames, grid)
        assert frames * len(rows) * len(columns) <= max(attention_record.MOST_QUERIES, frames)
        for places, side in ((rows, grid[0]), (columns, grid[1])):
            steps = (places[1:] - places[:-1]).unique()
            assert len(steps) <= 1 and places[0] >= 0 and places[-1] < side
            if len(steps):
                assert abs(places[0] - (side - 1 - places[-1])) <= steps[0]
    assert [len(places) for places in asked_tokens(3, (4, 5))] == [4, 5]
    assert [len(places) for places in asked_tokens(21, (30, 52))] == [7, 13]


def test_what_is_asked_of_a_large_video_is_what_stands_at_those_places(monkeypatch):
    monkeypatch.setattr(attention_record, "MOST_QUERIES", 10)
    q, k = queries_and_keys()
    record = recording()
    record.add(seen(), q, k)
    rows, columns = asked_tokens(FRAMES, GRID)
    assert (len(rows), len(columns)) == (1, 2)
    everything = dense_mass(q, k, torch.ones(3, PICTURE)).movedim(-1, 1)
    assert torch.allclose(record.finish().mass.double(), everything[:, :, :, rows][..., columns], atol=1e-6)


def test_the_ground_around_what_a_picture_shows_does_not_count():
    latents = torch.zeros(1, 16, 2, 8, 12)
    latents[:, :, :] = torch.randn(16, 1, 1, 1, generator=torch.Generator().manual_seed(0))
    latents[:, :, 1, 2:6, 4:8] += 3  # the second image shows something in the middle
    content = picture_content(latents).view(2, 4, 6)
    assert (content[0] == 1).all()  # nothing but ground: then that is what it shows
    assert (content[1, 1:3, 2:4] == 1).all() and content[1].sum() == 4


def test_a_slight_difference_from_the_ground_counts_little():
    latents = torch.zeros(1, 16, 1, 8, 12)
    latents[..., 2:4, 4:6] = 1.0
    latents[..., 4:6, 4:6] = 0.45
    latents[..., 4:6, 6:8] = 0.2
    content = picture_content(latents).view(4, 6)
    assert content[1, 2] == 1 and content[2, 2] == pytest.approx(0.5) and content[2, 3] == 0


def test_recording_the_blocks_of_a_model_changes_no_bit_and_draws_no_random_number():
    model = load_model(tiny_files().diffusion_model).eval().requires_grad_(False)
    chance = torch.Generator().manual_seed(0)
    inputs = [torch.randn(shape, generator=chance) for shape in ((1, 16, 2, 6, 8), (1, 20, 4096), (1, 16, 3, 6, 8))]
    video, text, references = inputs

    def run():
        with torch.no_grad():
            return predict(model, video, torch.tensor([500]), text, references, LAYOUT, torch.rand(3, 512) < 0.1)

    torch.manual_seed(0)
    plain, state = run(), torch.get_rng_state()
    record = recording()
    relate = model.relate

    def watched(*arguments):
        observe = lambda q, k: record.add(seen(content=picture_content(references)), q, k)  # noqa: E731
        return replace(relate(*arguments), observe=observe)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(model, "relate", watched)
        torch.manual_seed(0)
        assert torch.equal(run(), plain)
    assert torch.equal(torch.get_rng_state(), state)
    mass = record.finish().mass
    assert mass.shape == (1, 3, FRAMES, *GRID) and 0 < mass.sum(1).max() <= 1
