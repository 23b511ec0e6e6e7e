"""Checks that a caption contains the phrases of its reference images, which bind them to words."""

from __future__ import annotations

import math

from lumosx_core.errors import LumosXError
from lumosx_core.models.lumosx.spec import SPEC
from lumosx_core.models.wan.umt5 import TextEncoder
from lumosx_core.prompt.messages import shortened
from lumosx_core.prompt.phrase_mask import clean_prompt, phrase_mask, phrase_mistake
from lumosx_core.scene.case_folder import Case

_LONGEST_TOKEN = 16  # letters; the pieces of UMT5 have no more
_LETTERS_A_TOKEN = 3.0  # of English; other scripts have fewer


def fewest_tokens(prompt: str) -> int:
    """How many tokens a cleaned caption has at least, its end token included: none reaches over a space."""
    return 1 + sum(math.ceil(len(word) / _LONGEST_TOKEN) for word in prompt.split())


def length_doubt(prompt: str) -> str | None:
    """A warning about a caption that may be too long, which only the text encoder knows."""
    letters = len(clean_prompt(prompt))
    if letters / _LETTERS_A_TOKEN <= SPEC.text_len:
        return None
    return (
        f"The caption has {letters} letters and may have more than {SPEC.text_len} tokens. Give --text-encoder to "
        f"count them."
    )


def check_phrases(case: Case, text_encoder: TextEncoder | None = None) -> None:
    """Raise LumosXError if the caption lacks the phrase of an image, or is too long; all problems at once.

    Args:
        text_encoder: its tokens decide. Without it the text is searched by the same rule, and a caption is too long if
            any tokenizer would say so.
    """
    prompt = clean_prompt(case.prompt)
    if (least := fewest_tokens(prompt)) > SPEC.text_len:
        raise LumosXError(
            f"The caption has at least {least} tokens, but the model reads {SPEC.text_len}. Shorten it, or the end "
            f"of it would be lost."
        )
    if text_encoder is not None:
        tokenize = text_encoder.tokenize
        phrase_mask(
            tokenize(prompt), case.scene, tokenize, pieces=text_encoder.pieces, prompt=prompt, text_len=SPEC.text_len
        )
        return
    mistakes = [phrase_mistake(reference.phrase, label, prompt) for label, reference in case.scene.labelled()]
    if any(mistakes):
        raise LumosXError(" ".join(filter(None, mistakes)) + f' The prompt is: "{shortened(prompt)}"')
