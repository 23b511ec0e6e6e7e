r"""Literal text as a prompt of ComfyUI, in which brackets are weights and "embedding:NAME" stands for a file.

A caption from a folder is literal on every path: as the command line and the trainer read it. Where it goes into a
prompt of ComfyUI its brackets are escaped, "(" as "\(", so that ComfyUI reads the same words. Both are cleaned first,
which makes plain brackets of full-width ones and of HTML's.
"""

from __future__ import annotations

import re

from ..errors import LumosXError, shown
from .phrase_mask import clean_prompt

_EMBEDDING = re.compile(r"(?:^| )(embedding:\S*)")
_WEIGHT = re.compile(r"(?<!\\)[()]")


def escaped(text: str, what: str) -> str:
    """A literal text as a prompt that ComfyUI reads as that text.

    Args:
        what: whose text it is, for the message.

    Raises:
        MissingPackageError: see `clean_prompt`.
        LumosXError: ComfyUI would load a word of it as an embedding, which nothing escapes.
    """
    text = clean_prompt(text)
    check_no_embedding(text, what)
    return re.sub(r"([()])", r"\\\1", text)


def unescaped(prompt: str, what: str) -> str:
    """The literal text of a prompt of ComfyUI that has no weights; `escaped` the other way round.

    Raises:
        LumosXError: the prompt has weights, or an embedding: only ComfyUI applies them.
    """
    prompt = clean_prompt(prompt)
    check_no_embedding(prompt, what)
    if _WEIGHT.search(prompt):
        raise LumosXError(
            f'{what} has weights in brackets, which only ComfyUI applies: "{shown(prompt, 80)}". Take the brackets '
            f"away, or write \\( and \\) for brackets that are meant."
        )
    return re.sub(r"\\([()])", r"\1", prompt)


def check_no_embedding(text: str, what: str) -> None:
    """Raise LumosXError for a word that ComfyUI loads as an embedding."""
    if match := _EMBEDDING.search(text):
        raise LumosXError(
            f"{what} has {shown(match[1], 60)!r}, which is an embedding in ComfyUI, plain text elsewhere. Remove it, "
            f'or write a space behind "embedding".'
        )
