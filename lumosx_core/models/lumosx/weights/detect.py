"""Detection of a network by the names and shapes of its tensors: LumosX, or something else, named."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from typing import Protocol

import torch

from ....errors import LumosXError
from ....files.formats.quantised import QUANTISATION
from ...wan.names import native_names
from ..config import LumosXConfig
from ..model import LumosXModel


class Shaped(Protocol):
    """Anything with a shape: a tensor, a tensor on the meta device, a StoredTensor."""

    @property
    def shape(self) -> torch.Size:
        """Its size."""
        ...


def detect_config(state_dict: Mapping[str, Shaped]) -> LumosXConfig:
    """The sizes of the network whose tensors these are: LumosX, or any Wan2.1 text-to-video set.

    `text_len`, `eps` and LumosX's own options do not show in the weights and keep their released values.

    Args:
        state_dict: name -> tensor, or anything else with a shape.

    Raises:
        LumosXError: it is another model, or tensors are missing, superfluous or of the wrong shape; the message says
            what was found.
    """
    shapes = {native: tuple(state_dict[name].shape) for native, name in native_names(state_dict).items()}
    # A step counter is no part of the network and does no harm.
    shapes = {name: shape for name, shape in shapes.items() if shape and not name.endswith(QUANTISATION)}
    if not shapes:
        raise LumosXError("It holds no tensor at all. Give the released LumosX checkpoint or a converted one.")
    _refuse_other_models(shapes)
    config = _sizes(shapes)
    _check_complete(shapes, config)
    return config


def _refuse_other_models(shapes: Mapping[str, tuple[int, ...]]) -> None:
    for what, hint, belongs in _OTHER_MODELS:
        if any(map(belongs, shapes)):
            raise LumosXError(_found(what, hint, [*filter(belongs, shapes), *shapes], len(shapes)))
    needed = {"patch_embedding.weight", "head.head.weight", "blocks.0.self_attn.q.weight"}
    if any(_OWN.match(name) for name in shapes) and not needed <= shapes.keys():
        raise LumosXError(
            f"It is a part of a Wan network: {sorted(needed - shapes.keys())} is missing among its {len(shapes)} "
            f"tensors. Give all of its files: the folder they are in, or one that is named NAME-00001-of-0000N."
        )
    if not needed <= shapes.keys():
        raise LumosXError(_found("no LumosX or Wan2.1 text-to-video network", _GIVE, list(shapes), len(shapes)))


def _found(what: str, hint: str, names: list[str], count: int) -> str:
    examples = ", ".join(repr(name) for name in dict.fromkeys(names[:3]))
    return f"It is {what} ({count} tensors, such as {examples}), not a LumosX or Wan2.1 text-to-video network. {hint}"


def _sizes(shapes: Mapping[str, tuple[int, ...]]) -> LumosXConfig:
    def shape(name: str, dimensions: int) -> tuple[int, ...]:
        found = shapes.get(name)
        if found is None or len(found) != dimensions or 0 in found:
            raise LumosXError(
                f"Its tensor {name!r} {'is missing' if found is None else f'has shape {found}'}, but a Wan2.1 network "
                f"has one of {dimensions} dimensions. {_GIVE}"
            )
        return found

    dim, in_dim, *patch_size = shape("patch_embedding.weight", 5)
    out_features = shape("head.head.weight", 2)[0]
    for channels, what, hint in _OTHER_WIDTHS:
        if in_dim == channels:
            raise LumosXError(f"It is {what}: its patch_embedding takes {in_dim} channels, a LumosX one 16. {hint}")
    if in_dim != 16 or out_features != 16 * math.prod(patch_size) or dim % 128:
        raise LumosXError(
            f"It is a Wan network of an unknown kind: {in_dim} channels in, {out_features} features out, width {dim}; "
            f"LumosX has 16, {16 * math.prod(patch_size)} and a multiple of 128. {_GIVE}"
        )
    blocks = {int(match[1]) for match in map(re.compile(r"blocks\.(\d{1,4})\.").match, shapes) if match}
    if blocks != set(range(len(blocks))):
        missing = sorted(set(range(max(blocks))) - blocks)
        raise LumosXError(f"It is incomplete: blocks {missing[:5]} of {max(blocks) + 1} are missing. {_GIVE}")
    return LumosXConfig(
        dim=dim,
        ffn_dim=shape("blocks.0.ffn.0.weight", 2)[0],
        num_heads=dim // 128,
        num_layers=len(blocks),
        text_dim=shape("text_embedding.0.weight", 2)[1],
        freq_dim=shape("time_embedding.0.weight", 2)[1],
        in_dim=in_dim,
        out_dim=out_features // math.prod(patch_size),
        patch_size=(patch_size[0], patch_size[1], patch_size[2]),
    )


def _check_complete(shapes: Mapping[str, tuple[int, ...]], config: LumosXConfig) -> None:
    expected = {name: tuple(p.shape) for name, p in LumosXModel(config, device="meta").state_dict().items()}
    if missing := [name for name in expected if name not in shapes]:
        raise LumosXError(
            f"It is incomplete: {len(missing)} of {len(expected)} tensors are missing, such as {missing[:3]}. {_GIVE}"
        )
    if wrong := [name for name in expected if shapes[name] != expected[name]]:
        name = wrong[0]
        raise LumosXError(
            f"{len(wrong)} of its tensors have the wrong shape: {name!r} is {shapes[name]}, but the other tensors ask "
            f"for {expected[name]}. {_GIVE}"
        )
    if extra := [name for name in shapes if name not in expected]:
        raise LumosXError(
            f"It is a Wan network with {len(extra)} tensors that LumosX does not have, such as {extra[:3]}: a variant "
            f"for other inputs. {_GIVE}"
        )


# A name that no other network has.
_OWN = re.compile(r"blocks\.\d+\.(self_attn|cross_attn)\.[qkvo]\.weight$")

_GIVE = "Give the released LumosX checkpoint, or a plain Wan2.1 text-to-video one."

_OTHER_WIDTHS = (
    (36, "a Wan image-to-video network", _GIVE),
    (48, "Wan2.2 5B or a Wan control network", _GIVE),
)


def _has(*parts: str) -> Callable[[str], bool]:
    return lambda name: any(part in name for part in parts)


def _starts(*parts: str) -> Callable[[str], bool]:
    return lambda name: name.startswith(parts)


_DIFFUSERS = re.compile(r"blocks\.\d+\.attn[12]\.to_")

# The first line that fits wins, so the special comes before the general.
_OTHER_MODELS: tuple[tuple[str, str, Callable[[str], bool]], ...] = (
    (
        "a LoRA",
        "Load a LumosX model first and put the LoRA on it, in ComfyUI with the stock LoRA loader.",
        _has("lora_", ".lora.", "hada_", "lokr_", ".diff_b"),
    ),
    (
        "a network for faces, such as Ingredients (CogVideoX)",
        "Load that with the nodes of its own, or with --family ingredients.",
        _starts("local_facial_extractor.", "perceiver_cross_attention.", "router."),
    ),
    ("a Wan VACE network", _GIVE, _starts("vace_")),
    ("a Wan image-to-video network", _GIVE, _has("img_emb.", ".k_img.", "image_embedder.")),
    (
        "a Wan transformer under diffusers' names",
        "Give the same model in Wan's native form (the original or the ComfyUI file).",
        lambda name: name.startswith("condition_embedder.") or bool(_DIFFUSERS.match(name)),
    ),
    ("a Wan VAE", "Put it in ComfyUI's models/vae, and give the LumosX network here.", _has("decoder.upsamples.")),
    ("a VAE", _GIVE, _starts("first_stage_model.", "decoder.up", "decoder.mid", "decoder.conv_in")),
    (
        "a text encoder",
        "Put it in ComfyUI's models/text_encoders, and give the LumosX network here.",
        _starts("shared.", "encoder.block.", "token_embedding.", "text_model.", "layers.0.self_attn", "embed_tokens."),
    ),
    ("a Stable Diffusion U-Net", _GIVE, _starts("input_blocks.", "down_blocks.")),
    ("a Stable Diffusion 3 transformer", _GIVE, _starts("joint_blocks.")),
    ("a Flux or HunyuanVideo transformer", _GIVE, _starts("double_blocks.", "single_blocks.")),
    ("a diffusers transformer of another model", _GIVE, _starts("transformer_blocks.", "single_transformer_blocks.")),
)
