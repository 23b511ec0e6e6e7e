"""Which tokens of the prompt each reference image is bound to.

The network learns who is meant from a phrase mask: for each image, the positions of its phrase in the prompt.
"""

from __future__ import annotations

import html
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

from ..errors import LumosXError, MissingPackageError, shown
from ..scene.scene import Scene
from .match import find_phrase, split_number
from .messages import Mistake, mistake_of, owner_of, shortened
from .token_text import token_text
from .tokens import END_ID, PAD_ID, PromptTokens, before_end, occurrences

# Soft hyphens, zero-width spaces, byte order marks, marks of writing direction: copied with a text and not seen in it.
MOST_LETTERS = 20_000  # far more than any text encoder reads
_MOST_SUGGESTIONS = 5  # of phrases that are missing: each is a search through the prompt
_INVISIBLE = re.compile("[\u00ad\u200b\u200e\u200f\u202a-\u202e\u2060\u2066-\u2069\ufeff]")


def clean_prompt(text: str) -> str:
    """Repair mangled characters, undo HTML escapes and collapse whitespace, as Wan2.1 does before tokenising.

    Invisible characters such as soft hyphens are removed, too: the tokenizer would divide words at them.

    Raises:
        LumosXError: the text has more than 20,000 letters.
        MissingPackageError: ftfy is needed for this text and not installed.
    """
    if len(text) > MOST_LETTERS:
        raise LumosXError(
            f"A prompt or phrase has {len(text)} letters, expected at most {MOST_LETTERS}: the model reads some "
            f'thousand. Shorten it. It begins: "{shown(text, 60)}"'
        )
    return _cleaned(text)


@lru_cache(maxsize=1024)
def _cleaned(text: str) -> str:
    # ftfy has nothing to repair in plain ASCII, so a host without it can still take most English prompts.
    if not re.fullmatch(r"[\t\r\n\x20-\x25\x27-\x7e]*", text):
        try:
            from ftfy import fix_text
        except ImportError as error:
            raise MissingPackageError("ftfy", "A prompt with characters beyond plain ASCII", error) from error
        text = fix_text(text)
    try:
        text = html.unescape(html.unescape(text))
    except ValueError as error:  # the number of a character has more digits than Python reads
        raise LumosXError(
            f"A prompt or phrase has an HTML escape that is no character ({error}). Remove it."
        ) from error
    return re.sub(r"\s+", " ", _INVISIBLE.sub("", text)).strip()


def check_prompt_length(prompt_ids: Sequence[int], text_len: int, *, negative: bool = False) -> None:
    """Raise LumosXError when the prompt, its end token included, has more than `text_len` tokens.

    Args:
        negative: it is the negative prompt, and the message says so.
    """
    count = _length(prompt_ids)
    if count > text_len:
        which = "The negative prompt is too long. " if negative else ""
        raise LumosXError(
            f"{which}The prompt has {count} tokens (its end token included), but the model reads {text_len}. "
            f"Shorten it by about {count - text_len} tokens, or the end of it would be lost."
        )


def phrase_mask_of_ids(prompt_ids: Sequence[int], phrase_ids: Sequence[int], text_len: int) -> Tensor:
    """The prompt positions of a phrase, every occurrence, as the released model finds them.

    Args:
        prompt_ids: token ids of the prompt; those beyond `text_len` are ignored, missing ones are padding. Negative
            ids are tokens without a vocabulary entry (embeddings) and equal nothing.
        phrase_ids: token ids of the phrase; the first end token (id 1) and all that follows it do not count.
        text_len: number of text positions the network has.

    Returns: (text_len,) bool; overlapping occurrences are joined; nothing is set for an empty phrase.
    """
    phrase = before_end(phrase_ids)
    return _mask_of(occurrences(prompt_ids, phrase, text_len), len(phrase), text_len)


def phrase_mask(
    prompt_ids: Sequence[int],
    scene: Scene,
    tokenize: Callable[[str], Sequence[int]],
    *,
    pieces: Callable[[Sequence[int]], Sequence[str]],
    prompt: str,
    text_len: int,
) -> Tensor:
    """The prompt positions each reference image of a scene is bound to.

    A phrase means all its occurrences; "man#2" means the second one, unless the prompt contains "man#2" literally.

    Where the released model finds the phrase's tokens in the prompt, at least once as whole words, its mask is kept
    exactly. It misses a phrase whose tokens are others within the prompt: behind a quotation mark, and nearly always in
    scripts without spaces. There the phrase is looked for in the text that the tokens spell (see `find_phrase`), and
    every token with a character of it is set.

    Args:
        prompt_ids: token ids of the positive prompt (see `phrase_mask_of_ids`).
        tokenize: gives the token ids of a phrase, closed by the end token (id 1).
        pieces: gives the text of token ids, as sentencepiece writes it (see `token_text`).
        prompt: the text of the positive prompt, for the messages.

    Returns: (R, text_len) bool, rows in the order of `scene.references`. The row of an empty phrase is all False.

    Raises:
        LumosXError: the prompt is too long, a phrase does not occur, or has fewer occurrences than its number asks for.
    """
    check_prompt_length(prompt_ids, text_len)
    scene.check_size()
    tokens = PromptTokens(prompt_ids, tokenize, pieces, text_len)
    rows: list[Tensor] = []
    mistakes: list[Mistake] = []
    more = 0
    for label, reference in scene.labelled():
        phrase = clean_prompt(reference.phrase)
        mask = tokens.mask_of(phrase)
        if phrase and not mask.any() and len(mistakes) == _MOST_SUGGESTIONS:
            more += 1
        elif phrase and not mask.any():
            cut = _length(prompt_ids) >= text_len
            mistakes.append(mistake_of(phrase, label, clean_prompt(prompt), tokens.count_of, cut=cut))
        rows.append(mask)
    if not mistakes:
        mistakes = _undivided(scene, rows, tokens)
    if mistakes:
        statements = " ".join(mistake.statement for mistake in mistakes)
        statements += f" Neither do {more} other phrases." if more else ""
        suggestions = "".join(mistake.suggestion(named=len(mistakes) > 1) for mistake in mistakes)
        raise LumosXError(f'{statements} The prompt is: "{shortened(prompt)}"{suggestions}')
    return torch.stack(rows) if rows else torch.zeros(0, text_len, dtype=torch.bool)


def _undivided(scene: Scene, rows: list[Tensor], tokens: PromptTokens) -> list[Mistake]:
    """Words of two subjects that the tokenizer reads as one token: it cannot be bound to either."""
    labelled = list(zip(scene.labelled(), rows, strict=True))
    owners = [number for number, subject in enumerate(scene.subjects) for _ in subject.references]
    people = list(zip(owners, labelled[len(scene.standalone) :], strict=True))
    mistakes: list[Mistake] = []
    for i, (one, ((label, reference), row)) in enumerate(people):
        if len(mistakes) >= _MOST_SUGGESTIONS:
            break
        for other, ((other_label, other_reference), other_row) in people[i + 1 :]:
            phrase, other_phrase = clean_prompt(reference.phrase), clean_prompt(other_reference.phrase)
            if one == other or not row.any() or not torch.equal(row, other_row):
                continue
            spans, other_spans = (set(words_meant(each, tokens.spelled.text)) for each in (phrase, other_phrase))
            apart = all(a[1] <= b[0] or b[1] <= a[0] for a in spans for b in other_spans)
            if spans and other_spans and apart:
                read = "".join(
                    tokens.spelled.text[slice(*tokens.spelled.places[position])]
                    for position in row.nonzero().flatten().tolist()
                ).strip()
                mistakes.append(
                    Mistake(
                        f'"{phrase}" of {owner_of(label)} and "{other_phrase}" of {owner_of(other_label)} are read as '
                        f'one token "{read}" by the text encoder, so they cannot be bound separately. Put a space '
                        "between them in the prompt.",
                        phrase,
                    )
                )
    return mistakes


def phrase_mistake(phrase: str, label: str, prompt: str) -> str | None:
    """Why a phrase cannot be found in the text of a prompt, as sentences; None if it can, or is empty.

    What can be said without a text encoder, by the same rule (`find_phrase`) as `phrase_mask` has.

    Args:
        label: whose phrase it is, for the message: "object 1", "attribute 2 of person 1".
    """
    mistake = mistake_in_text(phrase, label, prompt)
    return None if mistake is None else mistake.message


def mistake_in_text(phrase: str, label: str, prompt: str, *, suggest: bool = True) -> Mistake | None:
    """The same with what the phrase was probably meant to be; without `suggest` that is not looked for."""
    prompt, phrase = clean_prompt(prompt), clean_prompt(phrase)
    if not phrase or words_meant(phrase, prompt):
        return None
    return mistake_of(phrase, label, prompt, lambda words: len(find_phrase(words, prompt)), cut=False, suggest=suggest)


# What the preview shows


@dataclass(frozen=True)
class PromptSpan:
    """A stretch of the prompt and the groups it is bound to (indices into `scene.layout.groups`; none: plain text)."""

    text: str
    groups: tuple[int, ...] = ()


def prompt_spans(tokens: Sequence[tuple[int, str]], scene: Scene, mask: Tensor) -> list[PromptSpan]:
    """The prompt as the tokenizer sees it, divided where the groups of images it is bound to change.

    Args:
        tokens: id and piece of each prompt token; pieces as sentencepiece writes them: with U+2581 for a
            space, or as a byte such as "<0xE2>".
        mask: (R, text_len) bool, from `phrase_mask`.
    """
    places = token_text(["" if token in (PAD_ID, END_ID) else piece for token, piece in tokens])
    owners: list[set[int]] = [set() for _ in places.text]
    for position, (start, end) in enumerate(places.places[: mask.shape[1]]):
        groups = {i for i, group in enumerate(scene.layout.groups) if mask[list(group), position].any()}
        for owner in owners[start:end]:
            owner |= groups
    return _joined([(letter, tuple(sorted(owner))) for letter, owner in zip(places.text, owners, strict=True)])


def match_phrases_in_text(prompt: str, scene: Scene) -> list[PromptSpan]:
    """Like `prompt_spans`, by whole words of the text instead of tokens: what can be shown without a text encoder.

    A phrase that does not occur leaves no trace here; `phrase_mask` is what refuses it.
    """
    prompt = clean_prompt(prompt)
    owners: list[set[int]] = [set() for _ in prompt]
    references = scene.references
    for index, group in enumerate(scene.layout.groups):
        for position in group:
            for start, end in words_meant(references[position].phrase, prompt):
                for owner in owners[start:end]:
                    owner.add(index)
    return _joined([(character, tuple(sorted(owner))) for character, owner in zip(prompt, owners, strict=True)])


def words_meant(phrase: str, prompt: str) -> list[tuple[int, int]]:
    """Start and end of each occurrence of a phrase (of the one its number names) in a cleaned prompt."""
    phrase = clean_prompt(phrase)
    found = find_phrase(phrase, prompt)
    words, number = split_number(phrase)
    if number is not None and not found:
        found = find_phrase(words, prompt)[number - 1 : number] if number else []
    return found


def _joined(characters: list[tuple[str, tuple[int, ...]]]) -> list[PromptSpan]:
    """Spans of equal groups; a space belongs to a group only between two of its words."""
    characters = [(" ", ()), *characters, (" ", ())]
    spans: list[PromptSpan] = []
    for before, (character, groups), after in zip(characters, characters[1:], characters[2:], strict=False):
        if character == " ":
            groups = tuple(group for group in before[1] if group in after[1])
        if spans and spans[-1].groups == groups:
            spans[-1] = PromptSpan(spans[-1].text + character, groups)
        elif spans or character != " ":  # sentencepiece puts a space before the first word
            spans.append(PromptSpan(character, groups))
    return spans


# Occurrences


def _length(prompt_ids: Sequence[int]) -> int:
    """Number of tokens without the padding behind them."""
    count = len(prompt_ids)
    while count and prompt_ids[count - 1] == PAD_ID:
        count -= 1
    return count


def _mask_of(starts: list[int], length: int, text_len: int) -> Tensor:
    mask = torch.zeros(text_len, dtype=torch.bool)
    for start in starts:
        mask[start : start + length] = True
    return mask
