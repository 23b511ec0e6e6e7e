"""Batches: the same for any number of processes, complete whatever is damaged, dropped out as the config says."""

from __future__ import annotations

import logging
import multiprocessing
import os
import pickle
import signal
import time
from collections import Counter

import pytest
import torch
from fakes import FakeCache, tiny_config

from lumosx_core.errors import LumosXError
from lumosx_core.scene.layout import ReferenceLayout
from lumosx_training.loop.batches import loading
from lumosx_training.loop.batches.loading import Loader, StepDataset, explained_worker_failures
from lumosx_training.loop.interrupts import SIGNALS

ALONE, PAIR = ReferenceLayout(1, (2,)), ReferenceLayout(0, (2, 1))


def loader(tmp_path, cache, rank=0, processes=1, **tables):
    return Loader(cache, tiny_config(tmp_path, **tables), rank, processes)


def tensors(part):
    batch = part.batch
    return batch.video, batch.scene.references, batch.scene.phrase_mask, part.timestep, part.noise


def joined(parts):
    return [torch.cat(each) for each in zip(*map(tensors, parts), strict=True)]


def test_processes_and_parts_divide_a_batch_and_change_nothing(tmp_path):
    cache = FakeCache([ALONE] * 5 + [PAIR] * 7)
    tables = {"training": {"batch_size": 8}, "data": {"text_dropout": 0.5, "single_reference_dropout": 0.3}}
    for step in range(4):
        [whole] = loader(tmp_path, cache, **tables).step(step)
        divided = [loader(tmp_path, cache, rank, 2, **tables).step(step)[0] for rank in range(2)]
        for all_clips, *shares in zip(tensors(whole), *map(tensors, divided), strict=True):
            assert [torch.equal(share, all_clips[rank::2]) for rank, share in enumerate(shares)] == [True, True]
        tables["training"]["gradient_accumulation_steps"] = 4
        parts = loader(tmp_path, cache, **tables).step(step)
        del tables["training"]["gradient_accumulation_steps"]
        assert [len(part.batch.keys) for part in parts] == [2] * 4
        assert all(map(torch.equal, joined(parts), joined([whole])))


def test_a_batch_that_does_not_divide_is_refused(tmp_path):
    with pytest.raises(LumosXError, match="training.batch_size 8 does not divide into 3 processes"):
        loader(tmp_path, FakeCache([ALONE]), 0, 3, training={"batch_size": 8})


@pytest.mark.parametrize(
    "workers", [{"num_workers": 1, "prefetch_factor": 3}, {"num_workers": 2}, {"num_workers": 2, "prefetch_factor": 5}]
)
@pytest.mark.parametrize("rank", [0, 1])
def test_workers_prepare_the_batches_that_would_come_without_them(tmp_path, caplog, workers, rank):
    data = {"text_dropout": 0.5, "single_reference_dropout": 0.3}
    cache = FakeCache([ALONE] * 5 + [PAIR] * 7, damaged=[1, 8])
    loop = {"batch_size": 8, "gradient_accumulation_steps": 2}
    alone = loader(tmp_path, cache, rank, 2, data=data, training=loop)
    plain = [alone.step(step) for step in range(3, 9)]
    caplog.clear()
    parallel = loader(tmp_path, cache, rank, 2, data=data | workers, training=loop)
    prepared = list(parallel.steps(3, 9))
    assert len(prepared) == len(plain) == 6
    for one, other in zip(plain, prepared, strict=True):
        assert [part.batch.keys for part in one] == [part.batch.keys for part in other]
        assert all(map(torch.equal, joined(one), joined(other)))
    assert parallel.bad == alone.bad != {}
    assert len(caplog.messages) == len(alone.bad)  # each once, though several workers met it


def test_an_error_in_a_worker_is_raised_in_the_training_process(tmp_path):
    cache = FakeCache([ALONE] * 2, damaged=range(2))
    with pytest.raises(LumosXError, match="^No clip in in memory can be used"):
        next(loader(tmp_path, cache, data={"num_workers": 2}).steps(0, 5))


def test_workers_end_when_no_more_batches_are_wanted(tmp_path):
    batches = loader(tmp_path, FakeCache([ALONE] * 4), data={"num_workers": 2}).steps(0, 10_000)
    next(batches)
    assert len(multiprocessing.active_children()) == 2
    batches.close()
    assert multiprocessing.active_children() == []


def test_workers_outlive_a_ctrl_c_so_that_the_run_can_save(tmp_path):
    batches = loader(tmp_path, FakeCache([ALONE] * 4), data={"num_workers": 1, "prefetch_factor": 1}).steps(0, 10_000)
    next(batches)
    [worker] = multiprocessing.active_children()
    for each in SIGNALS:
        os.kill(worker.pid, each)
    assert all(next(batches) for _ in range(20)) and worker.is_alive()
    batches.close()


def test_a_worker_that_is_killed_ends_the_run_with_what_to_do(tmp_path):
    batches = loader(tmp_path, FakeCache([ALONE] * 4), data={"num_workers": 1, "prefetch_factor": 1}).steps(0, 10_000)
    with pytest.raises(LumosXError, match="clips ended unexpectedly.*data.num_workers"), explained_worker_failures():
        next(batches)
        os.kill(multiprocessing.active_children()[0].pid, signal.SIGKILL)
        time.sleep(30)  # is interrupted
    batches.close()


def test_a_batch_that_a_dead_worker_was_sharing_is_explained_too(tmp_path, monkeypatch):
    def broken(*_, **__):
        raise ConnectionResetError("Connection reset by peer")
        yield

    monkeypatch.setattr(loading, "DataLoader", broken)
    with pytest.raises(LumosXError, match="ended unexpectedly: Connection reset by peer.*data.num_workers"):
        next(loader(tmp_path, FakeCache([ALONE] * 4)).steps(0, 5))


def test_no_number_of_workers_touches_the_global_generator(tmp_path):
    batches = loader(tmp_path, FakeCache([ALONE] * 4), data={"num_workers": 1})
    before = torch.get_rng_state()
    next(batches.steps(0, 5))
    assert torch.equal(before, torch.get_rng_state())


def test_what_workers_receive_can_be_pickled_for_systems_without_fork(tmp_path):
    batches = StepDataset(loader(tmp_path, FakeCache([ALONE] * 4)).batches)
    [one], [other] = (each[2].parts for each in (batches, pickle.loads(pickle.dumps(batches))))
    assert all(map(torch.equal, tensors(one), tensors(other)))


def test_preloaded_clips_are_not_copied_to_workers_that_do_not_share_memory(tmp_path, monkeypatch):
    batches = loader(tmp_path, FakeCache([ALONE] * 4), data={"preload": True, "num_workers": 2})
    monkeypatch.setattr(multiprocessing, "get_start_method", lambda: "spawn")
    next(batches.steps(0, 5))
    assert multiprocessing.active_children() == []


def test_a_damaged_item_is_told_once_and_replaced_by_one_of_its_kind(tmp_path, caplog):
    cache = FakeCache([ALONE] * 4 + [PAIR] * 4, damaged=[1, 6])
    batches = loader(tmp_path, cache, training={"batch_size": 4})
    with caplog.at_level(logging.WARNING):
        seen = [batches.step(step)[0].batch for step in range(8)]
    assert {key for batch in seen for key in batch.keys} == {f"clip{i}" for i in (0, 2, 3, 4, 5, 7)}
    assert all(len(batch.keys) == 4 for batch in seen)
    assert {batch.scene.layout for batch in seen} == {ALONE, PAIR}
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
    assert {batches.step(step)[0].batch.scene.layout for step in range(10)} == {ALONE}


def test_only_clips_with_so_many_people_are_used(tmp_path):
    cache = FakeCache([ReferenceLayout(1)] * 2 + [ALONE] * 2 + [PAIR] * 2)
    one = loader(tmp_path, cache, data={"min_subjects": 1, "max_subjects": 1})
    assert {key for step in range(8) for key in one.step(step)[0].batch.keys} == {"clip2", "clip3"}
    with pytest.raises(LumosXError, match="None of the 6 clips in in memory has 3 to any number of subjects"):
        loader(tmp_path, cache, data={"min_subjects": 3})


def test_a_text_may_be_padded_to_fewer_tokens_than_the_cache_was_made_for(tmp_path):
    cache = FakeCache([PAIR] * 4)  # captions of 3, 4, 5 and 6 tokens, masks of 12
    batches = loader(tmp_path, cache, model={"text_len": 5}, training={"batch_size": 4})
    [part] = batches.step(0)
    assert part.batch.scene.phrase_mask.shape[-1] == 5 and part.batch.text.shape[1] <= 5
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
    batches = loader(
        tmp_path, cache, data={"text_dropout": 0.25, "reference_dropout": 0.2, "single_reference_dropout": 0.1}
    )
    seen = [batches.step(step)[0].batch for step in range(300)]
    silent = [bool((clip[:1] == 0.5).all()) for batch in seen for clip in batch.text]
    bare = [batch for batch in seen if batch.scene.layout == ReferenceLayout(0)]
    pictured = [batch for batch in seen if batch.scene.layout != ReferenceLayout(0)]
    assert abs(sum(silent) / len(silent) - 0.25) < 0.06
    assert abs(len(bare) / len(seen) - 0.2) < 0.07
    assert abs(sum(batch.scene.layout.pictures for batch in pictured) / len(pictured) - 2.7) < 0.1


def test_shuffled_pictures_are_ungrouped(tmp_path):
    batches = loader(tmp_path, FakeCache([PAIR] * 4), model={"r2pe": False, "shuffle_references": True})
    assert batches.step(0)[0].batch.scene.layout == ReferenceLayout(3)


def test_variants_are_drawn_for_each_step(tmp_path):
    cache = FakeCache([ALONE] * 2)
    cache.variants = lambda index: 3
    batches = loader(tmp_path, cache)
    for step in range(12):
        batches.step(step)
    assert {variant for _, variant in cache.reads} == {0, 1, 2}
