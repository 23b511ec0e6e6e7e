"""Batches: the same for any number of processes, complete whatever is damaged, dropped out as the config says."""

from __future__ import annotations

import logging
from collections import Counter

import pytest
import torch
from fakes import FakeCache, tiny_config

from lumosx_core.errors import LumosXError
from lumosx_core.scene.layout import ReferenceLayout
from lumosx_training.loop.loading import Loader

ALONE, PAIR = ReferenceLayout(1, (2,)), ReferenceLayout(0, (2, 1))


def loader(tmp_path, cache, rank=0, processes=1, **tables):
    return Loader(cache, tiny_config(tmp_path, **tables), rank, processes)


def tensors(part):
    batch = part.batch
    return batch.video, batch.references, batch.phrase_mask, part.timestep, part.noise


def joined(parts):
    return [torch.cat(each) for each in zip(*map(tensors, parts), strict=True)]


def test_processes_and_parts_divide_a_batch_and_change_nothing(tmp_path):
    cache = FakeCache([ALONE] * 5 + [PAIR] * 7)
    tables = {"training": {"batch_size": 8}, "data": {"text_dropout": 0.5, "picture_dropout": 0.3}}
    for step in range(4):
        [whole] = loader(tmp_path, cache, **tables).step(step)
        divided = [loader(tmp_path, cache, rank, 2, **tables).step(step)[0] for rank in range(2)]
        for all_clips, *shares in zip(tensors(whole), *map(tensors, divided), strict=True):
            assert [torch.equal(share, all_clips[rank::2]) for rank, share in enumerate(shares)] == [True, True]
        tables["training"]["accumulate"] = 4
        parts = loader(tmp_path, cache, **tables).step(step)
        del tables["training"]["accumulate"]
        assert [len(part.batch.keys) for part in parts] == [2] * 4
        assert all(map(torch.equal, joined(parts), joined([whole])))


def test_a_batch_that_does_not_divide_is_refused(tmp_path):
    with pytest.raises(LumosXError, match="training.batch_size 8 does not divide into 3 processes"):
        loader(tmp_path, FakeCache([ALONE]), 0, 3, training={"batch_size": 8})


def test_a_thread_gives_the_batches_that_would_come_without_it(tmp_path):
    cache = FakeCache([ALONE] * 6)
    plain = list(loader(tmp_path, cache).steps(3, 9))
    ahead = list(loader(tmp_path, cache, data={"prefetch": 3}).steps(3, 9))
    assert len(plain) == len(ahead) == 6
    for one, other in zip(plain, ahead, strict=True):
        assert all(map(torch.equal, joined(one), joined(other)))


def test_what_goes_wrong_in_the_thread_is_raised_where_the_batch_is_wanted(tmp_path):
    cache = FakeCache([ALONE] * 2, damaged=range(2))
    with pytest.raises(LumosXError, match="No clip in in memory can be used"):
        next(loader(tmp_path, cache, data={"prefetch": 2}).steps(0, 5))


def test_a_thread_ends_when_nobody_wants_its_batches(tmp_path):
    batches = loader(tmp_path, FakeCache([ALONE] * 4), data={"prefetch": 1}).steps(0, 10_000)
    next(batches)
    batches.close()  # waits for the thread: a test that hangs here has failed


def test_a_damaged_item_is_told_once_and_replaced_by_one_of_its_kind(tmp_path, caplog):
    cache = FakeCache([ALONE] * 4 + [PAIR] * 4, damaged=[1, 6])
    batches = loader(tmp_path, cache, training={"batch_size": 4})
    with caplog.at_level(logging.WARNING):
        seen = [batches.step(step)[0].batch for step in range(8)]
    assert {key for batch in seen for key in batch.keys} == {f"clip{i}" for i in (0, 2, 3, 4, 5, 7)}
    assert all(len(batch.keys) == 4 for batch in seen)
    assert {batch.layout for batch in seen} == {ALONE, PAIR}
    assert [message.count("cache/clip1") for message in caplog.messages].count(1) == 1
    assert len(caplog.messages) == len(batches.bad) == 2


def test_replacements_are_the_same_after_a_new_start(tmp_path):
    cache = FakeCache([ALONE] * 9, damaged=[0, 3, 4])
    one_run = loader(tmp_path, cache, training={"batch_size": 4})
    unbroken = [one_run.step(step)[0].batch.keys for step in range(6)]
    assert [
        loader(tmp_path, cache, training={"batch_size": 4}).step(step)[0].batch.keys for step in range(6)
    ] == unbroken


def test_replacements_are_drawn_anew_for_each_place_of_each_step(tmp_path):
    """Half of the clips are damaged: drawn from one place, their replacements would all be the same clip."""

    def replacements(seed: int) -> Counter:
        cache = FakeCache([ALONE] * 40, damaged=range(0, 40, 2))
        batches = loader(tmp_path, cache, training={"batch_size": 4, "seed": seed})
        seen = Counter(key for step in range(20) for key in batches.step(step)[0].batch.keys)  # two epochs
        return seen - Counter({f"clip{i}": 2 for i in range(1, 40, 2)})  # as planned

    drawn = replacements(seed=0)
    assert drawn.total() == 40
    assert len(drawn) >= 12 and max(drawn.values()) <= 8  # 17 of 20 clips are expected
    assert replacements(seed=1) != drawn


def test_a_kind_without_any_sound_item_is_replaced_by_another(tmp_path):
    cache = FakeCache([ALONE] * 3 + [PAIR] * 3, damaged=[3, 4, 5])
    batches = loader(tmp_path, cache)
    assert {batches.step(step)[0].batch.layout for step in range(10)} == {ALONE}


def test_only_clips_with_so_many_people_are_used(tmp_path):
    cache = FakeCache([ReferenceLayout(1)] * 2 + [ALONE] * 2 + [PAIR] * 2)
    one = loader(tmp_path, cache, data={"min_subjects": 1, "max_subjects": 1})
    assert {key for step in range(8) for key in one.step(step)[0].batch.keys} == {"clip2", "clip3"}
    with pytest.raises(LumosXError, match="None of the 6 clips in in memory has 3 to any number of people"):
        loader(tmp_path, cache, data={"min_subjects": 3})


def test_a_text_may_be_padded_to_fewer_tokens_than_the_cache_was_made_for(tmp_path):
    cache = FakeCache([PAIR] * 4)  # captions of 3, 4, 5 and 6 tokens, masks of 12
    batches = loader(tmp_path, cache, model={"text_len": 5}, training={"batch_size": 4})
    [part] = batches.step(0)
    assert part.batch.phrase_mask.shape[-1] == 5 and part.batch.text.shape[1] <= 5
    [reason] = batches.bad.values()
    assert "6 tokens, and model.text_len is 5" in reason


def test_preload_reads_everything_once(tmp_path):
    cache = FakeCache([ALONE] * 6, damaged=[2])
    batches = loader(tmp_path, cache, data={"preload": True})
    assert sorted(cache.reads) == [(index, 0) for index in range(6)]
    for step in range(10):
        batches.step(step)
    assert len(cache.reads) == 6


def test_dropouts_come_as_often_as_asked(tmp_path):
    cache = FakeCache([PAIR] * 4)
    batches = loader(tmp_path, cache, data={"text_dropout": 0.25, "reference_dropout": 0.2, "picture_dropout": 0.1})
    seen = [batches.step(step)[0].batch for step in range(300)]
    silent = [bool((clip[:1] == 0.5).all()) for batch in seen for clip in batch.text]
    bare = [batch for batch in seen if batch.layout == ReferenceLayout(0)]
    pictured = [batch for batch in seen if batch.layout != ReferenceLayout(0)]
    assert abs(sum(silent) / len(silent) - 0.25) < 0.06
    assert abs(len(bare) / len(seen) - 0.2) < 0.07
    assert abs(sum(batch.layout.pictures for batch in pictured) / len(pictured) - 2.7) < 0.1


def test_shuffled_pictures_are_ungrouped(tmp_path):
    batches = loader(tmp_path, FakeCache([PAIR] * 4), model={"r2pe": False, "shuffle_pictures": True})
    assert batches.step(0)[0].batch.layout == ReferenceLayout(3)


def test_variants_are_drawn_for_each_step(tmp_path):
    cache = FakeCache([ALONE] * 2)
    cache.variants = lambda index: 3
    batches = loader(tmp_path, cache)
    for step in range(12):
        batches.step(step)
    assert {variant for _, variant in cache.reads} == {0, 1, 2}
