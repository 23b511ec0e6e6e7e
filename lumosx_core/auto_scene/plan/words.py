"""A prompt as words and marks, and what can be said of a word by itself."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

from ...errors import LumosXError
from . import surroundings, wardrobe
from . import vocabulary as v

MOST_WORDS = 1000  # words and marks of a prompt: the text encoder reads 512 tokens, and a word is at least one
REACH = 8  # how many words before its noun a phrase can begin
INDEFINITE = frozenset({"a", "an"})
POSSESSIVE_MARKS = frozenset({"'s", "’s", "'", "’"})
DETERMINERS = v.ARTICLES | frozenset(v.NUMBERS) | frozenset(v.POSSESSIVES) | POSSESSIVE_MARKS
TAKING = v.WEAR_WORDS | v.HOLD_WORDS | {"with", "in"}
_DOUBTFUL = wardrobe.DOUBTFUL_GARMENTS | surroundings.DOUBTFUL_THINGS
_SENTENCE_MARK = re.compile(r"[.!?;]")
_ABBREVIATIONS = frozenset({"mr", "mrs", "ms", "dr", "st"})


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
        opening, first, head, last: indices of words; `opening` is that of the article, if there is one, which is not
            directly in front of `first` in "a long, red dress"; `last` is behind the head only in "cup of coffee".
        before: the article or else the word in front, in lower case; "" at the start of a sentence.
    """

    kind: str
    opening: int
    first: int
    head: int
    last: int
    before: str

    @property
    def described(self) -> bool:
        return self.first < self.head


def split_words(prompt: str) -> list[Word]:
    """Words and marks of a cleaned prompt; "button-up" and "jack-o'-lantern" are one word, "man's" are two.

    Raises:
        LumosXError: there are more than `MOST_WORDS`, which no text encoder of ours reads.
    """
    words: list[Word] = []
    sentence = 0
    for match in re.finditer(r"['’]s\b|\w+(?:(?:['’]-|-['’]?)\w+)*|[^\w\s]", prompt):
        if len(words) == MOST_WORDS:
            raise LumosXError(
                f"The prompt has more than {MOST_WORDS} words and marks, but the model reads 512 tokens. Shorten it."
            )
        if words and words[-1].end == match.start() and _are_one_word(words[-1].text[-1], match[0]):
            words[-1] = Word(words[-1].text + match[0], words[-1].start, match.end(), sentence)
            continue
        words.append(Word(match[0], *match.span(), sentence))
        if _SENTENCE_MARK.fullmatch(match[0]) and not _inside_sentence(words, prompt):
            sentence += 1
    return words


def _are_one_word(before: str, text: str) -> bool:
    """Whether neighbours are one word where phrases are sought: "Boy™" reads as "BoyTM" there, "é" may be two marks."""
    if _is_letter_like(text):
        return before.isalnum() or _is_letter_like(before)
    return _is_letter_like(before) and text[0].isalnum()


def _is_letter_like(mark: str) -> bool:
    """Whether a mark becomes a letter in compatibility form, or belongs to the letter in front."""
    if len(mark) != 1 or mark.isascii() or mark.isalnum():
        return False
    return unicodedata.category(mark)[0] == "M" or any(each.isalnum() for each in unicodedata.normalize("NFKC", mark))


def _inside_sentence(words: Sequence[Word], prompt: str) -> bool:
    """Whether a full stop at the end of these words belongs to "1.5" or "Dr."."""
    last = words[-1]
    if last.text != ".":
        return False
    return prompt[last.end : last.end + 1].isalnum() or (len(words) > 1 and words[-2].lower in _ABBREVIATIONS)


def word_at(words: Sequence[Word], index: int, offset: int) -> str:
    """A neighbour in lower case, "" beyond the sentence."""
    place = index + offset
    if not 0 <= place < len(words) or words[place].sentence != words[index].sentence:
        return ""
    return words[place].lower


def is_doubtful(word: str) -> bool:
    """Whether a lower-case word may be a verb or something else: "tie", "watches"."""
    return v.singular(word) in _DOUBTFUL or word in _DOUBTFUL


def is_kind_of_clothes(words: Sequence[Word], index: int) -> bool:
    """Whether a role says what clothes are like: the chef of "a white chef's hat", not of "the chef's hat"."""
    if words[index].lower not in v.ROLES:
        return False
    first = index
    while can_describe(word_at(words, first, -1)) and index - first < REACH:
        first -= 1
    return word_at(words, first, -1) in INDEFINITE


def can_describe(word: str) -> bool:
    """Whether a word can be part of a phrase that another one ends."""
    if not re.match(r"\w", word) or word in DETERMINERS or word in v.FUNCTION_WORDS or word in v.NO_MODIFIERS:
        return False
    return v.kind_of(word) != "person"


def is_noun(word: str) -> bool:
    """Whether a lower-case word names something and is not known as an adjective."""
    return word not in v.MODIFIERS and v.kind_of(word) is not None
