"""Where the tokens of a prompt have the words of a phrase."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from .match import find_phrase, fold, is_unspaced, is_whole, split_number
from .token_text import UNKNOWN, token_text

PAD_ID = 0
END_ID = 1


class PromptTokens:
    """The tokens of a prompt and the text they spell; see `phrases.phrase_mask` for the arguments."""

    def __init__(
        self,
        prompt_ids: Sequence[int],
        tokenize: Callable[[str], Sequence[int]],
        pieces: Callable[[Sequence[int]], Sequence[str]],
        text_len: int,
    ):
        self.ids = [int(token) for token in prompt_ids[:text_len]]
        self.tokenize = tokenize
        self.text_len = text_len
        shown = before_end(self.ids)
        while shown and shown[-1] == PAD_ID:  # a prompt that is cut has no end token
            shown.pop()
        self.spelled = token_text(pieces(shown))

    def mask_of(self, phrase: str) -> Tensor:
        """The tokens that a cleaned phrase means; none if it does not occur."""
        everywhere = self._released(phrase), find_phrase(phrase, self.spelled.text)
        words, number = split_number(phrase)
        # A prompt may really speak of "player #3": only where those words do not occur is #3 a number of ours.
        if number is None or any(everywhere):
            return self._all(phrase, *everywhere)
        spans = find_phrase(words, self.spelled.text)
        if not 1 <= number <= len(spans):
            return self._mask([])
        span = spans[number - 1]
        exact = [tokens for tokens in self._released(words) if self._covers(tokens, span)]
        return self._mask(exact[:1] or [self.spelled.tokens_in(*span)])

    def count_of(self, words: str) -> int:
        return len(find_phrase(words, self.spelled.text))

    def _all(self, phrase: str, released: list[range], spans: list[tuple[int, int]]) -> Tensor:
        in_text = [self.spelled.tokens_in(*span) for span in spans]
        if released and not any(map(is_unspaced, fold(phrase).text)):
            # Also those within longer words, which the released model cannot tell from the whole word.
            return self._mask(released)
        return self._mask([*released, *in_text])

    def _released(self, phrase: str) -> list[range]:
        """Where the released model finds the phrase; nothing unless it is by itself in one place at least."""
        ids = before_end(self.tokenize(phrase)) if phrase else []
        found = [range(start, start + len(ids)) for start in occurrences(self.ids, ids, len(self.ids))]
        return found if any(map(self._is_whole, found)) else []

    def _is_whole(self, tokens: range) -> bool:
        start, end = self._place_of(tokens)
        text = self.spelled.text
        if UNKNOWN in text[start:end]:  # unknown tokens are all the same, whatever they stand for
            return False
        folded = fold(text)
        first, last = (
            next((i for i, (a, b) in enumerate(folded.places) if a <= place < b), None) for place in (start, end - 1)
        )
        return first is not None and last is not None and is_whole(folded.text, first, last + 1)

    def _covers(self, tokens: range, span: tuple[int, int]) -> bool:
        start, end = self._place_of(tokens)
        return start <= span[0] and span[1] <= end

    def _place_of(self, tokens: range) -> tuple[int, int]:
        """Start and end of what tokens spell, without the space in front of it."""
        places = self.spelled.places[tokens.start : tokens.stop]
        start, end = places[0][0], places[-1][1]
        while start < end and self.spelled.text[start] == " ":
            start += 1
        return start, end

    def _mask(self, stretches: Sequence[Sequence[int]]) -> Tensor:
        mask = torch.zeros(self.text_len, dtype=torch.bool)
        for tokens in stretches:
            mask[list(tokens)] = True
        return mask


def before_end(ids: Sequence[int]) -> list[int]:
    """The tokens before the end token; all of them if there is none."""
    ids = [int(token) for token in ids]
    return ids[: ids.index(END_ID)] if END_ID in ids else ids


def occurrences(prompt_ids: Sequence[int], phrase: list[int], text_len: int) -> list[int]:
    """Positions at which the phrase starts, overlapping ones included."""
    if not phrase or min(phrase) < 0:
        return []
    prompt = [int(token) for token in prompt_ids[:text_len]]
    prompt += [PAD_ID] * (text_len - len(prompt))
    return [i for i in range(len(prompt) - len(phrase) + 1) if prompt[i : i + len(phrase)] == phrase]
