"""Ingredients (CogVideoX), third step: prompt and faces become conditionings and an empty latent, for any sampler."""

from __future__ import annotations

import comfy.model_management
import torch
from comfy_api.latest import io

from ...lumosx_core.models.ingredients.canvas import conditioning_canvas
from ...lumosx_core.models.ingredients.spec import SPEC
from ...lumosx_core.prompt.phrase_mask import clean_prompt
from ..bridges.ingredients.faces import attach_faces
from ..bridges.ingredients.model import check_size, ingredients_config
from ..bridges.ingredients.text import encode_prompt, prepared
from ..bridges.ingredients.vae import check_vae, encode_canvas
from ..inputs.host_schema import found_by
from ..page.notices import HIDDEN, named, notice
from .faces import FacesType
from .load import CATEGORY


class IngredientsToVideo(io.ComfyNode):
    """Encodes the prompts and the faces for a video of one size."""

    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="IngredientsToVideo",
            display_name="Ingredients (CogVideoX) To Video (prompt)",
            **found_by("people", "person", "character", "prompt", "conditioning", "video", "CogVideoX"),
            category=CATEGORY,
            description="Turns faces and a prompt into positive and negative conditioning and an empty latent for the "
            "sampler. Describe the people in the order of their faces; no words are bound to a face.",
            inputs=[
                io.Clip.Input("clip", tooltip="The text encoder of CogVideoX, t5xxl."),
                io.Vae.Input("vae", tooltip="The VAE of CogVideoX, from Ingredients (CogVideoX) Load VAE."),
                FacesType.Input("faces", tooltip="From Ingredients (CogVideoX) Faces."),
                io.Model.Input(
                    "model",
                    optional=True,
                    tooltip="From Ingredients (CogVideoX) Load Model. With it a size that does not fit the network is "
                    "reported here, otherwise when sampling starts.",
                ),
                io.String.Input(
                    "positive_prompt",
                    multiline=True,
                    dynamic_prompts=True,
                    tooltip=f"What happens in the video, in at most {SPEC.text_len} tokens. Weights such as (a red "
                    "hat:1.2) work.",
                ),
                io.String.Input(
                    "negative_prompt",
                    multiline=True,
                    dynamic_prompts=True,
                    tooltip="What should not appear. Released: empty.",
                ),
                io.Int.Input(
                    "width",
                    default=SPEC.width,
                    min=16,
                    max=8192,
                    step=16,
                    tooltip="The released network makes 720 only.",
                ),
                io.Int.Input(
                    "height",
                    default=SPEC.height,
                    min=16,
                    max=8192,
                    step=16,
                    tooltip="The released network makes 480 only.",
                ),
                io.Int.Input(
                    "length",
                    default=SPEC.frames,
                    min=1,
                    max=8193,
                    step=4,
                    tooltip=f"Frames, at {SPEC.frames_per_second} per second. Trained at {SPEC.frames}.",
                ),
                io.Int.Input("batch_size", default=1, min=1, max=4096, tooltip="Number of videos generated at once."),
            ],
            outputs=[
                io.Conditioning.Output(display_name="positive", tooltip="The prompt with the faces."),
                io.Conditioning.Output(display_name="negative", tooltip="The negative prompt with the same faces."),
                io.Latent.Output(display_name="latent", tooltip="An empty latent of the video's size."),
                io.Image.Output(
                    display_name="canvas", tooltip="The image of all faces that the network sees in the first frame."
                ),
            ],
            hidden=HIDDEN,
        )

    @classmethod
    def execute(
        cls,
        clip,
        vae,
        faces,
        positive_prompt,
        negative_prompt,
        width,
        height,
        length,
        batch_size,
        model=None,
    ) -> io.NodeOutput:
        with named(cls):
            SPEC.check_size(width, height, length)
            if model is not None:
                check_size(ingredients_config(model), width // SPEC.spatial_stride, height // SPEC.spatial_stride)
            check_vae(vae)
            positive_prompt = clean_prompt(positive_prompt)
            if not positive_prompt:
                notice(cls, "The positive prompt is empty. Write what happens in the video, and who is in it.")
            clip = prepared(clip)
            positive = encode_prompt(clip, positive_prompt, "positive prompt")
            negative = encode_prompt(clip, clean_prompt(negative_prompt), "negative prompt")
            canvas = conditioning_canvas(faces.crops, width, height)
            image = encode_canvas(vae, canvas)
        latent = torch.zeros(
            (batch_size, image.shape[1], SPEC.latent_frames(length), *image.shape[3:]),
            device=comfy.model_management.intermediate_device(),
        )
        return io.NodeOutput(
            attach_faces(positive, faces, image),
            attach_faces(negative, faces, image),
            {"samples": latent},
            canvas[None],
        )
