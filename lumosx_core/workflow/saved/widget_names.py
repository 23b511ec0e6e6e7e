"""The widgets of nodes that are read without ComfyUI, in the order of their values in a file.

Front ends before 1.16, and Export in later ones, do not write the names of inputs that nothing is connected to.
"""

from __future__ import annotations

from collections.abc import Iterator


def _slots(*names: str) -> tuple[str, ...]:
    return tuple(f"{name}_phrase" for name in names)


def _strengths(*names: str) -> tuple[str, ...]:
    return tuple(f"{name}_strength" for name in names)


_ATTRIBUTES = ("attribute_1", "attribute_2", "attribute_3")
_OBJECTS = ("object_1", "object_2", "object_3")
_NAMES: dict[str, tuple[str, ...]] = {
    "KSampler": ("seed", "steps", "cfg", "sampler_name", "scheduler", "denoise"),
    "KSamplerAdvanced": (
        *("add_noise", "noise_seed", "steps", "cfg", "sampler_name", "scheduler", "start_at_step", "end_at_step"),
        "return_with_leftover_noise",
    ),
    "SamplerCustom": ("add_noise", "noise_seed", "cfg"),
    "RandomNoise": ("noise_seed",),
    "CFGGuider": ("cfg",),
    "BasicScheduler": ("scheduler", "steps", "denoise"),
    "KSamplerSelect": ("sampler_name",),
    "UNETLoader": ("unet_name", "weight_dtype"),
    "VAELoader": ("vae_name",),
    "CLIPLoader": ("clip_name", "type", "device"),
    "LoraLoader": ("lora_name", "strength_model", "strength_clip"),
    "LoraLoaderModelOnly": ("lora_name", "strength_model"),
    "LoadImage": ("image",),
    "LoadImageMask": ("image", "channel"),
    "ImageFromBatch": ("batch_index", "length"),
    "StringConcatenate": ("string_a", "string_b", "delimiter"),
    "LumosXLoadModel": ("model_name", "weight_dtype"),
    "LumosXLoadVAE": ("vae_name",),
    "LumosXLoadTextEncoder": ("text_encoder_name",),
    "LumosXApply": ("mcam_ratio", "r2pe", "csam", "mcam", "preset"),
    "LumosXRecordAttention": ("steps", "layers"),
    "LumosXScoreVideo": ("face_model", "box_model", "face_embedder"),
    "LumosXSigmas": ("steps", "shift"),
    "LumosXLoadImage": ("image", "background", "crop_to_content"),
    "LumosXExamplePicture": ("picture",),
    "LumosXSceneFromFolder": ("folder",),
    "LumosXLoadSubject": ("file", "phrases"),
    "LumosXSubject": (
        *_slots("face", *_ATTRIBUTES),
        *_strengths("face", *_ATTRIBUTES),
        *("strength", "start_percent", "end_percent"),
    ),
    "LumosXScene": (*_slots("background", *_OBJECTS), *_strengths("background", *_OBJECTS)),
    "LumosXSceneToVideo": (
        *("positive_prompt", "negative_prompt", "width", "height", "length", "batch_size", "negative_references"),
        "bind_phrases",
    ),
}
_NAMES |= {f"Primitive{kind}": ("value",) for kind in ("String", "StringMultiline", "Int", "Float", "Boolean")}
# Their last widgets are newer than the nodes: older files have fewer values.
_SHORTER = {"CLIPLoader"}


def known_names(kind: str, named: list[str]) -> Iterator[list[str]]:
    """Lists of the widgets that a node may have been saved with, the fullest first; none for an unknown node.

    Args:
        named: the widgets that the file names, which have to be among them.
    """
    names = _NAMES.get(kind, ())
    if not names or not set(named) <= set(names):
        return
    fewest = 1 if kind.startswith("LumosX") or kind in _SHORTER else len(names)
    for count in range(len(names), fewest - 1, -1):
        yield list(names[:count])
