"""Messages about phrases that a prompt lacks."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from ..errors import shown
from .match import find_phrase, split_number
from .near_miss import near_miss


@dataclass(frozen=True)
class Mistake:
    """What is wrong about a phrase.

    Args:
        statement: sentences.
        phrase: as it was written.
        meant: what it probably should have been.
    """

    statement: str
    phrase: str
    meant: str | None = None

    @property
    def message(self) -> str:
        """All that is to be said about this phrase alone."""
        return self.statement + self.suggestion(named=False)

    def suggestion(self, *, named: bool) -> str:
        """The question at the end of the message, or nothing.

        Args:
            named: there are several mistakes, so it says which phrase it is about.
        """
        if self.meant is None:
            return ""
        return f' Did you mean "{self.meant}"' + (f' instead of "{shown(self.phrase)}"?' if named else "?")


def owner_of(label: str) -> str:
    """Turn "attribute 2 of subject 1" into "subject 1 (attribute 2)": the artist looks for the subject first."""
    role, _, subject = label.partition(" of ")
    return f"{subject} ({role})" if subject else {"background": "the background"}.get(role, role)


def mistake_of(
    phrase: str, label: str, prompt: str, count_of: Callable[[str], int], *, cut: bool, suggest: bool = True
) -> Mistake:
    """Why a cleaned phrase was not found.

    Args:
        prompt: cleaned, too.
        count_of: how often words without a number were found.
        cut: the prompt is as long as it may be, so that its end may be missing.
        suggest: look for what was probably meant, which takes some time.
    """
    words, number = split_number(phrase)
    if number is not None and (count := count_of(words)):
        return Mistake(_no_such_number(phrase, words, number, count, label), phrase)
    return _missing(words, number, label, prompt, cut=cut, suggest=suggest)


def _missing(words: str, number: int | None, label: str, prompt: str, *, cut: bool, suggest: bool) -> Mistake:
    message = f'Phrase "{shown(words)}" of {owner_of(label)} does not occur in the prompt.'
    meant = None
    inside = _word_around(words, prompt)
    if find_phrase(words, prompt):
        if cut:
            message += " It occurs so late in the prompt that it is cut off: shorten the prompt."
        else:
            message += " It is there, but the text encoder has no tokens for it: write it in other words."
    elif suggest and (meant := near_miss(words, prompt)):
        if meant.casefold() == words.casefold():
            message += f' The prompt writes it "{meant}".'
        elif inside:
            message += f' It occurs only inside "{shown(inside, 60)}".'
        if number is not None and 1 <= number <= len(find_phrase(meant, prompt)):
            meant += f"#{number}"
    elif inside:
        message += f' It occurs only inside "{shown(inside, 60)}".'
    if re.search(r"[()]", words):
        message += r" In ComfyUI, brackets in a prompt are weights: write \( and \) there for brackets that are meant."
    message += " Write the phrase exactly as in the prompt, or change the prompt."
    return Mistake(message, words if number is None else f"{words}#{number}", meant)


def _word_around(words: str, prompt: str) -> str | None:
    """The whole word that contains the first of some words in a prompt, also where they are a part of it."""
    start = prompt.find(words)
    if start < 0:
        return None
    end = start + len(words)
    while start > 0 and (prompt[start - 1].isalnum() or prompt[start - 1] == "_"):
        start -= 1
    while end < len(prompt) and (prompt[end].isalnum() or prompt[end] == "_"):
        end += 1
    return prompt[start:end]


def _no_such_number(phrase: str, words: str, number: int, count: int, label: str) -> str:
    numbers = " or ".join([f'"{words}#{i}"' for i in range(1, min(count, 3) + 1)])
    return (
        f'Phrase "{shown(phrase)}" of {owner_of(label)} asks for occurrence {number} of "{words}", but the prompt has '
        f'{count}. Write {numbers}{" ..." if count > 3 else ""}, or "{words}" for every occurrence.'
    )


def shortened(text: str, limit: int = 600) -> str:
    """A text that is short enough for a message."""
    return text if len(text) <= limit else text[:limit].rstrip() + " ..."
