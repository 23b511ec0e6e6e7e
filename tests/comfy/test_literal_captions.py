"""One caption is one text: the host and the command line make the same tokens of it, whatever brackets it has."""

from __future__ import annotations

from lumosx_core.models.lumosx.tiny import tiny_files
from lumosx_core.models.wan.umt5 import TextEncoder
from lumosx_core.prompt.phrase_mask import clean_prompt

CAPTIONS = [
    "A woman in a meadow, (soft light:1.4).",
    "((nested:1.2) brackets) and (one",
    r"already \(escaped\) and \\(twice\\)",
    "a smile :) and a meadow（soft light：1.4）",
    "[cat|dog] {a|b} // no comment",
    "A woman in a shirt.",
]

TOKENIZE = """
from pack.lumosx_core.prompt.literal_text import escaped
from pack.nodes.bridges.clip_bridge import PromptTokenizer, load_umt5
tokenizer = PromptTokenizer(load_umt5(arguments["path"])[0])
result = [tokenizer.tokenize_prompt(escaped(caption, "The caption")) for caption in arguments["captions"]]
"""


def test_a_caption_has_the_same_tokens_in_comfyui_and_without_it(run_in_comfyui):
    path = tiny_files().text_encoder
    encoder = TextEncoder(path)
    found = run_in_comfyui(TOKENIZE, path=str(path), captions=CAPTIONS)
    expected = [encoder.tokenize_prompt(clean_prompt(caption)) for caption in CAPTIONS]
    assert [ids[: len(wanted)] for ids, wanted in zip(found, expected, strict=True)] == expected
    assert all(not any(ids[len(wanted) :]) for ids, wanted in zip(found, expected, strict=True))  # padding
