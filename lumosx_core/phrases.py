"""Which tokens of the prompt each reference picture is bound to.

The network learns who is meant from a phrase mask: for each picture, the positions of its phrase in the prompt.
"""

from __future__ import annotations

import html
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from .errors import LumosXError, MissingPackageError
from .scene import Scene

PAD_ID = 0
END_ID = 1


def clean_prompt(text: str) -> str:
    """Repair mangled characters, undo HTML escapes and collapse whitespace, as Wan2.1 does before tokenising.

    Raises:
        MissingPackageError: ftfy is needed for this text and not installed.
    """
    # ftfy has nothing to repair in plain ASCII, so a host without it can still take most English prompts.
    if not re.fullmatch(r"[\t\r\n\x20-\x25\x27-\x7e]*", text):
        try:
            from ftfy import fix_text
        except ImportError as error:
            raise MissingPackageError("ftfy", "A prompt with characters beyond plain ASCII", error) from error
        text = fix_text(text)
    return re.sub(r"\s+", " ", html.unescape(html.unescape(text))).strip()


def check_prompt_length(prompt_ids: Sequence[int], text_len: int = 512, *, negative: bool = False) -> None:
    """Raise LumosXError when the prompt, its end token included, has more than `text_len` tokens.

    Args:
        negative: it is the negative prompt, and the message says so.
    """
    count = _length(prompt_ids)
    if count > text_len:
        which = "The negative prompt is too long. " if negative else ""
        raise LumosXError(
            f"{which}The prompt has {count} tokens (its end token included), but LumosX reads {text_len}. "
            f"Shorten it by about {count - text_len} tokens, or the end of it would be lost."
        )


def phrase_mask_of_ids(prompt_ids: Sequence[int], phrase_ids: Sequence[int], text_len: int) -> Tensor:
    """The prompt positions at which a phrase stands, every occurrence, as the released model finds them.

    Args:
        prompt_ids: token ids of the prompt; those beyond `text_len` are ignored, missing ones are padding. Negative
            ids are tokens without a vocabulary entry (embeddings) and equal nothing.
        phrase_ids: token ids of the phrase; the first end token (id 1) and all that follows it do not count.
        text_len: number of text positions the network has.

    Returns: (text_len,) bool; overlapping occurrences are joined; nothing is set for an empty phrase.
    """
    phrase = _before_end(phrase_ids)
    return _mask_of(_occurrences(prompt_ids, phrase, text_len), len(phrase), text_len)


def phrase_mask(
    prompt_ids: Sequence[int],
    scene: Scene,
    tokenize: Callable[[str], Sequence[int]],
    *,
    prompt: str,
    text_len: int = 512,
) -> Tensor:
    """The prompt positions each picture of a scene is bound to.

    A phrase means all its occurrences; "man#2" means the second one, unless the prompt contains "man#2" literally.

    Args:
        prompt_ids: token ids of the positive prompt (see `phrase_mask_of_ids`).
        tokenize: gives the token ids of a phrase, closed by the end token (id 1).
        prompt: the text of the positive prompt, for the messages.

    Returns: (R, text_len) bool, rows in the order of `scene.references`. The row of an empty phrase is all False.

    Raises:
        LumosXError: the prompt is too long, a phrase does not occur, or has fewer occurrences than its number asks for.
    """
    check_prompt_length(prompt_ids, text_len)
    rows, mistakes = [], []
    for label, reference in scene.labelled():
        phrase = clean_prompt(reference.phrase)
        ids = _before_end(tokenize(phrase)) if phrase else []
        starts = _occurrences(prompt_ids, ids, text_len)
        words, number = split_number(phrase)
        # A prompt may really speak of "player #3": only where those words do not occur is #3 a number of ours.
        if number is not None and not starts:
            ids = _before_end(tokenize(words))
            starts = _occurrences(prompt_ids, ids, text_len)
            if starts and not 1 <= number <= len(starts):
                mistakes.append(_no_such_number(phrase, words, number, len(starts), label))
            else:
                starts = starts[number - 1 : number]
        if phrase and not starts:
            mistakes.append(_missing(words, label, prompt, cut=_length(prompt_ids) >= text_len))
        rows.append(_mask_of(starts, len(ids), text_len))
    if mistakes:
        raise LumosXError(" ".join(mistakes) + f' The prompt is: "{shortened(prompt)}"')
    return torch.stack(rows) if rows else torch.zeros(0, text_len, dtype=torch.bool)


def split_number(phrase: str) -> tuple[str, int | None]:
    """Divide "man#2" into ("man", 2); a phrase without a number gives (phrase, None)."""
    match = re.fullmatch(r"(.*\S)\s*#([0-9]+)", phrase)
    return (match[1], int(match[2])) if match else (phrase, None)


def phrase_mistake(phrase: str, label: str, prompt: str) -> str | None:
    """Why a phrase cannot be found in the text of a prompt by whole words, as sentences; None if it can, or is empty.

    What can be said without a text encoder; `phrase_mask` asks the tokens.

    Args:
        label: whose phrase it is, for the message: "object 1", "attribute 2 of person 1".
    """
    prompt, phrase = clean_prompt(prompt), clean_prompt(phrase)
    if not phrase or words_meant(phrase, prompt):
        return None
    words, number = split_number(phrase)
    count = len(whole_words(words, prompt))
    if number is not None and count:
        return _no_such_number(phrase, words, number, count, label)
    return _missing(words, label, prompt, cut=False)


# What the preview shows


@dataclass(frozen=True)
class PromptSpan:
    """A stretch of the prompt and the groups it is bound to (indices into `scene.layout.groups`; none: plain text)."""

    text: str
    groups: tuple[int, ...] = ()


def prompt_spans(tokens: Sequence[tuple[int, str]], scene: Scene, mask: Tensor) -> list[PromptSpan]:
    """The prompt as the tokenizer sees it, divided where the groups of pictures it is bound to change.

    Args:
        tokens: id and piece of each prompt token; pieces as sentencepiece writes them: with U+2581 for a
            space, or as a byte such as "<0xE2>".
        mask: (R, text_len) bool, from `phrase_mask`.
    """
    text = b""
    owners: list[tuple[int, ...]] = []  # of each byte: a character may be spread over several byte tokens
    for position, (token, piece) in enumerate(tokens):
        if token in (PAD_ID, END_ID):
            continue
        byte = re.fullmatch(r"<0x([0-9A-Fa-f]{2})>", piece)
        added = bytes.fromhex(byte[1]) if byte else piece.replace("\u2581", " ").encode()
        groups = ()
        if position < mask.shape[1]:
            groups = tuple(i for i, group in enumerate(scene.layout.groups) if mask[list(group), position].any())
        text += added
        owners += [groups] * len(added)
    spans, at = [], 0
    for character in text.decode(errors="replace"):
        spans.append((character, owners[min(at, len(owners) - 1)]))
        at += len(character.encode())
    return _joined(spans)


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
    """Start and end of each whole-word occurrence of a phrase (of the one its number names) in a cleaned prompt."""
    phrase = clean_prompt(phrase)
    found = whole_words(phrase, prompt)
    words, number = split_number(phrase)
    if number is not None and not found:
        found = whole_words(words, prompt)[number - 1 : number] if number else []
    return found


def _joined(characters: list[tuple[str, tuple[int, ...]]]) -> list[PromptSpan]:
    """Spans of equal groups; a space belongs to a group only between two of its words."""
    characters = [(" ", ())] + characters + [(" ", ())]
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


def _before_end(ids: Sequence[int]) -> list[int]:
    ids = [int(token) for token in ids]
    return ids[: ids.index(END_ID)] if END_ID in ids else ids


def _occurrences(prompt_ids: Sequence[int], phrase: list[int], text_len: int) -> list[int]:
    """Positions at which the phrase starts, overlapping ones included."""
    if not phrase or min(phrase) < 0:
        return []
    prompt = [int(token) for token in prompt_ids[:text_len]]
    prompt += [PAD_ID] * (text_len - len(prompt))
    return [i for i in range(len(prompt) - len(phrase) + 1) if prompt[i : i + len(phrase)] == phrase]


def _mask_of(starts: list[int], length: int, text_len: int) -> Tensor:
    mask = torch.zeros(text_len, dtype=torch.bool)
    for start in starts:
        mask[start : start + length] = True
    return mask


def whole_words(phrase: str, prompt: str, flags: int = 0) -> list[tuple[int, int]]:
    """Start and end of each occurrence of a phrase in a text by whole words, overlapping ones included."""
    if not phrase:
        return []
    # A boundary is asked for only where the phrase itself has a letter or digit: "player (red)" ends in a bracket.
    before = r"(?<!\w)" if re.match(r"\w", phrase) else ""
    after = r"(?!\w)" if re.search(r"\w$", phrase) else ""
    # The lookahead finds overlapping occurrences, which the tokens count too.
    pattern = re.compile(f"{before}(?=({re.escape(phrase)}){after})", flags)
    return [match.span(1) for match in pattern.finditer(prompt)]


# Messages


def owner_of(label: str) -> str:
    """Turn "attribute 2 of subject 1" into "subject 1 (attribute 2)": the artist looks for the subject first."""
    role, _, subject = label.partition(" of ")
    return f"{subject} ({role})" if subject else {"background": "the background"}.get(role, role)


def _missing(phrase: str, label: str, prompt: str, *, cut: bool) -> str:
    message = f'Phrase "{phrase}" of {owner_of(label)} does not occur in the prompt.'
    prompt = clean_prompt(prompt)
    inside = re.search(rf"\w*{re.escape(phrase)}\w*", prompt)
    if whole_words(phrase, prompt):
        if cut:
            message += " It stands so late in the prompt that it is cut off: shorten the prompt."
        else:
            message += " It is there, but joined to what stands before or behind it: put a space between them."
    elif other := whole_words(phrase, prompt, re.IGNORECASE):
        start, end = other[0]
        message += f' The prompt writes it "{prompt[start:end]}".'
    elif inside:
        message += f' It occurs only inside "{inside[0]}".'
    if re.search(r"[()]", phrase):
        message += r" In ComfyUI, brackets in a prompt are weights: write \( and \) there for brackets that are meant."
    return message + " Write the phrase exactly as in the prompt, or change the prompt."


def _no_such_number(phrase: str, words: str, number: int, count: int, label: str) -> str:
    numbers = " or ".join([f'"{words}#{i}"' for i in range(1, min(count, 3) + 1)])
    return (
        f'Phrase "{phrase}" of {owner_of(label)} asks for occurrence {number} of "{words}", but the prompt has '
        f'{count}. Write {numbers}{" ..." if count > 3 else ""}, or "{words}" for every occurrence.'
    )


def shortened(text: str, limit: int = 600) -> str:
    """A text that is short enough for a message."""
    return text if len(text) <= limit else text[:limit].rstrip() + " ..."
