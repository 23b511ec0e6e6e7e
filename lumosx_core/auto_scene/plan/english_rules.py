"""A plan from an English prompt, by rules: quick, without a network, and to be shown to the artist for correction.

Clothes are assigned to the person described at that point: "the man, wearing ...", "a woman in ...", "his ...". Where
that may be two people, they are left out and a note says so. Other languages are not understood; such a prompt gives a
plan with little or nothing in it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ...prompt.match import find_phrase
from ...prompt.phrase_mask import clean_prompt
from . import surroundings
from . import vocabulary as v
from .people import text_of
from .phrases import noun_phrases
from .plan import PersonPlan, ScenePlan
from .reading import Reading
from .words import NounPhrase, Word, split_words, word_at

MOST_OBJECTS = 3  # what the network was trained with


# "A handheld camera follows her" is the one that films.
_FILMING = frozenset({"the", "tracking", "handheld", "static", "stationary", "moving", "panning", "steady", "fixed"})


def _unheard(note: str) -> None:
    """The default of `read_prompt`: notes are not kept."""


def read_prompt(prompt: str, say: Callable[[str], None] = _unheard) -> ScenePlan:
    """Find people with what they wear, at most 3 objects and the background of a prompt.

    Args:
        say: receives a sentence for each garment that is left out, as its owner is not certain.

    Returns: phrases exactly as in the cleaned prompt, with "#2" where other occurrences of a phrase belong
        to somebody else; an empty plan if nothing is known.

    Raises:
        LumosXError: the prompt has more words than the text encoder reads.
    """
    prompt = clean_prompt(prompt)
    words = split_words(prompt)
    phrases = noun_phrases(words)
    people, loose = Reading(prompt, words, phrases, say).read()
    background = _best_background(words, phrases)
    place = None if background is None else v.singular(words[background.head].lower)
    loose = [phrase for phrase in loose if v.singular(words[phrase.head].lower) != place]
    objects = _best_objects(words, loose, prompt)
    claims = _Claims(prompt)
    for person in people:
        for index in person.mentions:
            claims.add(words[index].start, words[index].end, person)
        for phrase in person.worn:
            claims.add(words[phrase.first].start, words[phrase.last].end, person)
    for phrase in objects:
        claims.add(words[phrase.first].start, words[phrase.last].end, phrase)

    def named(first: int, last: int, owner: object) -> str:
        return claims.phrase(words[first].start, words[last].end, owner)

    scene = None if background is None else text_of(words, background, prompt)
    plans = []
    for person in people:
        word = (
            person.mentions[0]
            if person.described_at is None or person.described_at not in person.mentions
            else person.described_at
        )
        worn = [named(phrase.first, phrase.last, person) for phrase in person.worn]
        plans.append(PersonPlan(named(word, word, person), tuple(filter(None, worn))))
    return ScenePlan(
        tuple(plans),
        tuple(filter(None, (named(phrase.first, phrase.last, phrase) for phrase in objects))),
        scene if scene and find_phrase(scene, prompt) else None,
    )


class _Claims:
    """Spans of the prompt by owner, which distinguish a phrase from its other occurrences."""

    def __init__(self, prompt: str):
        self.prompt = prompt
        self.spans: list[tuple[int, int, object]] = []

    def add(self, start: int, end: int, owner: object) -> None:
        self.spans.append((start, end, owner))

    def phrase(self, start: int, end: int, owner: object) -> str:
        """The text of a stretch, numbered if it occurs in what belongs to others.

        Returns: "" for a stretch that is not found as it stands: a word behind a lone accent.
        """
        text = self.prompt[start:end]
        occurrences = find_phrase(text, self.prompt)
        if (start, end) not in occurrences:
            return ""
        others = [(a, b) for a, b, whose in self.spans if whose is not owner and (a, b) != (start, end)]
        if any(a < d and c < b for a, b in occurrences for c, d in others):
            return f"{text}#{occurrences.index((start, end)) + 1}"
        return text


def _best_objects(words: Sequence[Word], loose: Sequence[NounPhrase], prompt: str) -> list[NounPhrase]:
    """The objects that are easiest to show, at most three, in the order of the prompt."""
    kept: list[NounPhrase] = []
    for phrase in loose:
        noun = v.singular(words[phrase.head].lower)
        known = [other for other in kept if v.singular(words[other.head].lower) == noun]
        around = {word.lower for word in words[phrase.first : phrase.head]} | {phrase.before}
        filmed = noun == "camera" and bool(around & _FILMING)
        if not filmed and not (known and _is_again(words, phrase, known, prompt)):
            kept.append(phrase)

    def rank(phrase: NounPhrase) -> tuple[bool, bool, bool]:
        fixed = v.singular(words[phrase.head].lower) in surroundings.FIXTURES
        return fixed, not phrase.described, phrase.before == "the"

    return sorted(sorted(kept, key=rank)[:MOST_OBJECTS], key=lambda phrase: phrase.head)


def _is_again(words: Sequence[Word], phrase: NounPhrase, known: Sequence[NounPhrase], prompt: str) -> bool:
    """Whether a thing was named before: "the filled mug", but not "a blue mug"."""
    if not phrase.described or text_of(words, phrase, prompt) in [text_of(words, other, prompt) for other in known]:
        return True
    if phrase.before in ("a", "an", "another") or phrase.before in v.NUMBERS:
        return False
    colours = [{word.lower for word in words[each.first : each.head]} & v.COLOURS for each in (phrase, *known)]
    return not colours[0] or any(colours[0] & other for other in colours[1:])


def _best_background(words: Sequence[Word], phrases: Sequence[NounPhrase]) -> NounPhrase | None:
    """The place where it happens: behind a preposition before one that is only named, described before a bare one."""
    ranked = []
    for phrase in phrases:
        noun = v.singular(words[phrase.head].lower)
        preposition = word_at(words, phrase.opening, -1)
        if preposition == "of" and word_at(words, phrase.opening, -2) in surroundings.BEFORE_PLACE:
            preposition = "against"
        behind = preposition in surroundings.BACKDROP_WORDS
        described = [v.kind_of(word.lower) for word in words[phrase.first : phrase.head]]
        general = noun in surroundings.GENERAL_SCENES and "scene" not in described
        if phrase.kind == "scene":
            rank = 0 if preposition in surroundings.PLACE_WORDS - surroundings.BESIDE or behind else 2
            rank = 1 if preposition in surroundings.BESIDE else rank
            if rank == 2 and (phrase.before in ("its", "their") or noun == "building"):
                continue  # "the fruit shows its interior", "tall buildings"
            if word_at(words, phrase.head, 1) == "where" and not general:
                rank = 0  # "shows an office where"
        elif phrase.kind == "backdrop" and behind:
            rank = 1 if word_at(words, phrase.head, 1) != "of" else 3  # "a backdrop of trees"
        elif noun in surroundings.VEHICLES and preposition in ("in", "inside", "aboard"):
            rank = 0
        else:
            continue
        ranked.append((rank, general and not phrase.described, not phrase.described, phrase.head, phrase))
    return min(ranked, key=lambda entry: entry[:4])[4] if ranked else None
