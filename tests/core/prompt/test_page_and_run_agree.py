"""The page finds a phrase while it is typed exactly where a run finds it in the tokens."""

import re
from functools import cache
from pathlib import Path
from unicodedata import combining

import pytest
import sentencepiece
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from multilingual_prompts import PROMPTS, Prompt
from multilingual_tokenizer import Tokenizer, tokenizer
from safetensors import safe_open

from lumosx_core import Reference, Scene
from lumosx_core.errors import LumosXError
from lumosx_core.prompt.highlight import mark_prompt
from lumosx_core.prompt.phrase_mask import clean_prompt, phrase_mask
from lumosx_core.prompt.readings import readings

TINY = Path(__file__).parents[3] / "lumosx_core/models/lumosx/lumosx_tiny/text_encoders/lumosx-tiny-umt5.safetensors"


@cache
def lumosx_tiny() -> Tokenizer:
    """The tokenizer of the model that ships."""
    with safe_open(TINY, "pt") as file:
        model = bytes(file.get_tensor("spiece_model").numpy())
    made = Tokenizer(model)
    assert sentencepiece.SentencePieceProcessor(model_proto=model).eos_id() == 1
    return made


TOKENIZERS = {"multilingual": tokenizer, "lumosx-tiny": lumosx_tiny}

# Words and what stands around them, so that phrases are found, found within longer words, and nearly found.
WORDS = [
    *("shirt", "shirts", "T-shirt", "Shirt", "shrit", "man", "woman", "men", "red", "red shirt", "boy's", "boy", "hat"),
    *("jean-jacket", "jean", "jacket", "3", "man#2", "man#1", "café", "cafe\u0301", "Jeansjacke", "Jacke", "niño"),
    *(
        "衬衫",
        "红色衬衫",
        "红色",
        "男人",
        "シャツ",
        "赤いシャツ",
        "ｼｬﾂ",
        "เสื้อ",
        "เสื้อแดง",
        "셔츠",
        "셔츠를",
        "ﬁeld",
        "Ｔシャツ",
    ),
]
GLUE = st.sampled_from(
    [
        " ",
        " ",
        " ",
        ", ",
        "",
        "-",
        "\u2011",
        "'",
        "\u2019",
        '"',
        "\n",
        "\u00ad",
        "\u200b",
        "\u3000",
        ".",
        "、",
        "。",
        "&amp;",
    ]
)
LETTERS = st.text("shirtmanred -'#12红衬衫เสื้シャツ\u0301é\u00ad\u200d.,", max_size=12)
PIECES = st.sampled_from(WORDS) | LETTERS
TYPED = st.lists(st.tuples(PIECES, GLUE), max_size=9).map(lambda parts: "".join(a + b for a, b in parts))
PHRASES = PIECES | st.tuples(PIECES, GLUE, PIECES).map("".join)
# A mark without its letter is no word.
PHRASES = PHRASES.filter(lambda phrase: re.search(r"\w", phrase) and not combining(clean_prompt(phrase)[0]))


def run_finds(typed: str, phrase: str, encoder: Tokenizer) -> bool:
    (reading,) = readings(typed, dynamic=False)
    ids = encoder.tokenize(reading.text)
    try:
        phrase_mask(ids, scene_of(phrase), encoder.tokenize, pieces=encoder.pieces, prompt=reading.text, text_len=512)
    except LumosXError:
        return False
    return True


def page_finds(typed: str, phrase: str) -> bool:
    return not mark_prompt(typed, scene_of(phrase)).missing


def phrases_of(prompt: Prompt) -> list[str]:
    found = [phrase if isinstance(phrase, str) else phrase[0] for phrase in prompt.phrases]
    return [*found, *(prompt.refused or {})]


def scene_of(phrase: str) -> Scene:
    return Scene(objects=(Reference(phrase, torch.zeros(1, 1, 3)),))


@pytest.mark.slow
@pytest.mark.parametrize("which", list(TOKENIZERS))
@settings(max_examples=1000, deadline=None)
@given(TYPED, PHRASES)
@example("two shirts", "shirt")
@example("a T\u2011shirt", "T-shirt")
@example("一件红色衬衫", "衬衫")
@example("a man, a man", "man#3")
def test_page_and_run_find_the_same_phrases(which, typed, phrase):
    assert page_finds(typed, phrase) == run_finds(typed, phrase, TOKENIZERS[which]())


@pytest.mark.slow
@pytest.mark.parametrize("which", list(TOKENIZERS))
@pytest.mark.parametrize("language", list(PROMPTS))
def test_page_and_run_agree_on_prompts_as_people_write_them(which, language):
    """Each phrase of each prompt of a language, in every prompt of it."""
    prompts = PROMPTS[language]
    phrases = [phrase for prompt in prompts for phrase in phrases_of(prompt)]
    for prompt in prompts:
        for phrase in phrases:
            found = run_finds(prompt.text, phrase, TOKENIZERS[which]())
            assert page_finds(prompt.text, phrase) == found, (prompt.text, phrase)


def test_the_words_that_people_write_are_found_at_all():
    """So that agreement is not agreement to find nothing."""
    for typed, phrase in (
        ("two red shirts and a shirt", "shirt"),
        ("一件红色衬衫", "衬衫"),
        ("a (red:1.2) hat", "red hat"),
    ):
        assert page_finds(typed, phrase)
        assert all(run_finds(typed, phrase, encoder()) for encoder in TOKENIZERS.values())
