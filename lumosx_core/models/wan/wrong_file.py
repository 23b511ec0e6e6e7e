"""What a file holds that was given as the VAE or the text encoder and is not, for messages."""

from __future__ import annotations

from collections.abc import Collection


def not_a_text_encoder(names: Collection[str]) -> str:
    """What tensors of these names are instead of a UMT5 encoder in Hugging Face's names."""
    if "token_embedding.weight" in names and any(name.endswith(".ffn.gate.0.weight") for name in names):
        return (
            "is UMT5 under the names of Wan's own release (models_t5_umt5-xxl-enc-bf16.pth), which has no tokeniser in "
            "it and is not read."
        )
    if "token_embd.weight" in names:
        return "is a text encoder under the names of llama.cpp, which are not read."
    if any(".SelfAttention." in name for name in names) and "shared.weight" not in names:
        return "is not a UMT5 text encoder but a part of one: it has no table of tokens. Give all of its files."
    if any(".SelfAttention." in name for name in names):
        return "is another T5 than UMT5, or a part of one: it lacks tensors of the first block."
    if any(name.startswith(("text_model.", "visual.", "vision_model.")) for name in names):
        return "is a CLIP encoder, not a UMT5 text encoder."
    return _other("a UMT5 text encoder", names)


def not_a_vae(names: Collection[str]) -> str:
    """What tensors of these names are instead of a Wan 2.1 VAE in its own names."""
    if any(name.startswith(("encoder.down_blocks.", "decoder.up_blocks.", "decoder.mid_block.")) for name in names):
        return "is a VAE under the names of diffusers, which are not read."
    if any(name.startswith(("encoder.down.", "decoder.up.")) for name in names):
        return "is the VAE of another model, such as Stable Diffusion."
    if any(name.startswith(("encoder.downsamples.", "decoder.upsamples.", "decoder.middle.")) for name in names):
        return "is a part of a Wan VAE, or one of another number of channels. Give the whole file."
    return _other("a Wan 2.1 VAE", names)


def _other(wanted: str, names: Collection[str]) -> str:
    kinds = {
        "a video network": ("blocks.", "patch_embedding."),
        "a VAE": ("decoder.upsamples.", "decoder.head.", "encoder.downsamples."),
        "a text encoder": ("encoder.block.", "shared."),
    }
    kind = next((kind for kind, starts in kinds.items() if any(name.startswith(starts) for name in names)), None)
    found = ", ".join(name[:100] for name in sorted(names)[:3]) or "no tensors"
    return f"{f'is {kind} and' if kind and kind != wanted else 'is'} not {wanted} (found {found})."
