"""The things that a scene shows, each with its images, its owner and its words in the prompt."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from itertools import combinations

from ..errors import LumosXError, shown
from ..prompt.match import find_phrase, is_unspaced
from ..prompt.messages import mistake_of, owner_of
from ..prompt.phrase_mask import clean_prompt, words_meant
from ..scene.scene import Reference, Scene

_MOST_MISTAKES = 5
_DETERMINERS = re.compile(r"(?:an?|the|his|her|their|its|my|your|our)\s+(?=\S)", re.IGNORECASE)
_ARTICLE_BEFORE = re.compile(r"(?<!\w)(?:an?|the)\s+$", re.IGNORECASE)
_DETERMINER_BEFORE = re.compile(r"(?<!\w)(?:an?|the|his|her|their|its|my|your|our)\s+$", re.IGNORECASE)
# What is said of a thing that is held; anything else is worn. Only the words in front of it in its sentence count.
_HELD = re.compile(
    r"\b(?:hold(?:s|ing)?|carr(?:y|ies|ying)|hand(?:s|ing)|play(?:s|ing)|push(?:es|ing)?|pull(?:s|ing)?|grip(?:s|ping)?)\b"
)
_WORN = re.compile(r"\b(?:wear(?:s|ing)?|worn|dressed|clad|in|over|under)\b")


@dataclass(frozen=True)
class Thing:
    """What one or several reference images of the same owner and phrase show.

    Args:
        words: as the prompt writes them, without a number and without an article; empty for an image without a phrase.
        images: indices into `scene.references`.
        role: "background", "object", "face" or "attribute".
        owner: number of the subject, from 1; 0 for background and objects.
        label: what a message calls the first image.
        spans: start and end of its occurrences in the prompt.
        article: whether English puts "the" before the words; not before names and in scripts without spaces.
        held: whether the prompt says that it is held or carried; otherwise it is worn.
    """

    words: str
    images: tuple[int, ...]
    role: str
    owner: int
    label: str
    spans: tuple[tuple[int, int], ...] = ()
    article: bool = True
    held: bool = False

    @property
    def definite(self) -> str:
        """The words with their article: "the red raincoat"."""
        return f"the {self.words}" if self.article else self.words


def things_of(scene: Scene, prompt: str, model: str, *, words_needed: bool) -> list[Thing]:
    """The things of a scene, in the order of its images.

    Args:
        prompt: cleaned and without weights, see `without_weights`.
        model: whose images and prompt are made, for messages.
        words_needed: whether the model knows an image only by its words.

    Raises:
        LumosXError: a phrase does not occur in the prompt, or an image has none although words are needed.
    """
    things: dict[tuple[int, str, str], Thing] = {}
    mistakes: list[str] = []
    for image, (owner, role, label, reference) in enumerate(_roles(scene)):
        phrase = clean_prompt(reference.phrase)
        spans = words_meant(phrase, prompt)
        if phrase and not spans:
            if len(mistakes) < _MOST_MISTAKES:  # each is a search through the prompt
                mistake = mistake_of(phrase, label, prompt, lambda words: len(find_phrase(words, prompt)), cut=False)
                mistakes.append(mistake.message)
            continue
        if not phrase and words_needed:
            raise LumosXError(
                f"The {owner_of(label)} has no phrase, but {model} knows an image only by its words. Give it the "
                f"words that name it in the prompt."
            )
        # A subject's images of the same phrase show the same thing; two objects are never known to be one.
        key = (owner, phrase, "") if owner and phrase else (owner, phrase, label)
        if key in things:
            things[key] = replace(things[key], images=(*things[key].images, image))
            continue
        words, article = _named(spans, prompt)
        held = role == "attribute" and _is_held(spans, prompt)
        things[key] = Thing(words, (image,), role, owner, label, tuple(spans), article, held)
    if mistakes:
        raise LumosXError(" ".join(mistakes) + f' The prompt is: "{shown(prompt, 600)}"')
    return list(things.values())


def tagged_spans(things: list[Thing], tagged: list[Thing], prompt: str) -> list[tuple[int, int, Thing]]:
    """Where each tagged thing is named in the prompt, in rising order, without overlaps.

    An occurrence inside a longer phrase of another thing belongs to that one: "woman" in "woman's portrait".

    Raises:
        LumosXError: two things claim the same words, phrases overlap in part, or a thing is named nowhere on its own.
    """
    for one, other in combinations(tagged, 2):
        if set(one.spans) & set(other.spans):
            raise LumosXError(
                f'"{one.words}" is the phrase of {owner_of(one.label)} and of {owner_of(other.label)}, so the prompt '
                f'does not say which is meant. Number them, "{one.words}#1" and "{one.words}#2", or write different '
                f"words."
            )
    found: list[tuple[int, int, Thing]] = []
    for thing in tagged:
        own: list[tuple[int, int, Thing]] = []
        for start, end in thing.spans:
            rivals = [(a, b, other) for other in things if other is not thing for a, b in other.spans]
            if any(a <= start and end <= b and (a, b) != (start, end) for a, b, _ in rivals):
                continue
            crossing = next((o for a, b, o in rivals if a < start < b < end or start < a < end < b), None)
            if crossing is not None:
                raise LumosXError(
                    f'"{thing.words}" of {owner_of(thing.label)} and "{crossing.words}" of {owner_of(crossing.label)} '
                    f"share words in the prompt. Write phrases that do not overlap."
                )
            if not own or start >= own[-1][1]:
                own.append((start, end, thing))
        if not own:
            raise LumosXError(
                f'"{thing.words}" of {owner_of(thing.label)} occurs only inside a longer phrase of the scene. Name it '
                f"once on its own in the prompt."
            )
        found += own
    return sorted(found, key=lambda each: each[:2])


def with_article(prompt: str, start: int) -> int:
    """The start of the article in front of a word, if there is one."""
    before = _ARTICLE_BEFORE.search(prompt, 0, start)
    return before.start() if before else start


def _roles(scene: Scene) -> list[tuple[int, str, str, Reference]]:
    """Owner, role, label and reference of each image, in the scene's order."""
    owners = [0] * len(scene.standalone)
    for number, subject in enumerate(scene.subjects, 1):
        owners += [number] * len(subject.references)
    return [
        (owner, label.split(" ")[0], label, reference)
        for owner, (label, reference) in zip(owners, scene.labelled(), strict=True)
    ]


def _named(spans: list[tuple[int, int]], prompt: str) -> tuple[str, bool]:
    """The words at the first occurrence, without an article, and whether they take one."""
    if not spans:
        return "", False
    start, end = spans[0]
    words = prompt[start:end]
    if (match := _DETERMINERS.match(words)) is not None:
        return words[match.end() :], True
    if is_unspaced(words[0]):
        return words, False
    name = words[0].isupper() and not any(_DETERMINER_BEFORE.search(prompt, 0, start) for start, _ in spans)
    return words, not name


def _is_held(spans: list[tuple[int, int]], prompt: str) -> bool:
    before = re.split(r"[.;!?]", prompt[: spans[0][0]].lower())[-1] if spans else ""
    held = [match.end() for match in _HELD.finditer(before)]
    worn = [match.end() for match in _WORN.finditer(before)]
    return bool(held) and held[-1] > (worn[-1] if worn else -1)
