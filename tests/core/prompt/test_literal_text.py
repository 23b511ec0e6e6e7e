r"""A caption is literal text: as a prompt of ComfyUI its brackets are escaped, and read back they are the same."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lumosx_core.errors import LumosXError
from lumosx_core.prompt.literal_text import escaped, unescaped
from lumosx_core.prompt.phrase_mask import clean_prompt

CAPTIONS = [
    "a meadow, (soft light:1.4).",
    "((nested) brackets:1.2)",
    "unbalanced ) and (",
    r"already \(escaped\) and (not)",
    r"a backslash \\(twice\\)",
    "a smile :) or :(",
    "（soft light：1.4）",  # full width, which the cleaning turns into plain brackets
    "&#40;soft&rpar;",
    "[cat|dog] {a|b} // no comment /* nor this */",
    "no brackets at all",
]


@pytest.mark.parametrize("caption", CAPTIONS)
def test_a_caption_comes_back_from_a_prompt_of_comfyui(caption):
    prompt = escaped(caption, "The caption")
    assert unescaped(prompt, "The prompt") == clean_prompt(caption)
    assert clean_prompt(prompt) == prompt  # as LumosX Scene To Video cleans it once more


@given(st.text("ab()\\ :1.4", max_size=30))
def test_any_brackets_come_back(caption):
    assert unescaped(escaped(caption, ""), "") == clean_prompt(caption)


@pytest.mark.parametrize("prompt", ["(a:1.2) b", "a (b)", "a )", r"\((a)\)", "（a：1.2）", "&lpar;a&rpar;"])
def test_weights_are_refused_where_only_comfyui_applies_them(prompt):
    with pytest.raises(LumosXError, match="The prompt has weights in brackets"):
        unescaped(prompt, "The prompt")


@pytest.mark.parametrize("text", ["embedding:bad", "a man, embedding:x", "a\nembedding:x", "a\u00a0embedding:x.pt"])
def test_an_embedding_is_refused_on_every_path(text):
    for path in (escaped, unescaped):
        with pytest.raises(LumosXError, match="The text has 'embedding:.*', which is an embedding in ComfyUI"):
            path(text, "The text")
    assert escaped("my_embedding:x and an embedding", "") == "my_embedding:x and an embedding"
