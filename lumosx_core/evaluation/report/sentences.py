"""Sentences about who was mixed up with whom."""

from __future__ import annotations

from collections.abc import Iterator

from ..results import CaseScores, DimensionScores, Label, SlotLabel

TITLES = {"face": "Faces", "person": "Whole people", "attributes": "Attributes"}

_MEANINGS = {
    Label.SWAP: "has the look of {other}, in a swap",
    Label.DOMINANCE: "has the look of {other}, which dominates",
    Label.BLENDING: "is blended with {other}",
    Label.DRIFT: "drifted from its reference image",
    Label.MISSING: "was not found",
}


def title_of(dimension: str) -> str:
    """What a report calls a dimension."""
    return TITLES.get(dimension, dimension)


def slot_name(dimension: DimensionScores, index: int) -> str:
    """Such as `"denim jacket" of subject 1`; subjects count from 1."""
    slot = dimension.slots[index]
    number = f"subject {slot.subject + 1}"
    return f'"{slot.phrase}" of {number}' if slot.phrase else number


def label_sentence(dimension: DimensionScores, index: int, label: SlotLabel) -> str:
    """What happened to a slot, such as `"man" of subject 1 has the look of "woman" of subject 2, in a swap.`"""
    name = slot_name(dimension, index)
    if label.label is Label.OK:
        return f"{name} is bound."
    other = slot_name(dimension, label.other) if label.other is not None else "another"
    return f"{name} {_MEANINGS[label.label].format(other=other)}."


def confused(scores: CaseScores) -> Iterator[str]:
    """A sentence for each slot that is not ok; a swap of two is one sentence."""
    for dimension in scores.misbinding:
        told: set[int] = set()
        for index, label in enumerate(dimension.labels):
            if label.label is Label.OK or index in told:
                continue
            other = label.other
            if label.label is Label.SWAP and other is not None:
                back = dimension.labels[other]
                if back.label is Label.SWAP and back.other == index:
                    told.add(other)
                    yield (
                        f"{title_of(dimension.dimension)}: {slot_name(dimension, index)} and "
                        f"{slot_name(dimension, other)} are swapped."
                    )
                    continue
            yield f"{title_of(dimension.dimension)}: {label_sentence(dimension, index, label)}"


def describe_scores(scores: CaseScores) -> str:
    """A line for each thing that is wrong, then the scores, then what was not measured and why."""
    lines = list(confused(scores))
    if scores.misbinding and not lines:
        lines.append("Everything that was measured is bound to its own subject.")
    if scores.people < 2:
        lines.append("The scene has fewer than two subjects, so nobody can be mixed up.")
    if identity := scores.identity:
        for subject, arc, missed in zip(identity.subjects, identity.arc_of, identity.missed, strict=True):
            line = f"Subject {subject + 1}: face similarity {arc:.2f}"
            lines.append(line + (f", not seen in {missed:.0%} of the frames." if missed else "."))
    for dimension in scores.misbinding:
        lines.append(
            f"{title_of(dimension.dimension)} were compared in {len(dimension.frames)} "
            f"{'frame' if len(dimension.frames) == 1 else 'frames'}; similarities that "
            f"differ by up to {dimension.threshold:.2f} count as equal."
        )
    lines += [f"Not measured: {metric} ({why})" for metric, why in scores.skipped.items()]
    return "\n".join(lines)
