"""Report of a recording of attention: sentences about each subject."""

from __future__ import annotations

from .binding import Binding, subject_groups
from .record import AttentionRecord


def describe_binding(record: AttentionRecord, binding: Binding) -> str:
    """A line on how to read the scores, and one for each subject, such as:

    Subject 2 ("woman", "red hat"): 0.31 of what its region looks at is its own; most of the rest goes to "denim jacket"
    of subject 1.
    """
    groups = subject_groups(record.layout)
    if not groups:
        return "The scene has no subjects, so no clothes can be mixed up."
    lines = []
    if len(groups) > 1:
        lines.append(
            f"1 would be: each region looks at images of its own subject only. Without any binding it is about "
            f"{1 / len(groups):.2f}."
        )
    owners = {picture: number for number, group in enumerate(groups, 1) for picture in group}
    for number, group in enumerate(groups, 1):
        name = f"Subject {number} ({', '.join(_quoted(record.labels[picture]) for picture in group)})"
        shares = binding.shares[number - 1]
        if not any(record.seen[picture] for picture in group):
            lines.append(f"{name}: was not seen in the steps that were recorded.")
        elif not shares.any():
            lines.append(f"{name}: no region of its own was found in the video.")
        else:
            rest = {picture: float(shares[picture]) for picture in owners if picture not in group}
            line = f"{name}: {binding.scores[number - 1]:.2f} of what its region looks at is its own"
            if sum(rest.values()) >= 0.005:
                largest = max(rest, key=rest.__getitem__)
                part = "most" if rest[largest] > sum(rest.values()) / 2 else "the largest part"
                line += f"; {part} of the rest goes to {_quoted(record.labels[largest])} of subject {owners[largest]}"
            lines.append(f"{line}.")
    return "\n".join(lines)


def _quoted(phrase: str) -> str:
    return f'"{phrase}"' if phrase else "an image without a phrase"
