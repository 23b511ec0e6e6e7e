"""Pictures and text are left out so that layout, latents and phrases still belong together."""

from __future__ import annotations

import pytest
import torch
from fakes import TEXT_DIM, FakeCache

from lumosx_core.scene.layout import ReferenceLayout
from lumosx_training.data.items import collate
from lumosx_training.loop.batches.dropout import ungrouped, without_pictures, without_text

LAYOUT = ReferenceLayout(2, (1, 3))


@pytest.fixture
def batch():
    cache = FakeCache([LAYOUT] * 4)
    return collate([cache.item(index) for index in range(4)])


@pytest.mark.parametrize(
    ("dropped", "left"),
    [
        ([], LAYOUT),
        ([0], ReferenceLayout(1, (1, 3))),
        ([2], ReferenceLayout(2, (3,))),
        ([4], ReferenceLayout(2, (1, 2))),
        ([1, 2, 3], ReferenceLayout(1, (2,))),
        (range(6), ReferenceLayout(0)),
    ],
)
def test_the_layout_describes_the_pictures_that_are_left(batch, dropped, left):
    fewer = without_pictures(batch, dropped)
    kept = [picture for picture in range(6) if picture not in dropped]
    assert fewer.scene.layout == left
    assert torch.equal(fewer.scene.references, batch.scene.references[:, :, kept])
    assert torch.equal(fewer.scene.phrase_mask, batch.scene.phrase_mask[:, kept])
    assert torch.equal(fewer.video, batch.video)


def test_a_clip_without_text_has_the_encoding_of_the_empty_text_and_zeros_behind_it(batch):
    empty = torch.full((2, TEXT_DIM), 0.5)
    silent = without_text(batch, [1], empty)
    assert torch.equal(silent.text[1, :2], empty)
    assert not silent.text[1, 2:].any()
    assert torch.equal(silent.text[[0, 2, 3]], batch.text[[0, 2, 3]])
    assert torch.equal(silent.scene.phrase_mask, batch.scene.phrase_mask)


def test_an_empty_text_longer_than_all_captions_finds_room(batch):
    longer = batch.text.shape[1] + 3
    silent = without_text(batch, [0], torch.ones(longer, TEXT_DIM))
    assert silent.text.shape[1] == longer
    assert silent.text[0].all() and not silent.text[1, -3:].any()


def test_ungrouped_pictures_stand_alone_in_another_order_for_each_clip(batch):
    shuffled = ungrouped(batch, seed=5)
    assert shuffled.scene.layout == ReferenceLayout(6)
    orders = []
    for clip in range(4):
        order = [
            next(
                i
                for i in range(6)
                if torch.equal(batch.scene.references[clip, :, i], shuffled.scene.references[clip, :, place])
            )
            for place in range(6)
        ]
        assert sorted(order) == list(range(6))
        assert torch.equal(shuffled.scene.phrase_mask[clip], batch.scene.phrase_mask[clip, order])
        orders.append(tuple(order))
    assert len(set(orders)) > 1


def test_the_order_belongs_to_seed_and_place(batch):
    same = ungrouped(batch, seed=5, positions=[0, 1, 2, 3])
    assert torch.equal(same.scene.references, ungrouped(batch, seed=5).scene.references)
    assert not torch.equal(same.scene.references, ungrouped(batch, seed=6).scene.references)
    moved = ungrouped(batch, seed=5, positions=[3, 1, 2, 0])
    assert torch.equal(moved.scene.references[1:3], same.scene.references[1:3])
    assert not torch.equal(moved.scene.references[0], same.scene.references[0])
