"""Everything that touches the internals of ComfyUI's text encoders: loading a UMT5 of any size, and its tokens."""

from __future__ import annotations

from collections.abc import Sequence

import comfy.sd
import comfy.utils
import folder_paths
import torch

from ...lumosx_core.errors import LumosXError
from ...lumosx_core.prompt.token_text import UNKNOWN

_ENCODER = "umt5xxl"  # ComfyUI's name for it, whatever its size
_MARKER = "encoder.block.23.layer.1.DenseReluDense.wi_1.weight"
_MARKER_SHAPE = (10240, 4096)  # by which ComfyUI knows a UMT5: up to 0.8 by the second number, later by the first


class PromptTokenizer:
    """Token ids of prompts and phrases as a Wan CLIP sees them.

    Raises:
        LumosXError: the CLIP is of another model family.
    """

    def __init__(self, clip):
        self._clip = clip
        found = list(clip.tokenize(""))
        if found != [_ENCODER]:
            raise LumosXError(
                f"LumosX needs the umt5 text encoder of Wan2.1, but this CLIP is {' + '.join(found)}. Load umt5_xxl "
                f"with Load CLIP, type wan."
            )

    def ids(self, tokens: dict) -> list[int]:
        """Token ids of a tokenized prompt, padded; -1 for a token that is an embedding."""
        return [token if isinstance(token, int) else -1 for batch in tokens[_ENCODER] for token, *_ in batch]

    def tokenize_prompt(self, prompt: str) -> list[int]:
        """Token ids of a prompt, in which brackets are weights."""
        return self.ids(self._clip.tokenize(prompt))

    def tokenize(self, phrase: str) -> list[int]:
        """Token ids of a phrase, closed by the end token; brackets in it are no weights."""
        return self.ids(self._clip.tokenize(phrase, disable_weights=True))

    def pieces(self, ids: Sequence[int]) -> list[str]:
        """The piece of text for each token id; U+FFFD for an embedding."""
        tokenizer = self._clip.tokenizer
        vocabulary = getattr(tokenizer, tokenizer.clip).inv_vocab
        return [vocabulary.get(token, UNKNOWN) for token in ids]


def load_umt5(path: str) -> tuple[comfy.sd.CLIP, torch.nn.Module, set[str]]:
    """Load a UMT5 text encoder of any size; ComfyUI's own loader assumes the released one.

    Returns:
        The CLIP, the network in it, and the names of the file's tensors.

    Raises:
        KeyError: a tensor that every such file has is missing.
    """
    weights, metadata = comfy.utils.load_torch_file(path, safe_load=True, return_metadata=True)
    names = set(weights)
    sizes = _umt5_sizes(weights)
    if sizes["num_layers"] < 24:  # the tensor is no part of the network: one number, shown in that shape
        like = weights.get(_MARKER, weights["encoder.block.0.layer.1.DenseReluDense.wi_1.weight"])
        weights[_MARKER] = like.new_zeros(1, 1).expand(_MARKER_SHAPE)
    weights, _ = comfy.utils.convert_old_quants(weights, model_prefix="", metadata=metadata)
    clip = comfy.sd.load_text_encoder_state_dicts(
        [weights],
        embedding_directory=folder_paths.get_folder_paths("embeddings"),
        clip_type=comfy.sd.CLIPType.WAN,
        model_options={"umt5xxl_model_config": sizes},
    )
    model = clip.cond_stage_model
    return clip, getattr(model, model.clip).transformer, names


def _umt5_sizes(weights: dict) -> dict[str, int]:
    vocabulary, width = weights["shared.weight"].shape
    weights["spiece_model"]  # the tokenizer; files of other tools lack it
    layers = {int(key.split(".")[2]) for key in weights if key.startswith("encoder.block.") and "SelfAttention" in key}
    return {
        "vocab_size": vocabulary,
        "d_model": width,
        "d_ff": weights["encoder.block.0.layer.1.DenseReluDense.wi_0.weight"].shape[0],
        "num_heads": weights["encoder.block.0.layer.0.SelfAttention.relative_attention_bias.weight"].shape[1],
        "num_layers": len(layers),
    }
