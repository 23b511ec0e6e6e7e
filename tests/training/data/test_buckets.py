"""The plan of batches: one bucket each, every clip every epoch, in proportion, and the same for the same seed."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lumosx_core import LumosXError, ReferenceLayout
from lumosx_training.data.buckets import Bucket, BucketPlan


def bucket(number):
    return Bucket(9, 64, 96, ReferenceLayout(number, (2,)))


@st.composite
def plans(draw):
    of_clips = draw(st.lists(st.integers(0, 4), min_size=1, max_size=60))
    plan = BucketPlan([bucket(number) for number in of_clips], draw(st.integers(1, 9)), draw(st.integers(0, 2**64)))
    return of_clips, plan


def epoch(plan, number):
    first = number * plan.steps_per_epoch
    return [plan.batch(step) for step in range(first, first + plan.steps_per_epoch)]


@given(plans(), st.integers(0, 3))
def test_a_batch_is_full_and_of_one_bucket(planned, number):
    of_clips, plan = planned
    for batch in epoch(plan, number):
        assert len(batch) == plan.batch_size
        assert len({of_clips[index] for index in batch}) == 1


@given(plans(), st.integers(0, 3))
def test_an_epoch_has_every_clip_as_evenly_as_full_batches_allow(planned, number):
    of_clips, plan = planned
    seen = Counter(index for batch in epoch(plan, number) for index in batch)
    for kind, size in Counter(of_clips).items():
        times = [seen[index] for index, other in enumerate(of_clips) if other == kind]
        draws = -(-size // plan.batch_size) * plan.batch_size
        assert sum(times) == draws
        assert {min(times), max(times)} <= {draws // size, -(-draws // size)} and min(times) >= 1


@given(plans())
def test_buckets_come_in_proportion_to_their_clips(planned):
    of_clips, plan = planned
    batches = Counter(of_clips[batch[0]] for batch in epoch(plan, 0))
    assert batches == {kind: -(-size // plan.batch_size) for kind, size in Counter(of_clips).items()}


@given(plans(), st.lists(st.integers(0, 10**6), min_size=2, max_size=6))
def test_a_step_depends_on_nothing_that_was_asked_before(planned, steps):
    of_clips, plan = planned
    fresh = [
        BucketPlan([bucket(number) for number in of_clips], plan.batch_size, plan.seed).batch(step) for step in steps
    ]
    assert [plan.batch(step) for step in steps] == fresh


def test_within_a_batch_no_clip_comes_twice_where_the_bucket_has_enough():
    plan = BucketPlan([bucket(0)] * 10, 4, 0)
    assert all(len(set(batch)) == 4 for number in range(5) for batch in epoch(plan, number))


def test_a_bucket_that_is_too_small_is_repeated_within_its_batch():
    plan = BucketPlan([bucket(0)] * 8 + [bucket(1)] * 3, 8, 0)
    small = next(batch for batch in epoch(plan, 0) if batch[0] >= 8)
    assert sorted(Counter(small).values()) == [2, 3, 3]


def test_epochs_and_seeds_differ():
    buckets = [bucket(number % 3) for number in range(60)]
    plan, other = BucketPlan(buckets, 4, 1), BucketPlan(buckets, 4, 2)
    assert epoch(plan, 0) != epoch(plan, 1)
    assert epoch(plan, 0) != epoch(other, 0)


def test_buckets_are_mixed_within_an_epoch():
    plan = BucketPlan([bucket(number // 50) for number in range(100)], 5, 0)
    kinds = [batch[0] // 50 for batch in epoch(plan, 0)]
    assert kinds != sorted(kinds) and kinds != sorted(kinds, reverse=True)


def test_the_plan_of_a_seed_stays_the_same_forever():
    """A run that was begun with an older version goes on with the same clips."""
    plan = BucketPlan([bucket(number % 2) for number in range(10)], 2, 5)
    assert [plan.batch(step) for step in range(7)] == RECORDED


RECORDED = [[4, 6], [1, 7], [2, 8], [9, 5], [3, 9], [8, 0], [4, 2]]


def test_an_epoch_is_shuffled_once_not_at_every_step(monkeypatch):
    plan = BucketPlan([bucket(number % 5) for number in range(1000)], 16, 0)
    shuffles, random = [], plan._random
    monkeypatch.setattr(plan, "_random", lambda *stream: shuffles.append(stream) or random(*stream))
    epoch(plan, 0)
    assert len(shuffles) == len(set(shuffles)) == 1 + 5  # the order of the batches, and each bucket


def test_indices_are_plain_numbers():
    assert all(type(index) is int for index in BucketPlan([bucket(0)] * 3, 2, 0).batch(np.int64(1)))


def test_nothing_to_train_on_is_said_so():
    with pytest.raises(LumosXError, match="no clip to train on"):
        BucketPlan([], 2, 0)


@pytest.mark.parametrize(("size", "seed"), [(0, 0), (2, -1)])
def test_impossible_numbers_are_refused(size, seed):
    with pytest.raises(LumosXError, match="do not fit"):
        BucketPlan([bucket(0)], size, seed)
