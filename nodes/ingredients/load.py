"""Ingredients (CogVideoX), first step: load the network, its text encoder and its VAE."""

from __future__ import annotations

import torch
from comfy_api.latest import io

from ...lumosx_core.models.cogvideox.vae import CogVideoXVae
from ...lumosx_core.models.ingredients.model import GUIDANCE
from ..bridges.ingredients.loading import load_patcher, with_guidance
from ..bridges.ingredients.text import load_t5
from ..bridges.ingredients.vae import CogVideoXHostVae
from ..inputs.host_schema import FOLDED, found_by
from ..inputs.ingredients_files import NETWORK, TEXT_ENCODER, VAE, names_of, path_of, validated

CATEGORY = "LumosX/Ingredients (CogVideoX)"
_DTYPES = {"default": None, "fp8_e4m3fn": torch.float8_e4m3fn, "fp8_e5m2": torch.float8_e5m2}


class IngredientsLoadModel(io.ComfyNode):
    """Loads an Ingredients (CogVideoX) network."""

    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="IngredientsLoadModel",
            display_name="Ingredients (CogVideoX) Load Model",
            **found_by("model", "weights", "CogVideoX", "face", "identity"),
            category=CATEGORY,
            description="Loads the network of Ingredients (CogVideoX): a video of several people from a photo of each "
            "face. It is not the LTX LoRA of the same name.",
            inputs=[
                io.Combo.Input(
                    "model_name",
                    options=names_of(NETWORK),
                    tooltip="A released folder (its name ends with /) in models/diffusers or models/diffusion_models, "
                    "or a file of the network in models/diffusion_models.",
                ),
                io.Combo.Input(
                    "weight_dtype",
                    options=list(_DTYPES),
                    tooltip="Data type of the weights in memory. default: as in the file.",
                    extra_dict=FOLDED,
                ),
                io.Combo.Input(
                    "guidance",
                    options=list(GUIDANCE),
                    tooltip="Which faces the positive branch sees. shared: those that the negative branch chose for "
                    "each region, as released. per_branch: its own choice.",
                    extra_dict=FOLDED,
                ),
            ],
            outputs=[
                io.Model.Output(
                    tooltip="For Ingredients (CogVideoX) To Video and a sampler. Put LoRA loaders between it and both."
                )
            ],
        )

    @classmethod
    def validate_inputs(cls, model_name):
        return validated(NETWORK, model_name)

    @classmethod
    def execute(cls, model_name, weight_dtype, guidance) -> io.NodeOutput:
        patcher = load_patcher(path_of(NETWORK, model_name), _DTYPES[weight_dtype])
        return io.NodeOutput(with_guidance(patcher, guidance))


class IngredientsLoadTextEncoder(io.ComfyNode):
    """Loads the T5 text encoder of CogVideoX, of any size."""

    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="IngredientsLoadTextEncoder",
            display_name="Ingredients (CogVideoX) Load Text Encoder",
            **found_by("CogVideoX", "T5", "clip"),
            category=CATEGORY,
            description="Loads the text encoder of CogVideoX, T5 of any size. For t5xxl it does the same as Load CLIP "
            "with type sd3 and 226 tokens (T5TokenizerOptions).",
            inputs=[
                io.Combo.Input(
                    "text_encoder_name",
                    options=names_of(TEXT_ENCODER),
                    tooltip="A released folder (its name ends with /), or a T5 file in models/text_encoders, such as "
                    "t5xxl_fp8_e4m3fn.safetensors.",
                )
            ],
            outputs=[io.Clip.Output(tooltip="The text encoder, for Ingredients (CogVideoX) To Video.")],
        )

    @classmethod
    def validate_inputs(cls, text_encoder_name):
        return validated(TEXT_ENCODER, text_encoder_name)

    @classmethod
    def execute(cls, text_encoder_name) -> io.NodeOutput:
        return io.NodeOutput(load_t5(path_of(TEXT_ENCODER, text_encoder_name)))


class IngredientsLoadVAE(io.ComfyNode):
    """Loads the VAE of CogVideoX, computed as released."""

    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="IngredientsLoadVAE",
            display_name="Ingredients (CogVideoX) Load VAE",
            **found_by("CogVideoX", "vae"),
            category=CATEGORY,
            description="Loads the VAE of CogVideoX. It is computed by the package diffusers, as in the release.",
            inputs=[
                io.Combo.Input(
                    "vae_name",
                    options=names_of(VAE),
                    tooltip="A released folder (its name ends with /), or a file of CogVideoX's VAE in models/vae.",
                )
            ],
            outputs=[io.Vae.Output(tooltip="The VAE, for Ingredients (CogVideoX) To Video and VAE Decode.")],
        )

    @classmethod
    def validate_inputs(cls, vae_name):
        return validated(VAE, vae_name)

    @classmethod
    def execute(cls, vae_name) -> io.NodeOutput:
        return io.NodeOutput(CogVideoXHostVae(CogVideoXVae.load(path_of(VAE, vae_name))))
