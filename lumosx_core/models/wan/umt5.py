"""The UMT5 text encoder of Wan2.1, read from ComfyUI's single file block by block."""

from __future__ import annotations

import os
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ...prompt.phrase_mask import check_prompt_length
from ...prompt.tokens import PAD_ID
from ..t5.streamed import StreamedT5, T5Kind, stored_tokenizer
from .names import open_checkpoint
from .wrong_file import not_a_text_encoder

MOST_TOKENS = 512  # of a prompt, as Wan2.1 was trained
_UMT5 = T5Kind(
    one_table=False,
    wrong_file=not_a_text_encoder,
    where_to_get="Give ComfyUI's single file for Wan, e.g. umt5_xxl_fp16.safetensors.",
)


class TextEncoder(StreamedT5):
    """Turns prompts into token ids and embeddings, with the same numbers as ComfyUI's CLIP of type "wan".

    Weights may be of any floating type, scaled fp8 included; the arithmetic is float32.

    Args:
        path: safetensors file with the encoder in Hugging Face's names and the tokeniser as `spiece_model`.
        device: where the blocks do their work.

    Raises:
        LumosXError: the file is damaged, or no UMT5 encoder with its tokeniser.
        MissingPackageError: sentencepiece is not installed.
    """

    def __init__(self, path: str | os.PathLike, *, device: str | torch.device = "cpu"):
        super().__init__(path, _UMT5, open_checkpoint(path), stored_tokenizer(path), device=device)

    def encode(self, prompt: str) -> tuple[list[int], Tensor]:
        """Token ids of one prompt and its embeddings, see `encode_all`."""
        return self.encode_all([prompt])[0]

    def encode_all(self, prompts: Sequence[str]) -> list[tuple[list[int], Tensor]]:
        """Encode several prompts while reading the file once.

        Returns:
            For each prompt its n token ids, the end token included, and embeddings (n, text_dim), float32.

        Raises:
            LumosXError: a prompt has more than 512 tokens.
        """
        ids = [self.tokenize(prompt) for prompt in prompts]
        for each in ids:
            check_prompt_length(each, MOST_TOKENS)
        padded = nn.utils.rnn.pad_sequence([torch.tensor(each) for each in ids], True, PAD_ID)
        real = torch.arange(padded.shape[1]) < torch.tensor([len(each) for each in ids])[:, None]
        states = self.states(padded, real)
        return [(each, row[: len(each)]) for each, row in zip(ids, states, strict=True)]
