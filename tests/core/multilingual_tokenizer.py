"""A small tokenizer of umT5's kind: sentencepiece, unigram, nmt_nfkc, byte fallback, digits by themselves.

The released one (256,384 pieces) does not ship with the project. What matters here is the same in both: a word has a
space in front of its piece, scripts without spaces are divided as they come, pieces reach beyond the edges of a phrase,
and what the vocabulary lacks becomes bytes.
"""

from __future__ import annotations

import io
from functools import cache

import sentencepiece
from multilingual_prompts import PROMPTS

ENGLISH = ["A man in a denim jacket hands a red hat to a woman.", "Two shirts and a shirt, a boy's T-shirt."]


class Tokenizer:
    """Ids and pieces, as `lumosx_core.models.wan.umt5.TextEncoder` gives them."""

    def __init__(self, model: bytes):
        self.processor = sentencepiece.SentencePieceProcessor(model_proto=model, add_eos=True)

    def tokenize(self, text):
        return self.processor.encode(text)

    def pieces(self, ids):
        return [self.processor.id_to_piece(token) for token in ids]


@cache
def tokenizer(vocabulary: int = 1400) -> Tokenizer:
    sentences = ENGLISH + [prompt.text for prompts in PROMPTS.values() for prompt in prompts]
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(sentences * 20),
        model_writer=model,
        model_type="unigram",
        vocab_size=vocabulary,
        hard_vocab_limit=False,
        normalization_rule_name="nmt_nfkc",
        byte_fallback=True,
        split_digits=True,
        character_coverage=0.98,
        pad_id=0,
        eos_id=1,
        unk_id=2,
        bos_id=-1,
        minloglevel=2,
    )
    return Tokenizer(model.getvalue())
