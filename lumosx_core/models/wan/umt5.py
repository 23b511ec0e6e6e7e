"""The UMT5 text encoder, read from ComfyUI's single file block by block.

The released encoder has 5.7 billion parameters and is needed for two prompts only. So its blocks stay in the file and
each visits the device just while it works: one block in float32 (0.8 GB) instead of the whole encoder (23 GB).
"""

from __future__ import annotations

import os
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ...errors import LumosXError, MissingPackageError
from ...files.safetensors_file import all_finite
from ...prompt.phrase_mask import check_prompt_length
from ...prompt.tokens import PAD_ID
from .names import open_checkpoint
from .umt5_network import Umt5Network, Umt5Sizes
from .wrong_file import not_a_text_encoder

MOST_TOKENS = 512  # of a prompt, as Wan2.1 was trained
_POSITIONS = "encoder.block.0.layer.0.SelfAttention.relative_attention_bias.weight"
_QUERY = "encoder.block.0.layer.0.SelfAttention.q.weight"
_GATE = "encoder.block.0.layer.1.DenseReluDense.wi_0.weight"
_WHERE_TO_GET = "Give ComfyUI's single file for Wan, e.g. umt5_xxl_fp16.safetensors."


class TextEncoder:
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
        self.path = path
        self.device = torch.device(device)
        self._tensors = open_checkpoint(path)
        self._tokenizer = self._build_tokenizer()
        self._network = self._build_network()

    def tokenize(self, text: str) -> list[int]:
        """Token ids of a text, closed by the end token (id 1).

        Raises:
            LumosXError: the tokeniser in the file is damaged.
        """
        try:
            return self._tokenizer.encode(text)
        except (RuntimeError, ValueError) as error:  # damage in its rules shows only where they are applied
            raise self._damaged_tokenizer(error) from error

    def tokenize_prompt(self, prompt: str) -> list[int]:
        """Token ids of a prompt, closed by the end token (id 1)."""
        return self.tokenize(prompt)

    def pieces(self, ids: Sequence[int]) -> list[str]:
        """The piece of text behind each token id, as sentencepiece writes it: with U+2581 for a space."""
        return [self._tokenizer.id_to_piece(token) for token in ids]

    def encode(self, prompt: str) -> tuple[list[int], Tensor]:
        """Token ids of one prompt and its embeddings, see `encode_all`."""
        return self.encode_all([prompt])[0]

    @torch.no_grad()
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
        # Only the rows of these tokens are read: the table itself stays in the file.
        embeddings = self._tensors["shared.weight"].load()[padded].float().to(self.device)
        if not all_finite(embeddings):
            raise LumosXError(f"{str(self.path)!r} has token embeddings that are not finite. {_WHERE_TO_GET}")
        states = self._network(embeddings, real.to(self.device))
        return [(each, row[: len(each)]) for each, row in zip(ids, states, strict=True)]

    def _build_tokenizer(self):
        try:
            import sentencepiece
        except ImportError as error:
            raise MissingPackageError("sentencepiece", "Reading prompts", error) from error
        self._check()
        model = _tokenizer_model(self.path)
        if model is None:
            raise LumosXError(f"The text encoder {str(self.path)!r} has no tokeniser in it. {_WHERE_TO_GET}")
        try:
            tokenizer = sentencepiece.SentencePieceProcessor(model_proto=model, add_eos=True)
        except (RuntimeError, ValueError) as error:
            raise self._damaged_tokenizer(error) from error
        words, rows = tokenizer.get_piece_size(), self._tensors["shared.weight"].shape[0]
        if words > rows:
            raise LumosXError(
                f"The text encoder {str(self.path)!r} has {rows} token embeddings, but its tokeniser has {words} "
                f"pieces. {_WHERE_TO_GET}"
            )
        return tokenizer

    def _damaged_tokenizer(self, error: Exception) -> LumosXError:
        return LumosXError(f"The text encoder {str(self.path)!r} has a damaged tokeniser ({error}). {_WHERE_TO_GET}")

    def _build_network(self) -> nn.Module:
        """The encoder without weights, whose parts fetch them when they are called."""
        width = self._tensors["shared.weight"].shape[1]
        buckets, heads = self._tensors[_POSITIONS].shape
        blocks = 0
        while f"encoder.block.{blocks}.layer.0.SelfAttention.q.weight" in self._tensors:
            blocks += 1
        inner, feed_forward = self._tensors[_QUERY].shape[0], self._tensors[_GATE].shape[0]
        with torch.device("meta"):
            network = Umt5Network(Umt5Sizes(width, inner, heads, feed_forward, blocks, buckets))
        network.eval().requires_grad_(False)
        parts = {f"encoder.block.{i}.": block for i, block in enumerate(network.block)}
        parts["encoder.final_layer_norm."] = network.final_layer_norm
        for prefix, part in parts.items():
            needed = part.state_dict()
            for name, tensor in needed.items():
                stored = self._tensors.get(prefix + name)
                if stored is None or stored.shape != tensor.shape:
                    raise LumosXError(
                        f"The text encoder {str(self.path)!r} lacks {prefix + name!r} of shape "
                        f"{tuple(tensor.shape)}. Download the file again."
                    )
            part.register_forward_pre_hook(self._fetch(prefix, list(needed)))
            part.register_forward_hook(_release, always_call=True)
        return network

    def _fetch(self, prefix: str, names: list[str]):
        def fetch(part: nn.Module, _):
            weights = {name: self._tensors[prefix + name].load().float().to(self.device) for name in names}
            part.load_state_dict(weights, assign=True)

        return fetch

    def _check(self) -> None:
        if not all(name in self._tensors for name in ("shared.weight", _POSITIONS, _QUERY, _GATE)):
            raise LumosXError(f"{str(self.path)!r} {not_a_text_encoder(self._tensors)} {_WHERE_TO_GET}")


def _release(part: nn.Module, *_) -> None:
    part.to("meta")


def _tokenizer_model(path: str | os.PathLike) -> bytes | None:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            names = file.keys()
            name = next((name for name in names if name.endswith("spiece_model")), "spiece_model")
            return file.get_tensor(name).numpy().tobytes()
    except (SafetensorError, OSError):  # no such tensor, a .pt file, or a folder
        return None
