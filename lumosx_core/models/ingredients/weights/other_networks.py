"""Networks that are not Ingredients (CogVideoX), known by the names and shapes of their tensors, for messages."""

from __future__ import annotations

from collections.abc import Callable, Mapping

Shapes = Mapping[str, tuple[int, ...]]
NAME = "Ingredients (CogVideoX)"
GIVE = (
    "Give the released folder of feizhengcong/Ingredients, its folder transformer, or a file that was converted from "
    "it."
)
PATCHES = "patch_embed.proj.weight"
_ROUTER, _FACES = ("router.",), ("local_facial_extractor.", "perceiver_cross_attention.")


def other_network(shapes: Shapes) -> tuple[str, str] | None:
    """What these tensors are instead of an Ingredients (CogVideoX) network, and the fix; None: they may be one."""
    for what, hint, belongs in _BY_NAME:
        if any(map(belongs, shapes)):
            return what, hint
    has_faces, has_router = _any(shapes, _FACES), _any(shapes, _ROUTER)
    if PATCHES in shapes and not (has_faces or has_router):
        return _plain_cogvideox(shapes), GIVE
    if has_faces and not has_router and PATCHES in shapes:
        return "ConsisID, which has the same network for one face and no router", GIVE
    blocks = _any(shapes, ("transformer_blocks.", "single_transformer_blocks."))
    if blocks and not (has_faces or has_router or any(".norm1.linear." in name for name in shapes)):
        return "a diffusers transformer of another model", GIVE
    return None


def _plain_cogvideox(shapes: Shapes) -> str:
    patches = shapes[PATCHES]
    if len(patches) == 2:
        return "a CogVideoX 1.5 network without faces"
    channels = patches[1] if len(patches) == 4 else 0
    kind = {16: "text-to-video", 32: "image-to-video", 33: "inpainting (Fun)", 48: "inpainting (VOID)"}.get(channels)
    return f"a plain CogVideoX {kind} network without faces" if kind else "a CogVideoX network without faces"


def _any(shapes: Shapes, starts: tuple[str, ...]) -> bool:
    return any(name.startswith(starts) for name in shapes)


def _has(*parts: str) -> Callable[[str], bool]:
    return lambda name: any(part in name for part in parts)


def _starts(*parts: str) -> Callable[[str], bool]:
    return lambda name: name.startswith(parts)


_TEXT_ENCODER_HINT = "Put it in ComfyUI's models/text_encoders, and give the network of Ingredients (CogVideoX) here."

# The first line that fits wins, so the special comes before the general.
_BY_NAME: tuple[tuple[str, str, Callable[[str], bool]], ...] = (
    (
        "a LoRA",
        "Load a network first and put the LoRA on it. (The LoRA for LTX-Video that is also called Ingredients is for "
        "LTX-Video alone.)",
        _has("lora_", ".lora.", "hada_", "lokr_", ".diff_b"),
    ),
    ("a Wan or LumosX network", f"Load it with the nodes and options of LumosX, or: {GIVE}", _has(".self_attn.q.")),
    ("an LTX-Video network", f"It belongs to another model that is also called Ingredients. {GIVE}",
     _starts("patchify_proj.", "adaln_single.")),
    ("CogVideoX under the names of its first release (SAT)", f"Take it in diffusers' form. {GIVE}",
     _has("mixins.patch_embed.", "mixins.adaln_layer.", "adaln_layer.adaLN_modulations")),
    ("CogVideoX under ComfyUI's own names", GIVE, lambda name: name.startswith("blocks.") and ".norm1.linear." in name),
    ("a Wan transformer under diffusers' names", GIVE, _starts("condition_embedder.")),
    ("the VAE of CogVideoX", f"Put it in ComfyUI's models/vae, or give it as the VAE. {GIVE}",
     _has("decoder.conv_in.conv.weight", "encoder.conv_in.conv.weight")),
    ("a VAE", GIVE, _starts("encoder.down", "decoder.up", "decoder.mid", "decoder.conv_in", "encoder.conv_in")),
    ("EVA02-CLIP, which reads faces", "It belongs into the folder face_encoder.", _starts("visual.blocks.", "visual.")),
    ("a text encoder", _TEXT_ENCODER_HINT,
     _starts("shared.", "encoder.block.", "token_embedding.", "text_model.", "layers.0.self_attn", "embed_tokens.")),
    ("a Stable Diffusion U-Net", GIVE, _starts("input_blocks.", "down_blocks.")),
    ("a Stable Diffusion 3 transformer", GIVE, _starts("joint_blocks.")),
    ("a Flux or HunyuanVideo transformer", GIVE, _starts("double_blocks.", "single_blocks.")),
)  # fmt: skip
