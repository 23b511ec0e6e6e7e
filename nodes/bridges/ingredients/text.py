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

from ....lumosx_core.errors import LumosXError
from ....lumosx_core.files.formats.quantised import QUANTISATION
from ....lumosx_core.files.read_weights import open_weights
from ....lumosx_core.models.cogvideox.t5 import (
    TEXT_LEN,
    check_readable,
    not_a_t5,
    t5_names,
    tokenizer_model,
    weights_folder,
)

RELEASED_VOCABULARY = 32128
_ENCODER = "t5xxl"  # ComfyUI's name for it, whatever its size
_BLOCK = "encoder.block.0.layer."
_MARKER = "encoder.block.23.layer.1.DenseReluDense.wi_1.weight"
_MARKER_SHAPE = (10240, 4096)  # by which ComfyUI knows a T5-XXL: up to 0.8 by the second number, later by the first
_NEEDED = (
    "shared.weight",
    _BLOCK + "0.SelfAttention.q.weight",
    _BLOCK + "0.SelfAttention.relative_attention_bias.weight",
    _BLOCK + "1.DenseReluDense.wi_0.weight",
    _BLOCK + "1.DenseReluDense.wi_1.weight",
)
_CHOOSE = (
    "Connect Ingredients (CogVideoX) Load Text Encoder, or Load CLIP with t5xxl, type sd3 (or cogvideox, where it is "
    "listed)."
)


def load_t5(path: Path):
    """A T5 text encoder as a CLIP.

    Args:
        path: a folder with `text_encoder` and `tokenizer`, or one file.

    Raises:
        LumosXError: the file is damaged, incomplete, or of another encoder.
    """
    weights = weights_folder(path)
    stored = open_weights(weights, t5_names)  # says what is wrong with a damaged file
    if not all(name in stored for name in _NEEDED):
        raise LumosXError(f"{path} {not_a_t5(stored)} {_CHOOSE}")
    tokenizer = tokenizer_model(weights)
    in_folder = weights.is_dir()
    tensors = {name: tensor.load() for name, tensor in stored.items()} if in_folder else _file_tensors(weights)
    sizes = _sizes(tensors)
    if tokenizer is None and sizes["vocab_size"] != RELEASED_VOCABULARY:
        raise LumosXError(
            f"{path} has a table of {sizes['vocab_size']} tokens, not T5's {RELEASED_VOCABULARY}, and no tokenizer. "
            "Put its spiece.model beside it."
        )
    names = set(tensors)
    if sizes["num_layers"] < 24:  # the tensor is not part of the network: one number, shown in that shape
        tensors[_MARKER] = tensors[_BLOCK + "1.DenseReluDense.wi_1.weight"].new_zeros(1, 1).expand(_MARKER_SHAPE)
    try:
        clip = comfy.sd.load_text_encoder_state_dicts(
            [tensors],
            embedding_directory=folder_paths.get_folder_paths("embeddings"),
            clip_type=comfy.sd.CLIPType.SD3,
            model_options={f"{_ENCODER}_model_config": sizes},
        )
    except RuntimeError as error:  # tensors of another shape
        raise LumosXError(
            f"{path} is not a T5 text encoder that ComfyUI loads ({str(error).strip().splitlines()[-1].strip()}). "
            f"{_CHOOSE}"
        ) from error
    clip.tokenizer = _Tokenizer(tokenizer)
    network = clip.cond_stage_model.t5xxl.transformer
    missing = [name for name, _ in network.named_parameters() if name not in names and not name.endswith(QUANTISATION)]
    if missing:
        raise LumosXError(
            f"{path} is incomplete: it lacks {len(missing)} tensors, such as {missing[:3]}. Download it again."
        )
    return clip


def _file_tensors(path: Path) -> dict[str, torch.Tensor]:
    """The tensors of a file as ComfyUI reads them: scaled fp8 stays as it is."""
    tensors, metadata = comfy.utils.load_torch_file(str(path), safe_load=True, return_metadata=True)
    tensors, _ = comfy.utils.convert_old_quants(tensors, model_prefix="", metadata=metadata)
    tensors.pop("spiece_model", None)
    known = t5_names(tensors)
    return {name: tensors[own] for name, own in known.items()}


def prepared(clip):
    """A CLIP that pads prompts to the 226 tokens of CogVideoX."""
    clip = clip.clone()
    clip.set_tokenizer_option(f"{_ENCODER}_min_length", TEXT_LEN)
    return clip


def encode_prompt(clip, prompt: str, name: str) -> list:
    """The conditioning of a prompt.

    Args:
        clip: from `prepared`.
        name: what messages call the prompt.

    Raises:
        LumosXError: another text encoder, more than 226 tokens, or a script that T5 does not know.
    """
    tokens = clip.tokenize(prompt)
    if _ENCODER not in tokens:
        raise LumosXError(
            f"Ingredients (CogVideoX) needs the text encoder t5xxl, but this CLIP is {' + '.join(tokens)}. {_CHOOSE}"
        )
    number = sum(len(batch) for batch in tokens[_ENCODER])
    if number > TEXT_LEN:
        raise LumosXError(
            f"The {name} has {number} tokens, but the network reads {TEXT_LEN}, the end token included. Shorten it "
            f"by about {max(1, round((number - TEXT_LEN) * 0.75))} words."
        )
    pieces = getattr(clip.tokenizer, _ENCODER).inv_vocab
    ids = [token for batch in tokens[_ENCODER] for token, *_ in batch if isinstance(token, int)]
    check_readable(prompt, [pieces[token] for token in ids if token in pieces])
    conditioning = clip.encode_from_tokens_scheduled(tokens)
    shape = tuple(conditioning[0][0].shape)
    if shape[1] != TEXT_LEN:
        raise LumosXError(
            f"The text encoder gives {shape[1]} tokens of the {name}, expected {TEXT_LEN}: this CLIP has more than "
            f"t5xxl in it. {_CHOOSE}"
        )
    return conditioning


class _Tokenizer(sd1_clip.SD1Tokenizer):
    """Prompts to tokens of T5, and none of the two other encoders that ComfyUI's sd3 type has.

    Args:
        model: of sentencepiece; None: that of the released T5, which ComfyUI has.
    """

    def __init__(self, model: bytes | None):
        self.clip_name = self.clip = _ENCODER
        self.t5xxl = T5XXLTokenizer(min_length=TEXT_LEN) if model is None else _Sentencepiece(model)

    def tokenize_with_weights(self, text: str, return_word_ids: bool = False, **kwargs) -> dict[str, list]:
        return {"g": [], "l": [], **super().tokenize_with_weights(text, return_word_ids, **kwargs)}


class _Sentencepiece(sd1_clip.SDTokenizer):
    def __init__(self, model: bytes):
        super().__init__(
            model,
            pad_with_end=False,
            embedding_key=_ENCODER,
            tokenizer_class=SPieceTokenizer,
            has_start_token=False,
            pad_to_max_length=False,
            max_length=99999999,
            min_length=TEXT_LEN,
            pad_token=0,
        )


def _sizes(weights: dict) -> dict[str, int]:
    vocabulary, width = weights["shared.weight"].shape
    heads = weights[_BLOCK + "0.SelfAttention.relative_attention_bias.weight"].shape[1]
    layers = {int(name.split(".")[2]) for name in weights if name.startswith("encoder.block.")}
    return {
        "vocab_size": vocabulary,
        "d_model": width,
        "d_ff": weights[_BLOCK + "1.DenseReluDense.wi_0.weight"].shape[0],
        "d_kv": weights[_BLOCK + "0.SelfAttention.q.weight"].shape[0] // heads,
        "num_heads": heads,
        "num_layers": len(layers),
    }
