"""A prompt as words, and the noun phrases in it: clothes, parts of them, bodies, things, places."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from . import vocabulary as v

_REACH = 8  # how many words before its noun a phrase can begin
_DOUBTFUL = v.DOUBTFUL_GARMENTS | v.DOUBTFUL_THINGS
_DETERMINERS = v.ARTICLES | frozenset(v.NUMBERS) | frozenset(v.POSSESSIVES) | {"'s", "’s"}


@dataclass(frozen=True)
class Word:
    """A word or a punctuation mark of a prompt.

    Args:
        start, end: its place in the prompt.
        sentence: number of the sentence.
    """

    text: str
    start: int
    end: int
    sentence: int

    @property
    def lower(self) -> str:
        return self.text.lower()


@dataclass(frozen=True)
class NounPhrase:
    """A noun with what describes it, without its article.

    Args:
        kind: as `vocabulary.kind_of` says, or "backdrop".
        first, head, last: indices of words; `last` is behind the head only in "cup of coffee".
        before: the word in front, in lower case; "" at the start of a sentence.
    """

    kind: str
    first: int
    head: int
    last: int
    before: str

    @property
    def described(self) -> bool:
        return self.first < self.head


def split_words(prompt: str) -> list[Word]:
    """Words and marks of a cleaned prompt; "button-up" is one word, "man's" are two."""
    words, sentence = [], 0
    for match in re.finditer(r"['’]s\b|\w+(?:-\w+)*|[^\w\s]", prompt):
        words.append(Word(match[0], *match.span(), sentence))
        if match[0] in ".!?;":
            sentence += 1
    return words


def noun_phrases(words: Sequence[Word]) -> list[NounPhrase]:
    """The phrases of known nouns, people excepted, in the order of the prompt."""
    found: list[NounPhrase] = []
    for head, word in enumerate(words):
        kind = "backdrop" if v.singular(word.lower) in v.BACKDROPS else v.kind_of(word.lower)
        # Inside "cup of coffee" nothing begins again.
        if kind in (None, "person") or _describes_the_next(words, head) or (found and head <= found[-1].last):
            continue
        first = _start_of_place(words, head) if kind == "scene" else None
        first = _start(words, head) if first is None else first
        before = word_at(words, first, -1)
        if _is_doubtful(word.lower) and not (first < head or before in _DETERMINERS or before in _TAKING):
            continue
        if _is_doubtful(word.lower) and (word_at(words, head, 1) == "of" and kind == "garment"):
            continue  # "on top of", "glasses of wine"
        found.append(NounPhrase(kind, first, head, _end(words, head), before))
    return found


def word_at(words: Sequence[Word], index: int, offset: int) -> str:
    """A neighbour in lower case, "" beyond the sentence."""
    place = index + offset
    if not 0 <= place < len(words) or words[place].sentence != words[index].sentence:
        return ""
    return words[place].lower


_TAKING = v.WEAR_WORDS | v.HOLD_WORDS | {"with", "in"}


def _is_doubtful(word: str) -> bool:
    return v.singular(word) in _DOUBTFUL or word in _DOUBTFUL


def _describes_the_next(words: Sequence[Word], index: int) -> bool:
    """Whether a noun is a modifier: "kitchen" of "kitchen counter", "hat" of "hat rack"."""
    following = word_at(words, index, 1)
    if _is_verb(words, index + 1):
        return False
    if v.kind_of(words[index].lower) == "scene" and following in v.PEOPLE:
        return True  # "street musician"
    return following in v.NOT_A_HEAD_BEFORE or v.kind_of(following) not in (None, "person", "body")


def _is_verb(words: Sequence[Word], index: int) -> bool:
    """Whether a word that looks like a plural is one of those that may be verbs: "the man in the jacket watches"."""
    following = word_at(words, index - 1, 1)
    known = v.kind_of(word_at(words, index, -1)) if following else None
    return known is not None and _is_doubtful(following) and v.singular(following) != following


def _start(words: Sequence[Word], head: int) -> int:
    if _is_verb(words, head):
        return head
    first = head
    while head - first < _REACH:
        before = word_at(words, first, -1)
        if before == "and" and words[first].lower in v.COLOURS and word_at(words, first, -2) in v.COLOURS:
            first -= 2  # "black and white shirt"
        elif _is_noun(before) and first < head and not _is_noun(words[first].lower):
            return first + 1  # "t-shirts ride bicycles": what follows a noun and is none is a verb
        elif _describes(before):
            first -= 1
        else:
            break
    # Behind a comma or "and" a verb may follow ("and adjusts black glasses"): there only known modifiers count.
    before = word_at(words, first, -1)
    if before not in _DETERMINERS | {""} and (before not in v.FUNCTION_WORDS or before in ("and", "or")):
        known = head
        while known > first and _is_known_modifier(words[known - 1].lower):
            known -= 1
        first = known
    while first < head and words[first].lower in v.OPINIONS:
        first += 1
    return first


def _start_of_place(words: Sequence[Word], head: int) -> int | None:
    """Where "cozy, warmly lit room" begins: behind its article, over commas; None if there is no such article."""
    for first in range(head, max(head - _REACH, -1), -1):
        before = word_at(words, first, -1)
        if before in _DETERMINERS:
            return first
        if before not in (",", "and") and not _describes(before):
            return None
    return None


def _end(words: Sequence[Word], head: int) -> int:
    """Where "bouquet of red roses" ends."""
    if v.singular(words[head].lower) not in v.CONTAINERS or word_at(words, head, 1) != "of":
        return head
    last = head + 2
    while word_at(words, last, 0) and words[last].lower in v.MODIFIERS and _describes(word_at(words, last, 1)):
        last += 1
    return last if _describes(word_at(words, last, 0)) else head


def _describes(word: str) -> bool:
    """Whether a word can be part of a phrase that another one ends."""
    if not re.match(r"\w", word) or word in _DETERMINERS or word in v.FUNCTION_WORDS:
        return False
    return v.kind_of(word) != "person"


def _is_noun(word: str) -> bool:
    return word not in v.MODIFIERS and v.kind_of(word) is not None


def _is_known_modifier(word: str) -> bool:
    return word in v.MODIFIERS or "-" in word or v.kind_of(word) in ("garment", "object", "scene")
