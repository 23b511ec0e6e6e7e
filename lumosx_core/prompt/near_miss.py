"""Words of a prompt that a phrase was probably meant to be: "Did you mean ...?"."""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Iterator
from difflib import SequenceMatcher
from functools import lru_cache

from .match import fold, is_unspaced, occurs

_NEAR = 0.72  # of 1; "shrit" and "shirt" are 0.8 alike, "hat" and "cat" 0.67
_LONGER = 100  # letters by which a word that contains the phrase may be longer
_MOST_WORDS = 600  # of the prompt; it has room for 512 tokens
_MOST_LETTERS = 200  # of a phrase
_MOST_STEPS = 1_000_000  # letters compared with letters


def near_miss(phrase: str, prompt: str) -> str | None:
    """The words of the prompt that are most like a phrase which does not occur in it; None if none are like it.

    Args:
        phrase, prompt: cleaned; the phrase without its number.

    Returns: words as the prompt writes them, so that they are found when they take the place of the phrase.
    """
    wanted = _core(phrase) if len(phrase) <= _MOST_LETTERS else ""
    if not wanted:
        return None
    best: str | None = None
    least: tuple[float, ...] = (math.inf,)
    seen: set[str] = set()  # of ten thousand words of one kind one is enough
    steps = 0
    for candidate in _candidates(phrase, prompt):
        if candidate in seen:
            continue
        seen.add(candidate)
        core = _core(candidate)
        if len(core) > 2 * len(wanted) + _LONGER:
            continue
        if _may_be_near(wanted, core) and steps < _MOST_STEPS:
            steps += len(wanted) * len(core)
            if not _is_near(wanted, core):
                continue
            # Of equally many changes: the longer one, which keeps more of the phrase, then one that begins alike.
            effort = _edits(wanted, core), -len(core), wanted[:1] != core[:1]
            if effort < least and occurs(candidate, prompt):
                best, least = candidate, effort
    return best


def _may_be_near(wanted: str, candidate: str) -> bool:
    """What can be said about `_is_near` without comparing letter by letter."""
    if wanted in candidate or (is_unspaced(wanted[0]) and len(wanted) == len(candidate)):
        return True
    return SequenceMatcher(None, wanted, candidate, autojunk=False).quick_ratio() >= _NEAR


def _is_near(wanted: str, candidate: str) -> bool:
    if wanted == candidate:
        return True
    # A word within a longer one: "Jacke" in "Jeansjacke", "man" in "woman".
    if len(wanted) > 2 and wanted in candidate:
        return True
    # A word of few characters, one of which is another one.
    if is_unspaced(wanted[0]) and len(wanted) == len(candidate) and 3 * _edits(wanted, candidate) <= len(wanted):
        return True
    return SequenceMatcher(None, wanted, candidate, autojunk=False).ratio() >= _NEAR


def _edits(one: str, other: str) -> int:
    """How many letters have to be changed, added or left out to turn a text into another one."""
    row = list(range(len(other) + 1))
    for i, letter in enumerate(one, 1):
        previous, row[0] = row[0], i
        for j, another in enumerate(other, 1):
            previous, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, previous + (letter != another))
    return row[-1]


@lru_cache(maxsize=8192)
def _core(text: str) -> str:
    """What is left of a text without case, accents, spaces, hyphens and apostrophes."""
    text = unicodedata.normalize("NFKD", fold(text).text.casefold())
    kept = [letter for letter in text if not 0x300 <= ord(letter) <= 0x36F]
    return unicodedata.normalize("NFKC", re.sub(r"[\s'_-]", "", "".join(kept)))


def _candidates(phrase: str, prompt: str) -> Iterator[str]:
    """Runs of words about as many as the phrase has; stretches about as long in scripts without spaces."""
    units = _units(prompt)[:_MOST_WORDS]
    count = len(_units(phrase))
    # Twice as long as the phrase is not like it, but may contain it.
    shortest, longest = len(phrase) // 3, 4 * len(phrase) + 20
    for length in range(max(1, count - 2), count + 3):
        for i in range(len(units) - length + 1):
            start, end = units[i][0], units[i + length - 1][1]
            if shortest <= end - start <= longest:
                yield prompt[start:end]


@lru_cache(maxsize=64)
def _units(text: str) -> tuple[tuple[int, int], ...]:
    """Words, and in scripts without spaces letters with their marks."""
    units: list[tuple[int, int]] = []
    for match in re.finditer(r"\S", text):
        at, letter = match.start(), match[0]
        category = unicodedata.category(letter)[0]
        if category not in "LNM" and letter not in "_#":
            continue
        joined = bool(units) and units[-1][1] == at
        if joined and (category == "M" or not (is_unspaced(letter) or is_unspaced(text[at - 1]))):
            units[-1] = (units[-1][0], at + 1)
        else:
            units.append((at, at + 1))
    return tuple(units)
