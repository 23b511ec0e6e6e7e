"""Which words of a prompt belong to whom while it is being typed, and which phrases it still lacks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch

from ..errors import LumosXError
from ..scene.scene import Reference, Scene
from .messages import Mistake, owner_of
from .phrase_mask import MOST_LETTERS, PromptSpan, clean_prompt, mistake_in_text, words_meant
from .readings import Reading, readings
from .scene_warnings import scene_warnings

_MOST_SUGGESTIONS = 10  # of missing phrases: each is a search through the prompt


@dataclass(frozen=True)
class MissingPhrase:
    """A phrase that the prompt lacks.

    Args:
        group: whose it is, an index into `scene.layout.groups`.
        message: what is wrong, as sentences.
        meant: words of the prompt that it was probably meant to be.
    """

    phrase: str
    group: int
    message: str
    meant: str | None = None


@dataclass(frozen=True)
class MarkedPrompt:
    """A prompt letter by letter as it was typed, divided where the groups change, and the phrases that it lacks.

    Args:
        warnings: of `scene_warnings`, but for those about images.
    """

    spans: tuple[PromptSpan, ...]
    missing: tuple[MissingPhrase, ...]
    warnings: tuple[str, ...] = ()


def mark_prompt(
    typed: str, scene: Scene, *, dynamic: bool = False, check: Callable[[], None] = lambda: None
) -> MarkedPrompt:
    """Find the phrases of a scene in a prompt as it is typed, by whole words, past weights and line breaks.

    Unlike `match_phrases_in_text` it keeps every letter, so that the spans can lie under the text on the page.

    Args:
        scene: its images do not matter.
        dynamic: the page draws one of {a|b} and drops comments. A phrase is marked if one of the draws has it, and
            reported if one of them lacks it.
        check: called for each phrase; what it raises ends the work.

    Raises:
        LumosXError: the prompt has more than 20,000 letters.
        MissingPackageError: ftfy is needed for this text and not installed.
    """
    if len(typed) > MOST_LETTERS:
        raise LumosXError(
            f"The prompt has {len(typed)} letters, but phrases are looked for in up to {MOST_LETTERS}. Shorten it."
        )
    scene.check_size()
    texts = readings(typed, dynamic=dynamic)
    owners: list[set[int]] = [set() for _ in typed]
    missing: dict[tuple[int, str], MissingPhrase] = {}
    labelled = list(scene.labelled())
    groups_of: dict[str, set[int]] = {}
    mistakes: dict[str, bool] = {}
    for group, positions in enumerate(scene.layout.groups):
        for label, reference in (labelled[position] for position in positions):
            check()
            phrase = clean_prompt(reference.phrase)
            mistake = None
            if phrase not in groups_of or mistakes[phrase]:  # a phrase that is there is looked for once
                mistake = _mistake(phrase, label, texts, check, suggest=len(missing) < _MOST_SUGGESTIONS)
            mistakes[phrase] = mistake is not None
            groups_of.setdefault(phrase, set()).add(group)
            if mistake is not None:
                missing.setdefault((group, phrase), MissingPhrase(phrase, group, mistake.message, mistake.meant))
    for phrase, groups in groups_of.items():
        for reading in texts:
            _own(owners, groups, phrase, reading)
    # A scene without images is one that is not connected yet. Of several draws the first: they differ in little else.
    warnings = scene_warnings(phrases_only(scene), texts[0].text) if labelled else []
    return MarkedPrompt(tuple(_spans(typed, owners)), tuple(missing.values()), tuple(warnings))


def phrases_only(scene: Scene) -> Scene:
    """The same scene with one white pixel for each image."""
    pixel = torch.ones(1, 1, 3)

    def bare(reference: Reference) -> Reference:
        return replace(reference, image=pixel)

    subjects = [
        replace(subject, face=subject.face and bare(subject.face), attributes=tuple(map(bare, subject.attributes)))
        for subject in scene.subjects
    ]
    return Scene(tuple(subjects), tuple(map(bare, scene.objects)), scene.background and bare(scene.background))


def _own(owners: list[set[int]], groups: set[int], phrase: str, reading: Reading) -> None:
    for start, end in words_meant(phrase, reading.text):
        for place in range(start, end):
            if reading.text[place] != " ":
                for typed in range(*reading.places[place]):
                    owners[typed] |= groups


def _mistake(
    phrase: str, label: str, texts: list[Reading], check: Callable[[], None], *, suggest: bool
) -> Mistake | None:
    found = []
    for reading in texts:
        check()
        found.append(mistake_in_text(phrase, label, reading.text, suggest=suggest))
    mistakes = [mistake for mistake in found if mistake is not None]
    if mistakes and len(mistakes) < len(found):
        return Mistake(
            f'Phrase "{phrase}" of {owner_of(label)} occurs only with some of the choices in {{...|...}}, and a run '
            f"that draws another one fails. Write it in all of them, or outside.",
            phrase,
        )
    return mistakes[0] if mistakes else None


def _spans(typed: str, owners: list[set[int]]) -> list[PromptSpan]:
    """Spans of equal groups; space belongs to a group only between two of its words."""
    word: set[int] = set()  # the owners of the last letter that is no space
    space = 0  # where the space behind it began
    for place, letter in enumerate(typed):
        if not letter.isspace():
            for between in range(space, place):
                owners[between] = word & owners[place]
            word, space = owners[place], place + 1
    spans: list[PromptSpan] = []
    for letter, groups in zip(typed, map(tuple, map(sorted, owners)), strict=True):
        if spans and spans[-1].groups == groups:
            spans[-1] = PromptSpan(spans[-1].text + letter, groups)
        else:
            spans.append(PromptSpan(letter, groups))
    return spans
