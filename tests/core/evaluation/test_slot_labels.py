"""Labels of synthetic matrices. Each is written as who looks how much like whom."""

import itertools
import random

import numpy as np
import pytest

from lumosx_core.evaluation.misbinding.slot_labels import as_array, as_rows, label_slots, majority
from lumosx_core.evaluation.results import Label, SlotLabel

OWN, OTHER, T = 0.8, 0.2, 0.1
LEAK = (OWN - OTHER) / 4  # more than T
OK, DRIFT, BLENDING, DOMINANCE, SWAP, MISSING = Label


def truth(number: int) -> np.ndarray:
    return np.full((number, number), OTHER) + np.eye(number) * (OWN - OTHER)


def looks_like(*references) -> np.ndarray:
    """S_gen of slots that each look exactly like the reference with that number; None: missing, -1: like nobody."""
    rows = np.full((len(references), len(references)), OTHER)
    for i, j in enumerate(references):
        if j is None:
            rows[i] = np.nan
        elif j >= 0:
            rows[i, j] = OWN
    return rows


def labels(gen: np.ndarray, **options) -> list[tuple[Label, int | None]]:
    found = label_slots(as_rows(gen), as_rows(truth(len(gen))), T, **options)
    return [(each.label, each.other) for each in found]


def mixed(gen: np.ndarray, slot: int, own: float, other: int, theirs: float) -> np.ndarray:
    gen = gen.copy()
    gen[slot, slot], gen[slot, other] = own, theirs
    return gen


def test_everybody_like_themselves_is_ok():
    assert labels(looks_like(0, 1, 2)) == [(OK, None)] * 3


def test_two_exchanged_people_are_a_swap():
    assert labels(looks_like(1, 0)) == [(SWAP, 1), (SWAP, 0)]


def test_three_people_in_a_circle_are_a_swap():
    assert labels(looks_like(1, 2, 0)) == [(SWAP, 1), (SWAP, 2), (SWAP, 0)]


def test_one_person_twice_is_dominance_and_names_them():
    assert labels(looks_like(0, 0)) == [(OK, None), (DOMINANCE, 0)]


def test_a_mix_of_two_is_blending():
    assert labels(mixed(looks_like(0, 1), 0, 0.6, 1, 0.5)) == [(BLENDING, 1), (OK, None)]
    # Own enough, and yet somebody else's too.
    assert labels(mixed(looks_like(0, 1), 0, OWN, 1, 0.5)) == [(BLENDING, 1), (OK, None)]


def test_who_still_looks_like_themselves_is_not_taken():
    """However much more they look like another one."""
    assert labels(mixed(looks_like(0, 1), 0, OWN - T / 2, 1, 0.99)) == [(BLENDING, 1), (OK, None)]
    assert labels(mixed(looks_like(0, 1), 0, OWN - 2 * T, 1, 0.99)) == [(DOMINANCE, 1), (OK, None)]


def test_like_nobody_is_drift():
    assert labels(looks_like(-1, 1)) == [(DRIFT, None), (OK, None)]


def test_a_swap_of_two_leaves_the_third_alone():
    assert labels(looks_like(2, 1, 0)) == [(SWAP, 2), (OK, None), (SWAP, 0)]


def test_two_who_both_look_like_a_third_are_dominated_by_them():
    assert labels(looks_like(2, 2, 2)) == [(DOMINANCE, 2), (DOMINANCE, 2), (OK, None)]


def test_who_looks_like_one_of_a_swapped_pair_is_not_on_the_cycle():
    assert labels(looks_like(1, 0, 0)) == [(SWAP, 1), (SWAP, 0), (DOMINANCE, 0)]


def test_a_chain_to_somebody_missing_is_dominance():
    """Who is missing has no look, so the chain ends there."""
    assert labels(looks_like(1, 2, None)) == [(DOMINANCE, 1), (DOMINANCE, 2), (MISSING, None)]


def test_blending_beside_somebody_missing():
    gen = mixed(looks_like(0, None), 0, 0.55, 1, 0.5)
    assert labels(gen) == [(BLENDING, 1), (MISSING, None)]


def test_all_six_at_once():
    gen = mixed(looks_like(1, 0, 3, 3, 4, -1, None), 4, 0.6, 0, 0.55)
    assert [label for label, _ in labels(gen)] == [SWAP, SWAP, DOMINANCE, OK, BLENDING, DRIFT, MISSING]


def test_of_two_larger_leaks_the_larger_similarity_counts():
    gen = looks_like(-1, 1, 2)
    gen[0] = 0.2, 0.5, 0.6
    assert labels(gen)[0] == (DOMINANCE, 2)


def test_t_itself_is_no_difference():
    t = 0.25  # exact in binary
    gen, gt = ((0.5, 0.5), (0.0, 0.75)), ((0.75, 0.25), (0.0, 0.75))
    assert [each.label for each in label_slots(gen, gt, t)] == [OK, OK]
    assert [each.label for each in label_slots(gen, gt, t - 2**-20)] == [BLENDING, OK]
    own = ((0.5, 0.25), (0.0, 0.75))
    assert [label_slots(own, gt, each)[0].label for each in (t, t - 2**-20)] == [OK, DRIFT]


def test_a_little_nearer_to_somebody_by_chance_is_drift():
    near, nearer = OTHER + LEAK - 0.01, OTHER + LEAK + 0.01
    assert labels(mixed(looks_like(0, 1), 0, 0.1, 1, near))[0] == (DRIFT, None)
    assert labels(mixed(looks_like(0, 1), 0, 0.1, 1, nearer))[0] == (DOMINANCE, 1)
    assert labels(mixed(looks_like(0, 1), 0, OWN, 1, near))[0] == (OK, None)


def test_things_of_one_subject_do_not_take_each_others_look():
    gen = looks_like(1, 0, 2)
    assert [label for label, _ in labels(gen, owners=(0, 0, 1))] == [DRIFT, DRIFT, OK]
    assert [label for label, _ in labels(gen, owners=(0, 1, 1))] == [SWAP, SWAP, OK]


def test_random_matrices_have_the_labels_of_the_definition():
    """Against the definitions written out, with cycles found among all permutations of subsets."""
    chance = np.random.default_rng(0)
    seen = set()
    for _ in range(2000):
        n = int(chance.integers(2, 5))
        gen = looks_like(*chance.integers(-1, n, size=n)) + chance.normal(0, 0.12, (n, n))
        if chance.random() < 0.2:
            gen[chance.integers(n)] = np.nan
        d = gen - truth(n)

        def taken(i, j, gen=gen, d=d, n=n):
            if d[i, i] >= -T:
                return False
            able = [k for k in range(n) if k != i and d[i, k] > LEAK and gen[i, k] > gen[i, i] + T]
            return j in able and all(gen[i, j] >= gen[i, k] for k in able)

        cyclic = set()
        for size in range(2, n + 1):
            for order in itertools.permutations(range(n), size):
                if all(taken(a, b) for a, b in zip(order, (*order[1:], order[0]), strict=True)):
                    cyclic |= set(order)
        expected = []
        for i in range(n):
            if np.isnan(gen[i]).any():
                expected.append(MISSING)
            elif i in cyclic:
                expected.append(SWAP)
            elif any(taken(i, j) for j in range(n)):
                expected.append(DOMINANCE)
            elif any(d[i, j] > LEAK for j in range(n) if j != i):
                expected.append(BLENDING)
            elif d[i, i] < -T:
                expected.append(DRIFT)
            else:
                expected.append(OK)
        assert [label for label, _ in labels(gen)] == expected
        seen |= set(expected)
    assert seen == set(Label)


def test_the_majority_of_frames_decides_and_ties_go_to_the_worse():
    ok, swap, drift = SlotLabel(OK), SlotLabel(SWAP, 1), SlotLabel(DRIFT)
    assert majority([(ok,), (ok,), (swap,)]) == (ok,)
    assert majority([(ok,), (swap,)]) == (swap,)
    assert majority([(swap,), (drift,), (SlotLabel(MISSING),)]) == (SlotLabel(MISSING),)
    assert majority([(drift, ok), (drift, swap), (ok, swap)]) == (drift, swap)


def test_the_partner_is_the_most_frequent_one_of_the_label():
    frames = [(SlotLabel(SWAP, 1),), (SlotLabel(SWAP, 2),), (SlotLabel(SWAP, 2),), (SlotLabel(DOMINANCE, 1),)]
    assert majority(frames) == (SlotLabel(SWAP, 2),)


@pytest.mark.parametrize("seed", range(3))
def test_rows_and_arrays_are_the_same(seed):
    chance = random.Random(seed)
    rows = tuple(tuple(chance.choice((None, chance.random())) for _ in range(3)) for _ in range(3))
    assert as_rows(as_array(rows)) == rows
