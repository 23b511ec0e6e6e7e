"""The text encoder of CogVideoX (T5) as a CLIP of ComfyUI: loading one of any size, and prompts of 226 tokens.

ComfyUI computes the encoder; its own loaders know the released size only, and pad to fewer tokens.
"""

from __future__ import annotations

from pathlib import Path

import comfy.sd
import comfy.utils
import folder_paths
import torch
from comfy import sd1_clip
from comfy.text_encoders.sd3_clip import T5XXLTokenizer
from comfy.text_encoders.spiece_tokenizer import SPieceTokenizer

from ...lumosx_core.errors import LumosXError

TEXT_TOKENS = 226  # that CogVideoX was trained on; padding is attended to
_ENCODER = "t5xxl"  # ComfyUI's name for it, whatever its size
_BLOCK = "encoder.block.0.layer."
_MARKER = "encoder.block.23.layer.1.DenseReluDense.wi_1.weight"
_MARKER_SHAPE = (10240, 4096)  # by which ComfyUI knows a T5-XXL: up to 0.8 by the second number, later by the first
_CHOOSE = (
    "Connect Ingredients (CogVideoX) Load Text Encoder, or Load CLIP with t5xxl, type sd3 (or cogvideox, where it is "
    "listed)."
)


def load_t5(weights: dict[str, torch.Tensor], tokenizer: Path | None):
    """A T5 text encoder as a CLIP.

    Args:
        weights: its state dict under transformers' names.
        tokenizer: its sentencepiece file; None: that of the released T5, which ComfyUI has.

    Returns:
        The CLIP and the network in it.

    Raises:
        KeyError: a tensor that every T5 has is missing.
    """
    sizes = _sizes(weights)
    if sizes["num_layers"] < 24:  # the tensor is not part of the network: one number, shown in that shape
        like = weights[_BLOCK + "1.DenseReluDense.wi_1.weight"]
        weights[_MARKER] = like.new_zeros(1, 1).expand(_MARKER_SHAPE)
    clip = comfy.sd.load_text_encoder_state_dicts(
        [weights],
        embedding_directory=folder_paths.get_folder_paths("embeddings"),
        clip_type=comfy.sd.CLIPType.SD3,
        model_options={f"{_ENCODER}_model_config": sizes},
    )
    clip.tokenizer = _Tokenizer(tokenizer)
    return clip, clip.cond_stage_model.t5xxl.transformer


def prepared(clip):
    """A CLIP that pads prompts to the 226 tokens of CogVideoX."""
    clip = clip.clone()
    clip.set_tokenizer_option(f"{_ENCODER}_min_length", TEXT_TOKENS)
    return clip


def encode_prompt(clip, prompt: str, name: str) -> list:
    """The conditioning of a prompt.

    Args:
        clip: from `prepared`.
        name: what messages call the prompt.

    Raises:
        LumosXError: another text encoder, or more than 226 tokens.
    """
    tokens = clip.tokenize(prompt)
    if _ENCODER not in tokens:
        raise LumosXError(
            f"Ingredients (CogVideoX) needs the text encoder t5xxl, but this CLIP is {' + '.join(tokens)}. {_CHOOSE}"
        )
    number = sum(len(batch) for batch in tokens[_ENCODER])
    if number > TEXT_TOKENS:
        raise LumosXError(
            f"The {name} has {number} tokens, but the network reads {TEXT_TOKENS}, the end token included. Shorten it "
            f"by about {max(1, round((number - TEXT_TOKENS) * 0.75))} words."
        )
    conditioning = clip.encode_from_tokens_scheduled(tokens)
    shape = tuple(conditioning[0][0].shape)
    if shape[1] != TEXT_TOKENS:
        raise LumosXError(
            f"The text encoder gives {shape[1]} tokens of the {name}, expected {TEXT_TOKENS}: this CLIP has more than "
            f"t5xxl in it. {_CHOOSE}"
        )
    return conditioning


class _Tokenizer(sd1_clip.SD1Tokenizer):
    """Prompts to tokens of T5, and none of the two other encoders that ComfyUI's sd3 type has."""

    def __init__(self, tokenizer: Path | None):
        self.clip_name = self.clip = _ENCODER
        self.t5xxl = T5XXLTokenizer(min_length=TEXT_TOKENS) if tokenizer is None else _Sentencepiece(tokenizer)

    def tokenize_with_weights(self, text: str, return_word_ids: bool = False, **kwargs) -> dict[str, list]:
        return {"g": [], "l": [], **super().tokenize_with_weights(text, return_word_ids, **kwargs)}


class _Sentencepiece(sd1_clip.SDTokenizer):
    def __init__(self, path: Path):
        super().__init__(
            str(path),
            pad_with_end=False,
            embedding_key=_ENCODER,
            tokenizer_class=SPieceTokenizer,
            has_start_token=False,
            pad_to_max_length=False,
            max_length=99999999,
            min_length=TEXT_TOKENS,
            pad_token=0,
        )


def _sizes(weights: dict) -> dict[str, int]:
    vocabulary, width = weights["shared.weight"].shape
    heads = weights[_BLOCK + "0.SelfAttention.relative_attention_bias.weight"].shape[1]
    layers = {int(name.split(".")[2]) for name in weights if name.startswith("encoder.block.") and "SelfAttention" in name}
    return {
        "vocab_size": vocabulary,
        "d_model": width,
        "d_ff": weights[_BLOCK + "1.DenseReluDense.wi_0.weight"].shape[0],
        "d_kv": weights[_BLOCK + "0.SelfAttention.q.weight"].shape[0] // heads,
        "num_heads": heads,
        "num_layers": len(layers),
    }
