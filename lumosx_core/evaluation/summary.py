"""Means over many videos, in groups by the number of people, and how often binding fails in which way."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from ..errors import LumosXError
from .measured_video import Protocol
from .results import CaseScores, DimensionScores, Label

RESAMPLES = 2000
OVERALL = "overall"


@dataclass(frozen=True)
class Mean:
    """A mean over videos.

    Args:
        low, high: of the 95 % bootstrap interval over videos.
        videos: how many have a value.
    """

    value: float
    low: float
    high: float
    videos: int


@dataclass(frozen=True)
class GroupSummary:
    """The videos of one group.

    Args:
        group: such as "2 people"; OVERALL for all.
        videos: how many.
        means: by the names of `VALUES`; without those that no video of the group has.
    """

    group: str
    videos: int
    means: dict[str, Mean]


@dataclass(frozen=True)
class BindingSummary:
    """One dimension of the misbinding matrix over many videos.

    Args:
        dimension: "face", "person" or "attributes".
        slots: how many in all.
        shares: of each label among the slots, with the interval over cases.
        success: fraction of cases whose slots are all ok.
        thresholds: the values of t that were used, each once.
    """

    dimension: str
    slots: int
    shares: dict[str, Mean]
    success: Mean
    thresholds: tuple[float, ...]


def _of(metric: str, field: str) -> Callable[[CaseScores], float | None]:
    def value(scores: CaseScores) -> float | None:
        part = getattr(scores, metric)
        return None if part is None or getattr(part, field) is None else float(getattr(part, field))

    return value


VALUES: dict[str, Callable[[CaseScores], float | None]] = {
    "ArcSim": _of("identity", "arc"),
    "CurSim": _of("identity", "cur"),
    "ViCLIP-T": _of("consistency", "text"),
    "ViCLIP-V": _of("consistency", "video"),
    "Dynamic": _of("dynamic", "dynamic"),
    "CLIP-T": _of("subjects", "clip_t"),
    "CLIP-I": _of("subjects", "clip_i"),
    "DINO-I": _of("subjects", "dino_i"),
    "ArcSim in subjects": _of("subjects", "arc"),
    "CurSim in subjects": _of("subjects", "cur"),
    "FaceSim-Arc": _of("face_similarity", "arc"),
    "FaceSim-Cur": _of("face_similarity", "cur"),
    "Face recall": _of("face_similarity", "recall"),
    "Subject consistency": _of("face_similarity", "consistency"),
    "Ingredients Face Sim": _of("ingredients", "face_sim"),
    "Ingredients matched": _of("ingredients", "matched"),
    "Ingredients CLIPScore": _of("ingredients", "clip_score"),
    "Ingredients FID": _of("ingredients", "fid"),
}
"""Each number of a video by its name in tables."""


def summarise(scores: Sequence[CaseScores], protocol: Protocol = Protocol.CLEAN) -> list[GroupSummary]:
    """The groups by the number of people, fewest first, and all videos together.

    Under REFERENCE the group is what the file name of the video says, "person1" to "person3". A video that says none
    belongs to no group, and counts twice in the mean over all.

    Raises:
        LumosXError: no video.
    """
    if not scores:
        raise LumosXError("No video was measured, so there is nothing to summarise. Check the results folder.")
    groups: dict[str, list[CaseScores]] = {}
    everything: list[CaseScores] = []
    for each in sorted(scores, key=lambda each: each.people):
        group = group_of(each, protocol)
        groups.setdefault(group, []).append(each)
        everything += [each] * (2 if group == OVERALL else 1)
    groups.pop(OVERALL, None)
    named = sorted(groups.items()) if protocol is Protocol.REFERENCE else groups.items()
    return [_group(name, members, len(members)) for name, members in named] + [_group(OVERALL, everything, len(scores))]


def group_of(scores: CaseScores, protocol: Protocol) -> str:
    """The group of a video; OVERALL for none."""
    if protocol is Protocol.REFERENCE:
        named = re.search(r"person[123]", scores.video)
        return named[0] if named else OVERALL
    return f"{scores.people} {'person' if scores.people == 1 else 'people'}"


def summarise_binding(scores: Sequence[CaseScores]) -> list[BindingSummary]:
    """Each dimension of the misbinding matrix that was measured for some video."""
    by_name: dict[str, list[DimensionScores]] = {}
    for each in scores:
        for dimension in each.misbinding:
            by_name.setdefault(dimension.dimension, []).append(dimension)
    return [_binding(name, cases) for name, cases in by_name.items()]


def bootstrap(values: Sequence[float], weights: Sequence[float] | None = None) -> tuple[float, float]:
    """The 95 % bootstrap interval of a mean; the same in every run.

    Args:
        values: one for each case.
        weights: of the cases in the mean; None: all alike.
    """
    weighted = np.ones(len(values)) if weights is None else np.asarray(weights, dtype=np.float64)
    drawn = np.random.default_rng(0).integers(len(values), size=(RESAMPLES, len(values)))
    sums = (np.asarray(values, dtype=np.float64) * weighted)[drawn].sum(axis=1)
    low, high = np.percentile(sums / weighted[drawn].sum(axis=1), (2.5, 97.5))
    return float(low), float(high)


def _group(name: str, members: Sequence[CaseScores], videos: int) -> GroupSummary:
    means = {}
    for metric, value in VALUES.items():
        known = [number for each in members if (number := value(each)) is not None]
        if known:
            measured = len({id(each) for each in members if value(each) is not None})
            means[metric] = Mean(sum(known) / len(known), *bootstrap(known), measured)
    return GroupSummary(name, videos, means)


def _binding(name: str, cases: Sequence[DimensionScores]) -> BindingSummary:
    slots = [float(len(case.labels)) for case in cases]
    shares = {}
    for label in Label:
        of_cases = [sum(each.label is label for each in case.labels) / len(case.labels) for case in cases]
        mean = sum(share * number for share, number in zip(of_cases, slots, strict=True)) / sum(slots)
        shares[label.value] = Mean(mean, *bootstrap(of_cases, slots), len(cases))
    right = [float(case.all_ok) for case in cases]
    success = Mean(sum(right) / len(right), *bootstrap(right), len(cases))
    thresholds = tuple(sorted({case.threshold for case in cases}))
    return BindingSummary(name, int(sum(slots)), shares, success, thresholds)
