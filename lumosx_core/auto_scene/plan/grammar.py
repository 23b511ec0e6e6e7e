"""Small questions of grammar about the words around a place in a prompt."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import takewhile

from . import vocabulary as v
from .people import Mention
from .words import POSSESSIVE_MARKS, Word, word_at

_APPOSED_BEHIND = (",", "(", ":", "–", "—", "-")
_FAR = 6  # words between "the person on the far left" and its apposition
_BEGIN_CLAUSE = v.WEAR_WORDS | v.HOLD_WORDS | {"in", "with"}


def possessive_of(words: Sequence[Word], index: int) -> str:
    """The "his" of "his casual attire"; "" if there is none."""
    before = [word_at(words, index, -offset) for offset in range(1, 5)]
    adjectives = list(takewhile(lambda word: word.isalpha() and word not in v.FUNCTION_WORDS, before))
    whose = before[len(adjectives)] if len(adjectives) < len(before) else ""
    return whose if whose in v.POSSESSIVES else ""


def is_worn_outfit(words: Sequence[Word], index: int) -> bool:
    """Whether clothes follow that make it up: "in a casual outfit, featuring ...", "the man's attire includes"."""
    before = [word_at(words, index, -offset) for offset in range(1, 6)]
    known = {"their", "in"} | POSSESSIVE_MARKS | v.WEAR_WORDS
    return any(word in known for word in takewhile(lambda word: word not in (",", "and", "with", "of"), before))


def looks_like_verb(words: Sequence[Word], index: int) -> bool:
    """Whether an unknown word is a verb of the third person, and none of handling clothes: "places", not "adjusts"."""
    lower = words[index].lower
    if lower in v.FUNCTION_WORDS or lower in v.MODIFIERS or lower in v.HANDLING or len(lower) < 4:
        return False
    if word_at(words, index, -1) in v.MODIFIERS or v.kind_of(lower) is not None:
        return False
    return lower.endswith("s") and not lower.endswith("ss")


def link_of(words: Sequence[Word], mention: Mention) -> str:
    """What links a noun to somebody who was named: "named", "as" (dressed as a wizard), "is" (is likely a doctor)."""
    place = mention.first - 1
    if word_at(words, mention.first, -1) in v.ARTICLES:
        place -= 1
    while place >= 0 and words[place].lower in v.HEDGES:
        place -= 1
    if place < 0 or words[place].sentence != words[mention.word].sentence:
        return ""
    link, before = words[place].lower, word_at(words, place, -1)
    if link in ("named", "called"):
        return "named"
    if link == "as":
        return "as" if before in v.AS_PREDICATE else ""
    return "is" if link in v.COPULAS and before not in ("there", "here") else ""


def is_apposition(words: Sequence[Word], mention: Mention, last_mention: int) -> bool:
    """Whether a noun behind a comma names the same person, and does not go on with a list of people.

    Args:
        last_mention: index of the noun of the mention before, in this sentence; negative if there is none.
    """
    if mention.name and last_mention == mention.word - 1:
        return True  # "her sister Zoe"
    if mention.name and last_mention == mention.word - 2:
        return word_at(words, mention.word, -1) == ","  # "the detective, Anna, ..."
    mark = mention.first - 2
    if word_at(words, mention.first, -1) not in ("a", "an") or mark <= last_mention:
        return False
    if word_at(words, mention.first, -2) not in _APPOSED_BEHIND or mark - last_mention > _FAR:
        return False
    between = words[last_mention + 1 : mark]
    if any(word.lower not in v.FUNCTION_WORDS | v.ARTICLES | v.DISTINCTIONS[0] | {"far"} for word in between):
        return False
    return word_at(words, mention.word, 1) not in (",", "and") or not _is_list(words, mention.word)


def is_joined(words: Sequence[Word], index: int, last_mention: int) -> bool:
    """Whether only "and", commas and articles are between a mention and the one before."""
    between = range(last_mention + 1, index)
    return 1 <= len(between) <= 4 and all(
        words[i].lower in v.ARTICLES | {"and", ",", "&"} or words[i].lower in v.MODIFIERS for i in between
    )


def _is_list(words: Sequence[Word], index: int) -> bool:
    """Whether another person follows before anything is said of this one: "a man, a nurse, and a girl"."""
    for offset in range(1, 7):
        word = word_at(words, index, offset)
        if word in _BEGIN_CLAUSE:
            return False
        if word and v.kind_of(word) == "person":
            return True
    return False
