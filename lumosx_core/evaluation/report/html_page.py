"""Scores as one HTML file: tables by number of people, who was mixed up with whom, and the worst cases as images.

It loads nothing, and runs nothing: what a file name or a phrase could smuggle in is escaped, and the page forbids
whatever gets past that.
"""

from __future__ import annotations

from collections.abc import Iterator

from ...version import __version__
from ..evaluated import CaseOutcome, Evaluation
from ..results import CaseScores, Label
from ..summary import Mean, summarise, summarise_binding
from .binding_chart import mean_matrix
from .html_parts import STYLE, bar, matrix, number, picture, table, text
from .sentences import confused, title_of
from .worst_frames import badness

_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
LABEL_COLOURS = {
    Label.OK: "#2FC48D",
    Label.DRIFT: "#F0E442",
    Label.BLENDING: "#E69F00",
    Label.DOMINANCE: "#A49BFF",
    Label.SWAP: "#F4693B",
    Label.MISSING: "#8A8D94",
}
_PART_NAMES = {
    "faces": "face detector",
    "phrases": "detector of subjects",
    "things": "detector of attributes and objects",
    "arc": "face embedder (ArcSim)",
    "cur": "second face embedder (CurSim)",
    "clip": "CLIP",
    "dino": "DINOv2",
    "video": "video and text embedder",
    "flow": "optical flow",
    "inception": "features of faces (FID)",
}


def html_page(evaluation: Evaluation) -> str:
    """The whole page, in UTF-8."""
    measured = len(evaluation.scores)
    title = f"Scores of {measured} of {len(evaluation.outcomes)} cases"
    sections = [
        f'<h1>{title}</h1><p class="note">LumosX {text(__version__)}, protocol {text(evaluation.protocol.value)}, '
        f"metrics: {text(', '.join(evaluation.metrics))}</p>",
        *_problems(evaluation),
        *_groups(evaluation),
        *_binding(evaluation),
        *_networks(evaluation),
        *_worst(evaluation),
        *_cases(evaluation),
    ]
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
        f'<meta name="viewport" content="width=device-width, initial-scale=1"><style>{STYLE}</style></head>'
        f"<body>{''.join(sections)}</body></html>\n"
    )


def part_name(part: str) -> str:
    """What a report calls a part of `Networks`."""
    return _PART_NAMES.get(part, part)


def _problems(evaluation: Evaluation) -> Iterator[str]:
    if not evaluation.problems and not evaluation.extra:
        return
    yield "<h2>Not measured</h2>"
    rows = [[text(each.name), text(each.video or "–"), text(each.problem)] for each in evaluation.problems]
    rows += [["–", text(name), "No case has this name, so the file was not used."] for name in evaluation.extra]
    yield table(["Case", "File", "Why"], rows)


def _groups(evaluation: Evaluation) -> Iterator[str]:
    if not evaluation.scores:
        return
    groups = summarise(evaluation.scores, evaluation.protocol)
    names = list(dict.fromkeys(name for group in groups for name in group.means))
    rows = [[text(name), *(_mean(group.means.get(name)) for group in groups)] for name in names]
    yield "<h2>Scores</h2>"
    yield table(["Metric", *(f"{text(group.group)} ({group.videos})" for group in groups)], rows, numbers=1)
    yield (
        '<p class="note">Means over videos, whose number is in brackets, with the 95 % bootstrap interval. A dash: no '
        "video has this score.</p>"
    )


def _mean(mean: Mean | None, *, percent: bool = False) -> str:
    if mean is None:
        return "–"
    value, low, high = (f"{each:.1%}" if percent else number(each) for each in (mean.value, mean.low, mean.high))
    return f'{value}<br><span class="faint">{low} to {high}</span>'


def _binding(evaluation: Evaluation) -> Iterator[str]:
    found = summarise_binding(evaluation.scores)
    if not found:
        return
    yield "<h2>Who wears what</h2>"
    rows = []
    for each in found:
        fractions = {label: each.shares[label.value] for label in Label}
        parts = [(label.value, mean.value, LABEL_COLOURS[label]) for label, mean in fractions.items()]
        rows.append(
            [
                text(title_of(each.dimension)),
                f"{each.success.videos} cases, {each.slots} slots",
                _mean(each.success, percent=True),
                bar(parts),
                *(_mean(mean, percent=True) for mean in fractions.values()),
            ]
        )
    head = ["Compared", "In", "All bound", "Labels", *(_key(label) for label in Label)]
    yield table(head, rows)
    thresholds = sorted({threshold for each in found for threshold in each.thresholds})
    yield (
        '<p class="note">LumosX binding, after the idea of MultiBind (arXiv 2603.21937). All bound: the fraction of '
        "cases in which everything keeps to its subject; the other columns are fractions of slots, which are people or "
        "attributes. Below, 95 % bootstrap intervals over cases. Similarities that differ by up to "
        f"{', '.join(number(each, 2) for each in thresholds)} count as equal.</p>"
    )
    yield from _mean_matrices(evaluation.scores)


def _key(label: Label) -> str:
    return f'<span class="key" style="background:{LABEL_COLOURS[label]}"></span>{label.value}'


def _mean_matrices(scores: list[CaseScores]) -> Iterator[str]:
    """Of each dimension with one slot for each subject, the mean over cases with as many subjects."""
    frames: dict[tuple[str, int], list] = {}
    for case in scores:
        for dimension in case.misbinding:
            if [slot.subject for slot in dimension.slots] == list(range(len(dimension.slots))):
                frames.setdefault((dimension.dimension, len(dimension.slots)), []).append(dimension.frames)
    for (name, count), of_cases in sorted(frames.items()):
        together = tuple(frame for each in of_cases for frame in each)
        if not together:
            continue
        names = [f"subject {number}" for number in range(1, count + 1)]
        yield f"<h3>{text(title_of(name))}, {count} subjects: mean similarity in {len(of_cases)} cases</h3>"
        yield matrix(names, mean_matrix(together, "similarity"), range(count))


def _networks(evaluation: Evaluation) -> Iterator[str]:
    yield "<h2>Networks</h2>"
    rows = [
        [
            text(part_name(part)),
            text(note.name),
            text(note.weights),
            '<span class="good">yes</span>' if note.of_the_paper else '<span class="bad">no</span>',
        ]
        for part, note in evaluation.networks.items()
    ]
    rows += [[text(part_name(part)), "–", text(why), "–"] for part, why in evaluation.missing.items()]
    yield table(["Used as", "Network", "Weights and the first digits of their SHA-256", "The paper's weights"], rows)
    if any(not note.of_the_paper for note in evaluation.networks.values()):
        yield (
            "<p>Some weights differ from those behind the paper's figures: compare these scores with each other, not "
            "with the paper's.</p>"
        )


def _worst(evaluation: Evaluation) -> Iterator[str]:
    shown = [outcome for outcome in evaluation.outcomes if outcome.worst is not None and outcome.scores is not None]
    if not shown:
        return
    yield "<h2>The worst cases</h2>"
    for outcome in sorted(shown, key=_rank, reverse=True):
        yield _worst_case(outcome)


def _rank(outcome: CaseOutcome) -> tuple:
    return () if outcome.scores is None else tuple(badness(outcome.scores))


def _worst_case(outcome: CaseOutcome) -> str:
    scores, worst = outcome.scores, outcome.worst
    assert scores is not None and worst is not None  # the caller leaves others out
    sentences = "".join(f"<li>{text(sentence)}</li>" for sentence in confused(scores))
    figures = "".join(
        f"<figure>{picture(each.jpeg, each.phrase, colour=each.colour)}"
        f"<figcaption>{text(each.phrase or '(no words)')}<br>{text(each.owner)}</figcaption></figure>"
        for each in worst.references
    )
    matrices = "".join(
        f"<details><summary>{text(title_of(each.dimension))}: mean similarity</summary>"
        + matrix(
            [f"{slot.subject + 1} {slot.phrase}".strip() for slot in each.slots],
            mean_matrix(each.frames, "similarity"),
            [slot.subject for slot in each.slots],
        )
        + "</details>"
        for each in scores.misbinding
        if each.frames
    )
    return (
        f'<div class="case"><h3>{text(outcome.name)}</h3><ul>{sentences}</ul>'
        f"{picture(worst.jpeg, f'Frame {worst.frame} of {outcome.name}', css='frame')}"
        f'<p class="note">Frame {worst.frame} of {text(outcome.video)}; below, the reference images.</p>'
        f'<div class="references">{figures}</div>{matrices}</div>'
    )


def _cases(evaluation: Evaluation) -> Iterator[str]:
    yield "<h2>All cases</h2>"
    rows, below = [], []
    for outcome in evaluation.outcomes:
        notes = [*(confused(outcome.scores) if outcome.scores else [outcome.problem]), *outcome.warnings]
        if outcome.scores:
            notes += [f"Not measured: {name} ({why})" for name, why in outcome.scores.skipped.items()]
        people = str(outcome.scores.people) if outcome.scores else "–"
        listed = "".join(f"<li>{text(note)}</li>" for note in notes)
        rows.append([text(outcome.name), people, *_numbers(outcome.scores)])
        below.append(f"<ul>{listed}</ul>" if notes else "")
    yield table(["Case", "Subjects", "ArcSim", "CurSim", "CLIP-T", "CLIP-I", "DINO-I"], rows, notes=below)


def _numbers(scores: CaseScores | None) -> list[str]:
    identity = scores.identity if scores else None
    subjects = scores.subjects if scores else None
    faces = [None, None] if identity is None else [identity.arc, identity.cur]
    boxes = [None] * 3 if subjects is None else [subjects.clip_t, subjects.clip_i, subjects.dino_i]
    return [number(value) for value in (*faces, *boxes)]
