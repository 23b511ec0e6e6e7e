"""Checks that a caption contains the phrases of its reference images, which bind them to words."""

from __future__ import annotations

from lumosx_core.errors import LumosXError
from lumosx_core.models.lumosx.spec import SPEC
from lumosx_core.models.wan.umt5 import TextEncoder
from lumosx_core.prompt.messages import shortened
from lumosx_core.prompt.phrase_mask import clean_prompt, phrase_mask, phrase_mistake
from lumosx_core.scene.case_folder import Case


def check_phrases(case: Case, text_encoder: TextEncoder | None = None) -> None:
    """Raise LumosXError if the caption lacks the phrase of an image, or is too long; all problems at once.

    Args:
        text_encoder: its tokens decide. Without it the text is searched by the same rule, and the length of the caption
            is not checked.
    """
    prompt = clean_prompt(case.prompt)
    if text_encoder is not None:
        tokenize = text_encoder.tokenize
        phrase_mask(
            tokenize(prompt), case.scene, tokenize, pieces=text_encoder.pieces, prompt=prompt, text_len=SPEC.text_len
        )
        return
    mistakes = [phrase_mistake(reference.phrase, label, prompt) for label, reference in case.scene.labelled()]
    if any(mistakes):
        raise LumosXError(" ".join(filter(None, mistakes)) + f' The prompt is: "{shortened(prompt)}"')
