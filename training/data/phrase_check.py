"""Whether the caption contains the words of every picture, with a text encoder's tokeniser or without any."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from lumosx_core.case_folder import Case
from lumosx_core.phrases import END_ID, clean_prompt, phrase_mask


def check_phrases(case: Case, tokenize: Callable[[str], Sequence[int]] | None = None) -> None:
    """Raise LumosXError if the caption lacks the phrase of a picture, or is too long; all of it at once.

    Args:
        tokenize: of the text encoder, which decides. Without it whole words are compared: that is right for languages
            that put spaces between words, and the length of the caption is not checked.
    """
    prompt = clean_prompt(case.prompt)
    if tokenize is not None:
        phrase_mask(tokenize(prompt), case.scene, tokenize, prompt=prompt)
    else:
        words = _Words()
        ids = words(prompt)
        phrase_mask(ids, case.scene, words, prompt=prompt, text_len=len(ids) + 1)


class _Words:
    """A tokeniser whose tokens are words, spaces and signs, numbered as they come."""

    def __init__(self):
        self._ids: dict[str, int] = {}

    def __call__(self, text: str) -> list[int]:
        parts = re.findall(r"\w+|\s+|[^\w\s]", text)
        return [self._ids.setdefault(part, len(self._ids) + END_ID + 1) for part in parts] + [END_ID]
