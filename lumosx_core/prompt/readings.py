"""What a prompt, as it is typed into ComfyUI, can become before the tokenizer sees it.

ComfyUI's page drops comments and draws one of {a|b}; the prompt is cleaned; the text encoder takes brackets as weights.
Each character that is left remembers where it was typed.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from dataclasses import dataclass

from .phrase_mask import clean_prompt

MOST_READINGS = 24
_TOO_MANY = MOST_READINGS + 1
_DEEPEST = 8  # of choices within choices; the page itself has no limit

_Letter = tuple[str, int, int]  # a character, and the start and end of what was typed for it


@dataclass(frozen=True)
class Reading:
    """One text that a prompt can become.

    Args:
        text: cleaned, without weights.
        places: for each character the start and the end of what was typed for it.
    """

    text: str
    places: tuple[tuple[int, int], ...]


def readings(typed: str, *, dynamic: bool) -> list[Reading]:
    """All texts that a prompt can become; if they are more than 24, only the one in which nothing is drawn.

    Args:
        dynamic: whether the page resolves {a|b} and comments in it; it does so where an input has `dynamic_prompts`.
    """
    letters = [(letter, i, i + 1) for i, letter in enumerate(typed)]
    drawn = [letters]
    if dynamic:
        letters = _without_comments(letters)
        drawn = list(itertools.islice(_draws(letters, 0), _TOO_MANY))
        drawn = [_unescaped(draw, "{}|") for draw in drawn] if len(drawn) <= MOST_READINGS else [letters]
    return [_reading(_without_weights(_cleaned(draw))) for draw in drawn]


def without_weights(typed: str) -> str:
    r"""A prompt cleaned and without weights, for a text encoder that knows none: "a (red hat:1.2)," -> "a red hat,".

    A bracket that is meant, "\(", becomes a plain one. Choices {a|b} and comments stay: the page resolves its own.
    """
    [reading] = readings(typed, dynamic=False)
    kept: list[str] = []
    text, places = reading.text, reading.places
    for i, letter in enumerate(text):
        if letter == " " and 0 < i < len(text) - 1:
            between = typed[places[i - 1][1] : places[i + 1][0]]
            gap_of_brackets = bool(between) and not any(each.isspace() for each in between)
            if gap_of_brackets and not (text[i - 1].isalnum() and text[i + 1].isalnum()):
                continue
        kept.append(letter)
    return "".join(kept)


def _reading(letters: list[_Letter]) -> Reading:
    kept: list[_Letter] = []
    for letter in letters:
        if not letter[0].isspace():
            kept.append(letter)
        elif kept and kept[-1][0] != " ":
            kept.append((" ", *letter[1:]))
    if kept and kept[-1][0] == " ":
        kept.pop()
    return Reading(_text(kept), tuple((start, end) for _, start, end in kept))


def _text(letters: list[_Letter]) -> str:
    return "".join(letter for letter, _, _ in letters)


# Comments and choices


def _without_comments(letters: list[_Letter]) -> list[_Letter]:
    kept, at = [], 0
    for start, end in comments(_text(letters)):
        kept += letters[at:start]
        at = end
    return kept + letters[at:]


def comments(text: str) -> Iterator[tuple[int, int]]:
    """Start and end of each comment of a prompt, as the page drops them, in linear time.

    A /* that is never closed is no comment.
    """
    opening, end, last_close = re.compile(r"/\*|//"), 0, text.rfind("*/")
    while (match := opening.search(text, end)) is not None:
        start, behind = match.span()
        if match[0] == "//":
            end = text.find("\n", behind)
            end = len(text) if end < 0 else end
        elif last_close >= behind:
            end = text.find("*/", behind) + 2
        else:
            end = start + 1
            continue
        yield start, end


def _draws(letters: list[_Letter], depth: int) -> Iterator[list[_Letter]]:
    """Every way to draw one of each {a|b}, choices within choices included."""
    if depth == _DEEPEST:
        yield letters
        return
    parts: list[list[list[_Letter]]] = [[[]]]  # plain text has one alternative
    level = 0
    escaped = False
    for letter in letters:
        special = None if escaped else letter[0]
        escaped = special == "\\"
        if special == "{" and level == 0:
            parts.append([[]])
            level = 1
            continue
        if level:
            level += (special == "{") - (special == "}")
            if level == 0:
                parts.append([[]])
                continue
            if special == "|" and level == 1:
                parts[-1].append([])
                continue
        parts[-1][-1].append(letter)
    # Plain text and choices take turns, so every second part is a choice.
    every = [
        list(itertools.islice(itertools.chain.from_iterable(_draws(each, depth + 1) for each in part), _TOO_MANY))
        if place % 2
        else part
        for place, part in enumerate(parts)
    ]
    for chosen in itertools.product(*every):
        yield list(itertools.chain.from_iterable(chosen))


def _unescaped(letters: list[_Letter], signs: str) -> list[_Letter]:
    r"""With "\(" as one "(", for the given signs."""
    kept: list[_Letter] = []
    for letter in letters:
        if kept and kept[-1][0] == "\\" and letter[0] in signs:
            kept[-1] = (letter[0], kept[-1][1], letter[2])
        else:
            kept.append(letter)
    return kept


# Cleaning and weights


def _cleaned(letters: list[_Letter]) -> list[_Letter]:
    """What `clean_prompt` makes of it, word by word, so that every word knows its place."""
    kept: list[_Letter] = []
    for word in re.finditer(r"\s+|\S+", _text(letters)):
        part = letters[word.start() : word.end()]
        cleaned = word[0] if word[0].isspace() else clean_prompt(word[0])
        if len(cleaned) == len(part):
            kept += [(letter, start, end) for letter, (_, start, end) in zip(cleaned, part, strict=True)]
            continue
        # Such as an &amp;: what is between the letters that stayed was typed for all that came of it.
        head = _alike(word[0], cleaned)
        tail = _alike(word[0][head:][::-1], cleaned[head:][::-1])
        middle = part[head : len(part) - tail]
        kept += part[:head]
        kept += [(letter, middle[0][1], middle[-1][2]) for letter in cleaned[head : len(cleaned) - tail] if middle]
        kept += part[len(part) - tail :]
    return kept


def _alike(one: str, other: str) -> int:
    """How many letters two texts share at their start."""
    return next((i for i, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))


def _without_weights(letters: list[_Letter]) -> list[_Letter]:
    """Without the brackets and numbers of (words:1.2), each of them a gap between words, as the tokenizer sees it."""
    text = _text(letters)
    opened: list[int] = []
    gone: set[int] = set()
    for i, letter in enumerate(text):
        if letter not in "()" or text[i - 1 : i] == "\\":
            continue
        if letter == "(":
            opened.append(i)
        elif opened:
            start = opened.pop()
            colon = text.rfind(":", start + 2, i)
            weighted = colon > 0 and _is_number(text[colon + 1 : i])
            gone |= {start, *range(colon if weighted else i, i + 1)}
    kept = [(" ", *letter[1:]) if i in gone else letter for i, letter in enumerate(letters)]
    return _unescaped(kept, "()")


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
