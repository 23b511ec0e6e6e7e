"""Phrase search in text: the one rule for whole words, in scripts with spaces and without, for page, preview and run.

Prompt and phrase are folded alike before they are compared: compatibility forms (full-width letters, composed accents),
hyphens and apostrophes that look the same, invisible characters. Case, accents and words are never changed.
"""

from __future__ import annotations

import itertools
import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

# Blocks of scripts that are written without spaces between words.
_UNSPACED = (
    *((0x0E00, 0x109F), (0x1780, 0x17FF), (0x1950, 0x19FF), (0x1A20, 0x1AAF), (0x1B00, 0x1B7F)),
    *((0x2E80, 0x2FDF), (0x3005, 0x3007), (0x3021, 0x3029), (0x3038, 0x303C), (0x3040, 0x312F), (0x31A0, 0x31BF)),
    *((0x31F0, 0x31FF), (0x3400, 0x4DBF), (0x4E00, 0x9FFF), (0xA980, 0xA9FF), (0xAA60, 0xAA7F), (0xF900, 0xFAFF)),
    *((0xFF66, 0xFF9F), (0x1B000, 0x1B16F), (0x20000, 0x3FFFF)),
)
_SAME_AS = {
    **dict.fromkeys("\u2010\u2011\u2012\u2013\u2014\u2015\u2212\ufe58\ufe63\uff0d", "-"),
    **dict.fromkeys("\u2018\u2019\u201a\u201b\u2032\u02bc\u02b9\u00b4\u0060\uff07", "'"),
    **dict.fromkeys("\u201c\u201d\u201e\u201f\u2033\uff02", '"'),
    "\u200c": " ",  # which the tokenizer makes of it, too
}
# Joiners and variation selectors; `clean_prompt` takes the other invisible characters out of the prompt itself.
_IGNORED = re.compile(
    "[\u00ad\u180b-\u180d\u200b\u200d-\u200f\u202a-\u202e\u2060-\u2064\u2066-\u2069\ufe00-\ufe0f\ufeff]"
)
_JOINED = re.compile("[\u1160-\u11ff\ud7b0-\ud7ff\uff9e\uff9f]")  # what composes with the letter in front of it
# Korean writes particles and the copula behind a noun without a space.
_HANGUL = re.compile("[\uac00-\ud7a3]{0,13}")  # longer than any three endings
_KOREAN_ENDING = re.compile(
    "(?:들|은|는|이|가|을|를|의|에|에게|에게서|에서|께|께서|한테|와|과|랑|이랑|하고|도|만|로|으로|까지|부터|처럼|보다|마다|밖에"
    "|이나|나|이며|며|이고|고|인|이다|입니다|이에요|예요|였다|이었다){1,3}"
)


@dataclass(frozen=True)
class Folded:
    """A text as it is compared.

    Args:
        places: for each character, start and end of what it was made of in the text.
    """

    text: str
    places: tuple[tuple[int, int], ...]


def find_phrase(phrase: str, text: str) -> list[tuple[int, int]]:
    """Start and end of each occurrence of a phrase in a text, overlapping ones included.

    Whole words count where words are divided by spaces ("shirt" is not in "shirts"); in Chinese, Japanese, Thai and
    other scripts without spaces a phrase is found wherever it is written. A letter is never divided from its marks.
    """
    return list(_occurrences(phrase, text))


def occurs(phrase: str, text: str) -> bool:
    """Whether `find_phrase` finds a phrase."""
    return next(_occurrences(phrase, text), None) is not None


def _occurrences(phrase: str, text: str) -> Iterator[tuple[int, int]]:
    wanted, where = fold(phrase).text, fold(text)
    at = where.text.find(wanted) if wanted else -1
    while at >= 0:
        end = at + len(wanted)
        if is_whole(where.text, at, end):
            yield where.places[at][0], where.places[end - 1][1]
        at = where.text.find(wanted, at + 1)


def split_number(phrase: str) -> tuple[str, int | None]:
    """Divide "man#2" into ("man", 2); a phrase without a number, or with an endless one, gives (phrase, None)."""
    match = re.fullmatch(r"(.*\S)\s*#([0-9]{1,300})", phrase)
    return (match[1], int(match[2])) if match else (phrase, None)


def is_whole(text: str, start: int, end: int) -> bool:
    """Whether a stretch of folded text begins and ends between words (anywhere, in scripts without spaces)."""
    if start > 0 and _divides_word(text[start - 1], text[start]):
        return False
    if end == len(text) or not _divides_word(text[end - 1], text[end]):
        return True
    ending = text[end : _HANGUL.match(text, end).end()]  # type: ignore[union-attr]  # it matches nothing, too
    after = text[end + len(ending) : end + len(ending) + 1]
    return bool(_KOREAN_ENDING.fullmatch(ending)) and not (after and _divides_word(ending[-1], after))


@lru_cache(maxsize=256)
def fold(text: str) -> Folded:
    """A text with everything alike that looks alike; spaces beside letters of scripts without spaces are dropped."""
    letters: list[tuple[str, int, int]] = []
    for start, end in clusters(text):
        cluster = _IGNORED.sub("", text[start:end])
        same = "".join(_SAME_AS.get(letter, letter) for letter in cluster)
        same = unicodedata.normalize("NFKC", same)
        if same == " \u0301":  # a spacing acute, once it is in compatibility form
            same = "'"
        if same == "\\" and text[end : end + 1] in ("(", ")"):  # a bracket that is meant, in ComfyUI's spelling
            continue
        letters += [(_SAME_AS.get(letter, letter), start, end) for letter in same]
    kept: list[tuple[str, int, int]] = []
    following = _following(letters)
    for letter, after in zip(letters, following, strict=True):
        if letter[0].isspace():
            if not kept or not after or kept[-1][0] == " " or is_unspaced(kept[-1][0]) or is_unspaced(after):
                continue
            letter = (" ", *letter[1:])
        kept.append(letter)
    return Folded("".join(letter for letter, _, _ in kept), tuple((start, end) for _, start, end in kept))


def _following(letters: list[tuple[str, int, int]]) -> list[str]:
    """For each letter the next one that is not a space, "" where there is none."""
    following, after = [""] * len(letters), ""
    for i in range(len(letters) - 1, -1, -1):
        following[i] = after
        if not letters[i][0].isspace():
            after = letters[i][0]
    return following


@lru_cache(maxsize=4096)
def is_unspaced(letter: str) -> bool:
    """Whether a character is a letter, or a mark of one, of a script that is written without spaces."""
    code = ord(letter)
    return any(first <= code <= last for first, last in _UNSPACED) and unicodedata.category(letter)[0] in "LM"


def clusters(text: str) -> list[tuple[int, int]]:
    """Characters with the marks that belong to them."""
    starts = [i for i, letter in enumerate(text) if i == 0 or not (_is_mark(letter) or _JOINED.match(letter))]
    return list(itertools.pairwise([*starts, len(text)])) if text else []


def _divides_word(before: str, after: str) -> bool:
    """Whether two neighbouring characters are of one word, or of one letter."""
    return _is_mark(after) or (_is_spaced(before) and _is_spaced(after))


def _is_mark(letter: str) -> bool:
    return unicodedata.category(letter)[0] == "M"


@lru_cache(maxsize=4096)
def _is_spaced(letter: str) -> bool:
    """Whether a character is part of a word in a script that has spaces between words."""
    return letter == "_" or (unicodedata.category(letter)[0] in "LNM" and not is_unspaced(letter))
