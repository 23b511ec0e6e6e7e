"""Names for what went wrong, from a matrix of similarities and its difference to the ground truth.

With D = S_gen - S_gt and a threshold t:

    cons(i)       D[i, i] >= -t: slot i looks like its own reference as much as it should
    leak(i, j)    D[i, j] > t, j of another subject, and D[i, j] > (S_gt[j, j] - S_gt[i, j]) / 4: it looks more like j
                  than it should, by a quarter of the way to j's own look
    taken(i, j)   not cons(i), leak(i, j), S_gen[i, j] > S_gen[i, i] + t, with the largest S_gen[i, j] of these

The first that holds is the label: missing; swap (i is on a cycle of taken); dominance (taken, but on no cycle);
blending (any other leak); drift (not cons); ok.

That quarter keeps drift apart from the rest. A look that is nobody's is a little nearer to somebody's by chance, mostly
by more than t, which measures how much one and the same look varies.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np

from ..results import Label, Row, SlotLabel

RECOGNISABLE = 0.25  # of the way from a slot's own look to another's


def label_slots(
    similarity: Sequence[Row], truth: Sequence[Row], threshold: float, owners: Sequence[int] | None = None
) -> tuple[SlotLabel, ...]:
    """The label of each slot in one frame.

    Args:
        similarity: S_gen, n x n; None in all of the row of a missing slot. None beside the diagonal: not comparable.
        truth: S_gt.
        threshold: t.
        owners: the subject of each slot; slots of one subject do not take each other's look. None: all differ.
    """
    gen, true = as_array(similarity), as_array(truth)
    difference = gen - true
    least = np.maximum(threshold, RECOGNISABLE * (np.diag(true) - true))
    number = len(gen)
    subjects = list(range(number)) if owners is None else list(owners)
    taken: dict[int, int] = {}
    leaks: dict[int, list[int]] = {}
    for i in range(number):
        leaks[i] = [j for j in range(number) if subjects[j] != subjects[i] and difference[i, j] > least[i, j]]
        larger = [j for j in leaks[i] if gen[i, j] > gen[i, i] + threshold]
        if larger and _drifted(difference, i, threshold):
            taken[i] = max(larger, key=gen[i].item)
    labels = []
    for i in range(number):
        if np.isnan(gen[i, i]):
            labels.append(SlotLabel(Label.MISSING))
        elif i in taken:
            labels.append(SlotLabel(Label.SWAP if _on_cycle(i, taken) else Label.DOMINANCE, taken[i]))
        elif leaks[i]:
            labels.append(SlotLabel(Label.BLENDING, max(leaks[i], key=difference[i].item)))
        else:
            labels.append(SlotLabel(Label.DRIFT if _drifted(difference, i, threshold) else Label.OK))
    return tuple(labels)


def majority(frames: Sequence[Sequence[SlotLabel]]) -> tuple[SlotLabel, ...]:
    """The label of each slot over all frames: the most frequent, of several the worst, with its most frequent partner.

    Args:
        frames: the labels of one frame each; at least one.
    """
    result = []
    for labels in zip(*frames, strict=True):
        counts = Counter(each.label for each in labels)
        label = max(counts, key=lambda each: (counts[each], each.severity))
        partners = Counter(each.other for each in labels if each.label is label and each.other is not None)
        # most_common alone would decide ties by the order of frames
        other = max(partners, key=lambda each: (partners[each], -each)) if partners else None
        result.append(SlotLabel(label, other))
    return tuple(result)


def as_array(rows: Sequence[Row]) -> np.ndarray:
    """Rows as (n, m) float64 with NaN for None."""
    return np.array([[np.nan if value is None else value for value in row] for row in rows], dtype=np.float64)


def as_rows(values: np.ndarray) -> tuple[Row, ...]:
    """The opposite of `as_array`."""
    return tuple(tuple(None if np.isnan(value) else float(value) for value in row) for row in values)


def _drifted(difference: np.ndarray, i: int, threshold: float) -> bool:
    return bool(difference[i, i] < -threshold)


def _on_cycle(start: int, taken: dict[int, int]) -> bool:
    slot = start
    for _ in taken:
        if slot not in taken:
            return False
        slot = taken[slot]
        if slot == start:
            return True
    return False
