"""Names of the tensors of LoRA files, as programs write them, and the layer of Wan2.1 that each means.

Programs join the same words with dots, underscores or both, put words of their own in front, and call layers by Wan's
names or by those of diffusers. So a name is read without regard to what joins its words: the layer is what it ends in,
and in front of that there may be only words that say nothing about the layer.

    diffusion_model.blocks.0.self_attn.q            ComfyUI, and what this program writes
    blocks.0.self_attn.q                            Wan2.1
    lora_unet_blocks_0_self_attn_q                  kohya; also lora_unet__, lora_transformer_, lycoris_, mixed dots
    transformer.blocks.0.attn1.to_q                 diffusers
    base_model.model.blocks.0.self_attn.q           peft
    model.diffusion_model. ..., pipe.dit. ..., unet. ..., module. ..., with _orig_mod. anywhere

A tensor's part (matrix, alpha, difference ...) is the ending: `.lora_A.weight`, `.lora_A.NAME.weight`, `.lora_A`,
`.lora_down.weight`, `.lora.down.weight`, `_lora.down.weight`, `.alpha`, `.diff`, `.diff_b`, `.diff_m` and others.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from lumosx_core.errors import LumosXError

# Words that stand in front of a layer without saying which: of programs, wrappers and containers.
_FRONT_WORDS = {
    *("lora", "lycoris", "locon", "loha", "lokr", "peft"),
    *("base", "model", "diffusion", "unet", "transformer", "dit", "pipe", "pipeline", "net", "network", "denoiser"),
    *("generator", "ema", "student", "backbone", "wan", "wan2", "wanvideo", "lumosx"),
    *("module", "orig", "mod", "fsdp", "wrapped", "checkpoint", "state", "dict"),
}

# What torch puts between the words, in front of each part that it wraps.
_INSIDE = re.compile(r"_(?:orig_mod|fsdp_wrapped_module|checkpoint_wrapped_module)(?=[._])")

_ATTENTION = {
    **{letter: (letter, f"to_{letter}", f"processor_to_{letter}", f"{letter}_proj") for letter in "qkv"},
    "o": ("o", "to_out_0", "to_out", "processor_to_out", "o_proj", "out_proj"),
    "norm_q": ("norm_q",),
    "norm_k": ("norm_k",),
}
_BLOCK = {
    **{
        f"{attention}_{alias}": f"{native}.{part}"
        for native, names in {"self_attn": ("self_attn", "attn1"), "cross_attn": ("cross_attn", "attn2")}.items()
        for attention in names
        for part, aliases in _ATTENTION.items()
        for alias in aliases
    },
    **dict.fromkeys(("ffn_0", "ffn_net_0_proj", "ff_net_0_proj"), "ffn.0"),
    **dict.fromkeys(("ffn_2", "ffn_net_2", "ff_net_2"), "ffn.2"),
    **dict.fromkeys(("norm3", "norm2"), "norm3"),  # diffusers counts the norms that have weights
    **dict.fromkeys(("modulation", "scale_shift_table"), "modulation"),
}
_TOP = {
    "patch_embedding": "patch_embedding",
    **{f"{kind}_embedding_{place}": f"{kind}_embedding.{place}" for kind in ("text", "time") for place in (0, 2)},
    **{
        f"{front}{kind}_embedder_linear_{number}": f"{kind}_embedding.{place}"
        for front in ("condition_embedder_", "")
        for kind in ("text", "time")
        for number, place in ((1, 0), (2, 2))
    },
    **dict.fromkeys(("time_projection_1", "condition_embedder_time_proj", "time_proj"), "time_projection.1"),
    **dict.fromkeys(("head_head", "proj_out"), "head.head"),
    **dict.fromkeys(("head_modulation", "scale_shift_table"), "head.modulation"),
}
MODULATION = ("blocks", "head")
"""What has a modulation table; its change, `.diff_m`, is named after the part itself."""

_LAYER = re.compile(
    rf"(?:(?P<front>.*?)_)??(?:blocks_(?P<block>\d{{1,4}})_(?P<part>{'|'.join(map(re.escape, _BLOCK))})"
    rf"|(?P<top>{'|'.join(map(re.escape, _TOP))}))"
)
_TABLE = re.compile(r"(?:(?P<front>.*?)_)??(?:blocks_(?P<block>\d{1,4})|(?P<head>head))")

# What a name holds when it means something that Wan2.1 text-to-video does not have; the first that fits is said.
_STRANGERS = (
    (
        r"_(k_img|v_img|norm_k_img|img_emb|image_embedder|add_[kv]_proj|norm_added_[kq])_",
        "a LoRA for Wan image-to-video",
    ),
    (r"_vace_", "a LoRA for Wan VACE"),
    (
        r"_(te|te1|te2|te3|t5|umt5|t5xxl|umt5xxl|clip|text_encoders?|text_model|token_embedding)_",
        "one for a text encoder",
    ),
    (r"_transformer_2_", "one for the second network of Wan2.2"),
    (r"_(face|audio|motion|pose|camera|cam|control|ref_conv|controlnet)\w*_", "one for a Wan variant with more inputs"),
    (r"_(double|single|joint|transformer|single_transformer)_blocks_", "one for another kind of transformer"),
    (r"_(down|up|input|output|mid|middle)_blocks?_", "one for a Stable Diffusion U-Net"),
    (r"_layers_\d+_", "one for a language model or another transformer"),
)

_END = r"(?:\.(?!weight$|bias$)(?P<adapter>[^.]{1,100}))?(?:\.(?P<what>weight|bias))?$"
_MATRIX = r"[._](?:lora[._](?:linear_layer[._])?|lora_linear_layer[._])"
_PARTS = tuple(
    (part, re.compile(pattern))
    for part, pattern in (
        ("down", rf"{_MATRIX}(?:A|a|down){_END}"),
        ("up", rf"{_MATRIX}(?:B|b|up){_END}"),
        ("mid", rf"{_MATRIX}mid(?:\.weight)?$"),
        ("alpha", r"[._](?:lora_|network_)?alpha(?:\.(?!weight$)(?P<adapter>[^.]{1,100}))?(?:\.weight)?$"),
        ("rank", r"[._](?:lora_|network_)?(?:rank|dim)$"),
        ("rslora", r"[._](?:use_)?rs_?lora$"),
        ("weight", r"\.(?:diff|w_norm)$"),
        ("bias", r"\.(?:diff_b|b_norm)$"),
        ("table", r"\.diff_m$"),
        *((f"lokr_{name}", rf"[._]lokr_{name}$") for name in ("w1", "w2", "w1_a", "w1_b", "w2_a", "w2_b")),
        *((f"hada_{name}", rf"[._]hada_{name}$") for name in ("w1_a", "w1_b", "w2_a", "w2_b")),
    )
)
# Endings of kinds that are not read -> what they are.
_OTHER_KINDS = (
    (r"[._](dora_scale|lora_magnitude_vector)([._].*)?$", "a DoRA: it rescales whole weights beside adding to them"),
    (r"[._](lokr_t2|hada_t[12])$", "a LoKr or LoHa of convolutions (Tucker)"),
    (r"[._](oft_blocks|oft_diag|oft_R|boft_R|boft_s|oft_s)([._].*)?$", "an OFT"),
    (r"[._](a1|a2|b1|b2|bm)\.weight$", "a GLoRA"),
    (r"[._]vera_(lambda|A|B)", "a VeRA"),
    (r"[._](ia3_l|on_input)([._].*)?$", "an (IA)3"),
    (r"[._]lora_embedding_[AB]", "a LoRA of an embedding table"),
    (r"[._](set_weight|reshape_weight)$", "a patch of ComfyUI that replaces or reshapes whole weights"),
)


@dataclass(frozen=True)
class Key:
    """What the name of one tensor says.

    Args:
        stem: the layer's name as the file has it.
        layer: its native name, such as "blocks.0.self_attn.q".
        part: "down", "up", "mid", "alpha", "rank", "rslora"; "weight" and "bias" for differences, "table" for that of a
            modulation table; "down bias" and "up bias"; or the name of a matrix of LoKr or LoHa.
        adapter: peft's name of the LoRA, where a file may hold several; else empty.
    """

    stem: str
    layer: str
    part: str
    adapter: str


def read_key(key: str) -> Key:
    """Read the name of a tensor.

    Raises:
        LumosXError: it names another kind of change, or a layer that Wan2.1 text-to-video does not have.
    """
    for part, pattern in _PARTS:
        if match := pattern.search(key):
            groups = match.groupdict()
            stem = key[: match.start()]
            if groups.get("what") == "bias":
                part = f"{part} bias"
            if part == "table":
                return Key(stem, _modulation_of(stem), "weight", "")
            return Key(stem, native_layer(stem), part, groups.get("adapter") or "")
    for expression, kind in _OTHER_KINDS:
        if re.search(expression, key):
            raise LumosXError(
                f"it is {kind} (as {_short(key)} shows), which is not read here. Merge it with the program that made it"
            )
    if key.endswith((".weight", ".bias")):
        raise LumosXError(
            f"{_short(key)} is a whole weight, not a change of one: of a model, or of peft's modules_to_save or bias"
        )
    raise LumosXError(f"nothing is known of a tensor called {_short(key)}")


def native_layer(stem: str) -> str:
    """A layer's native name, such as "blocks.0.self_attn.q", from its name in a file.

    >>> native_layer("lora_unet_blocks_0.attn1.to_q")
    'blocks.0.self_attn.q'

    Raises:
        LumosXError: no layer of Wan2.1 text-to-video is meant, or it is not clear which.
    """
    match = _LAYER.fullmatch(_flat(stem))
    if match and _says_nothing(stem, match["front"]):
        if match["top"]:
            return _TOP[match["top"]]
        return f"blocks.{int(match['block'])}.{_BLOCK[match['part']]}"
    raise _stranger(stem)


def _modulation_of(stem: str) -> str:
    """The modulation table of a block or of the head."""
    match = _TABLE.fullmatch(_flat(stem))
    if match and _says_nothing(stem, match["front"]):
        return "head.modulation" if match["head"] else f"blocks.{int(match['block'])}.modulation"
    try:
        layer = native_layer(stem)
    except LumosXError:
        layer = ""
    if layer.endswith("modulation"):
        return layer
    raise _stranger(stem)


def _flat(stem: str) -> str:
    return re.sub(r"[._]+", "_", _INSIDE.sub("", stem[:1000])).strip("_")


def _says_nothing(stem: str, front: str | None) -> bool:
    """Whether the prefix of a layer's name shows for certain that the layer is of the video network."""
    words = (front or "").split("_") if front else []
    if not set(words) <= _FRONT_WORDS:
        return False
    # "transformer_blocks" is what other transformers call their blocks; kohya's scripts write lora_transformer_blocks.
    return words[-1:] != ["transformer"] or words == ["lora", "transformer"] or "transformer_blocks" not in stem


def _stranger(stem: str) -> LumosXError:
    flat = f"_{_flat(stem)}_"
    for expression, kind in _STRANGERS:
        if re.search(expression, flat):
            return LumosXError(f"it is {kind}, not for Wan2.1 text-to-video: it changes {_short(stem)}")
    if re.search(r"_(blocks_\d+|attn[12]|self_attn|cross_attn)_", flat):
        return LumosXError(f"it changes {_short(stem)}, which is not a layer of Wan2.1 text-to-video")
    return LumosXError(f"it is for another model: it changes {_short(stem)}, and Wan2.1 has no such layer")


def _short(name: str) -> str:
    return repr(name if len(name) <= 100 else f"{name[:97]}...")
