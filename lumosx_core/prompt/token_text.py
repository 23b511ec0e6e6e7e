"""The text that a tokenizer's pieces spell, and which of its characters each token stands for."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

UNKNOWN = "\ufffd"  # what a token spells whose text is not known: the unknown token, an embedding, half a character


@dataclass(frozen=True)
class TokenText:
    """A text and its tokens.

    Args:
        places: for each token, start and end of its characters; equal for a token without any. The tokens of a
            character that is written in several of them all have its place.
    """

    text: str
    places: tuple[tuple[int, int], ...]

    def tokens_in(self, start: int, end: int) -> list[int]:
        """The tokens with a character in a stretch of the text, also those that reach beyond it."""
        return [i for i, (first, last) in enumerate(self.places) if first < end and start < last]


def token_text(pieces: Sequence[str]) -> TokenText:
    """Put pieces together as sentencepiece writes them: U+2581 for a space, "<0xE2>" for a byte, "" for no text."""
    text: list[str] = []
    places: list[tuple[int, int]] = []
    run: list[int] = []
    for piece in [*pieces, None]:
        byte = re.fullmatch(r"<0x([0-9A-Fa-f]{2})>", piece) if piece else None
        if byte:
            run.append(int(byte[1], 16))
            continue
        for letter, size in _letters(bytes(run)):
            places += [(len(text), len(text) + 1)] * size
            text.append(letter)
        run = []
        if piece is not None:
            letters = UNKNOWN if piece == "<unk>" else piece.replace("\u2581", " ")
            places.append((len(text), len(text) + len(letters)))
            text += letters
    return TokenText("".join(text), tuple(places))


def _letters(data: bytes) -> list[tuple[str, int]]:
    """UTF-8 bytes as characters, each with its number of bytes; a byte that belongs to none is a character, too."""
    letters, at = [], 0
    while at < len(data):
        for size in (1, 2, 3, 4):
            try:
                letters.append((data[at : at + size].decode(), min(size, len(data) - at)))
                break
            except UnicodeDecodeError:
                continue
        else:
            letters.append((UNKNOWN, 1))
        at += letters[-1][1]
    return letters
