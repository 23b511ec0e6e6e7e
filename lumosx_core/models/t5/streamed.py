"""A T5 encoder that is read from its file block by block.

The released encoders have 5 billion parameters and are needed for two prompts only. So the blocks stay in the file and
each visits the device just while it works: one block in float32 (0.8 GB) instead of the whole encoder (20 GB).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ...errors import LumosXError, MissingPackageError
from ...files.safetensors_file import all_finite
from ...files.stored_tensor import StoredTensor
from .t5_network import T5Network, T5Sizes

TABLE = "shared.weight"
_POSITIONS = "encoder.block.{}.layer.0.SelfAttention.relative_attention_bias.weight"
_QUERY = "encoder.block.{}.layer.0.SelfAttention.q.weight"
_GATE = "encoder.block.0.layer.1.DenseReluDense.wi_0.weight"


@dataclass(frozen=True)
class T5Kind:
    """What tells the encoders of two families apart.

    Args:
        one_table: see `T5Sizes`.
        wrong_file: from the names of a file's tensors, what it is instead: "is a CLIP encoder, ...".
        where_to_get: a sentence that names the right file.
    """

    one_table: bool
    wrong_file: Callable[[Collection[str]], str]
    where_to_get: str


class StreamedT5:
    """Token ids of texts and the states of an encoder whose weights stay in the file.

    Weights may be of any floating type, scaled fp8 included; the arithmetic is float32.

    Args:
        path: of the file, for messages.
        tensors: under Hugging Face's names.
        tokenizer: a serialised sentencepiece model; None: there is none, which is refused.
        device: where the blocks do their work.

    Raises:
        LumosXError: the file is damaged, another encoder, or has no tokeniser.
        MissingPackageError: sentencepiece is not installed.
    """

    def __init__(
        self,
        path: str | os.PathLike,
        kind: T5Kind,
        tensors: Mapping[str, StoredTensor],
        tokenizer: bytes | None,
        *,
        device: str | torch.device = "cpu",
    ):
        self.path = path
        self.device = torch.device(device)
        self._kind = kind
        self._tensors = tensors
        self._tokenizer = self._build_tokenizer(tokenizer)
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

    @torch.no_grad()
    def states(self, ids: Tensor, real: Tensor) -> Tensor:
        """The encoder's states.

        Args:
            ids: (B, L) token ids.
            real: (B, L) bool, the tokens that are attended to.

        Returns:
            (B, L, text_dim) float32, on the device.
        """
        # Only the rows of these tokens are read: the table itself stays in the file.
        embeddings = self._tensors[TABLE].load()[ids].float().to(self.device)
        if not all_finite(embeddings):
            raise LumosXError(f"{str(self.path)!r} has token embeddings that are not finite. {self._kind.where_to_get}")
        return self._network(embeddings, real.to(self.device))

    def _build_tokenizer(self, model: bytes | None):
        try:
            import sentencepiece
        except ImportError as error:
            raise MissingPackageError("sentencepiece", "Reading prompts", error) from error
        self._check()
        if model is None:
            raise LumosXError(f"The text encoder {str(self.path)!r} has no tokeniser in it. {self._kind.where_to_get}")
        try:
            tokenizer = sentencepiece.SentencePieceProcessor(model_proto=model, add_eos=True)
        except (RuntimeError, ValueError) as error:
            raise self._damaged_tokenizer(error) from error
        words, rows = tokenizer.get_piece_size(), self._tensors[TABLE].shape[0]
        if words > rows:
            raise LumosXError(
                f"The text encoder {str(self.path)!r} has {rows} token embeddings, but its tokeniser has {words} "
                f"pieces. {self._kind.where_to_get}"
            )
        return tokenizer

    def _damaged_tokenizer(self, error: Exception) -> LumosXError:
        return LumosXError(
            f"The text encoder {str(self.path)!r} has a damaged tokeniser ({error}). {self._kind.where_to_get}"
        )

    def _build_network(self) -> nn.Module:
        """The encoder without weights, whose parts fetch them when they are called."""
        width = self._tensors[TABLE].shape[1]
        buckets, heads = self._tensors[_POSITIONS.format(0)].shape
        blocks = 0
        while _QUERY.format(blocks) in self._tensors:
            blocks += 1
        inner, feed_forward = self._tensors[_QUERY.format(0)].shape[0], self._tensors[_GATE].shape[0]
        sizes = T5Sizes(width, inner, heads, feed_forward, blocks, buckets, self._kind.one_table)
        with torch.device("meta"):
            network = T5Network(sizes)
        network.eval().requires_grad_(False)
        parts: dict[str, nn.Module] = {f"encoder.block.{i}.": block for i, block in enumerate(network.block)}
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
        needed = (TABLE, _POSITIONS.format(0), _QUERY.format(0), _GATE)
        another = self._kind.one_table and _POSITIONS.format(1) in self._tensors
        if another or not all(name in self._tensors for name in needed):
            raise LumosXError(f"{str(self.path)!r} {self._kind.wrong_file(self._tensors)} {self._kind.where_to_get}")


def _release(part: nn.Module, *_) -> None:
    part.to("meta")


def stored_tokenizer(path: str | os.PathLike) -> bytes | None:
    """The sentencepiece model that ComfyUI's single files hold as a tensor `spiece_model`; None: there is none."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            names = file.keys()
            name = next((name for name in names if name.endswith("spiece_model")), "spiece_model")
            return file.get_tensor(name).numpy().tobytes()
    except (SafetensorError, OSError):  # no such tensor, a .pt file, or a folder
        return None
