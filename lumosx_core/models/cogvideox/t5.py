"""The T5-XXL text encoder of CogVideoX, read from its files block by block."""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path

import torch
from torch import Tensor

from ...errors import LumosXError, shown
from ...files.formats.unwrapped_names import unwrapped_names
from ...files.read_weights import open_weights
from ...files.text_file import read_bytes
from ...prompt.phrase_mask import check_prompt_length
from ...prompt.tokens import PAD_ID
from ..t5.streamed import TABLE, StreamedT5, T5Kind, stored_tokenizer

TEXT_LEN = 226
"""Tokens of a prompt, its end token included, as CogVideoX was trained; shorter ones are padded."""
TOKENIZER_FILE = "spiece.model"

_WRAPPERS = (
    "text_encoders.t5xxl.transformer.",
    "text_encoders.t5xxl.",
    "t5xxl.transformer.",
    "t5xxl.",
    "text_encoder.",
)
_OTHER_TABLE = "encoder.embed_tokens.weight"  # another name for the table of tokens
_MOST_TOKENIZER = 2**26  # bytes; the released one has 0.8 million
# T5 reads these letters as tokens that have another meaning than the letters.
_WITHOUT_TEXT = ("<unk>", "</s>", "<pad>")
_CONTROL = re.compile(r"</s>|<pad>|<unk>|<extra_id_\d+>")


def not_a_t5(names: Collection[str]) -> str:
    """What tensors of these names are instead of a T5 1.1 encoder, for messages."""
    if any(name.startswith("encoder.block.1.") and "relative_attention_bias" in name for name in names):
        return "is UMT5, the text encoder of Wan, not the T5-XXL of CogVideoX."
    if "token_embd.weight" in names:
        return "is a text encoder under the names of llama.cpp, which are not read."
    if any(name.endswith("DenseReluDense.wi.weight") for name in names):
        return "is T5 1.0, whose layers have no gates, not the T5 1.1 XXL of CogVideoX."
    if any(".SelfAttention." in name for name in names):
        return "is a part of a T5 encoder: it lacks the table of tokens, or tensors of the first block."
    if any(name.startswith(("text_model.", "visual.", "vision_model.")) for name in names):
        return "is a CLIP encoder, not the T5-XXL text encoder of CogVideoX."
    kinds = {
        "a VAE": ("decoder.", "encoder.down", "encoder.conv"),
        "a video or image network": (
            "blocks.",
            "patch_embed",
            "transformer_blocks.",
            "double_blocks.",
            "joint_blocks.",
        ),
        "a language model": ("model.layers.", "model.embed_tokens."),
    }
    kind = next((kind for kind, starts in kinds.items() if any(name.startswith(starts) for name in names)), None)
    found = ", ".join(shown(name, 80) for name in sorted(names)[:3]) or "no tensors"
    return f"{f'is {kind} and' if kind else 'is'} not the T5-XXL text encoder of CogVideoX (found {found})."


_T5 = T5Kind(
    one_table=True,
    wrong_file=not_a_t5,
    where_to_get="Give the folder that was released with the network (with text_encoder and tokenizer), or one T5-XXL "
    "file for ComfyUI, such as t5xxl_fp16.safetensors, with spiece.model beside it.",
)


class T5Encoder(StreamedT5):
    """Turns prompts into token ids and embeddings, as CogVideoX reads them: padded to 226, padding attended to.

    Weights may be of any floating type, scaled fp8 included; the arithmetic is float32.

    Args:
        path: a folder with `text_encoder` and `tokenizer` in it; its `text_encoder` alone, with `tokenizer` beside it;
            or one safetensors file. A file's tokeniser is its tensor `spiece_model`, or a file `spiece.model` or
            `tokenizer/spiece.model` beside it.
        device: where the blocks do their work.

    Raises:
        LumosXError: a file is damaged, missing, or of another encoder.
        MissingPackageError: sentencepiece is not installed.
    """

    def __init__(self, path: str | os.PathLike, *, device: str | torch.device = "cpu"):
        weights = weights_folder(Path(path))
        tensors = open_weights(weights, t5_names)
        super().__init__(path, _T5, tensors, tokenizer_model(weights), device=device)

    def tokenize_prompt(self, prompt: str) -> list[int]:
        """Token ids of a prompt, closed by the end token (id 1): the ones of Hugging Face's tokenizer.

        Raises:
            LumosXError: the prompt has letters that are a control token of T5, such as `</s>`, or is in a script that
                T5 does not know.
        """
        ids = self.tokenize(prompt)
        check_readable(prompt, self.pieces(ids))
        return ids

    def encode_all(self, prompts: Sequence[str]) -> list[tuple[list[int], Tensor]]:
        """Encode several prompts while reading the file once.

        Returns:
            For each prompt its token ids without padding, the end token included, and the embeddings of all 226
            positions (226, text_dim), float32.

        Raises:
            LumosXError: a prompt has more than 226 tokens, or cannot be read, see `tokenize_prompt`.
        """
        ids = [self.tokenize_prompt(prompt) for prompt in prompts]
        for each in ids:
            check_prompt_length(each, TEXT_LEN)
        padded = torch.full((len(ids), TEXT_LEN), PAD_ID)
        for row, each in zip(padded, ids, strict=True):
            row[: len(each)] = torch.tensor(each)
        states = self.states(padded, torch.ones_like(padded, dtype=torch.bool))
        return list(zip(ids, states, strict=True))


def check_readable(prompt: str, pieces: Iterable[str]) -> None:
    """Raise LumosXError for a prompt that T5 reads as something else than text.

    Args:
        pieces: the piece of text behind each of its tokens, as sentencepiece writes it.
    """
    if control := _CONTROL.search(prompt):
        raise LumosXError(
            f"The prompt contains {control[0]}, which T5 reads as a control token and not as text. Remove it."
        )
    letters = len("".join(prompt.split()))
    known = sum(len(piece.strip("\u2581")) for piece in pieces if piece not in _WITHOUT_TEXT)
    if 2 * known < letters:
        raise LumosXError(
            f"T5 knows {known} of the {letters} letters of the prompt; it would read the rest as unknown words. "
            f'Write it in English. It begins: "{shown(prompt, 60)}"'
        )


def t5_names(names: Iterable[str]) -> dict[str, str]:
    """Hugging Face's names of a T5 encoder's tensors -> the names they have in a file."""
    found = unwrapped_names(names, _WRAPPERS, lambda name: name.startswith(("encoder.", "shared.")))
    if TABLE not in found and _OTHER_TABLE in found:
        found[TABLE] = found.pop(_OTHER_TABLE)
    return found


def weights_folder(path: Path) -> Path:
    """The folder `text_encoder` of a released folder; any other path as it is."""
    inner = path / "text_encoder"
    return inner if os.path.isdir(inner) else path


def tokenizer_model(weights: Path) -> bytes | None:
    """The sentencepiece model of an encoder: in its file, or beside it; None: there is none.

    Args:
        weights: the file, or the folder `text_encoder`.

    Raises:
        LumosXError: a tokeniser that cannot be read.
    """
    folder = weights if os.path.isdir(weights) else weights.parent
    stored = None if os.path.isdir(weights) else stored_tokenizer(weights)
    if stored is not None:
        return stored
    places = (folder, folder / "tokenizer", folder.parent / "tokenizer")
    for file in (place / TOKENIZER_FILE for place in places):
        if os.path.isfile(file):
            return read_bytes(file, _T5.where_to_get, most=_MOST_TOKENIZER)
    return None
