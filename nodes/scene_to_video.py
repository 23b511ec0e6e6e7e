"""Third step: prompt and scene become conditionings and an empty latent, ready for any sampler."""

from __future__ import annotations

from functools import partial

import comfy.model_management
import comfy.utils
import torch
from comfy_api.latest import io

from ..lumosx_core.errors import LumosXError
from ..lumosx_core.models.encode_scene import encode_scene, encode_unbound
from ..lumosx_core.models.latent_cache import LatentCache
from ..lumosx_core.models.lumosx.spec import SPEC
from ..lumosx_core.prompt.phrase_mask import check_prompt_length, clean_prompt
from ..lumosx_core.prompt.scene_warnings import EMPTY_PROMPT, scene_warnings, whole_bodies
from ..lumosx_core.scene.strength import NEGATIVE_REFERENCES
from .bridges.clip_bridge import PromptTokenizer
from .bridges.comfy_bridge import attach_scene
from .inputs.host_schema import FOLDED, found_by
from .page.notices import HIDDEN, named, notice
from .page.scene_titles import titled
from .scene import SceneType

LATENTS = LatentCache()  # of the last scenes, so that another prompt encodes no image again


class LumosXSceneToVideo(io.ComfyNode):
    """Encodes the prompts and the reference images for a video of one size."""

    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="LumosXSceneToVideo",
            display_name="LumosX Scene To Video (prompt)",
            **found_by("people", "person", "character", "prompt", "conditioning", "video"),
            category="LumosX",
            description="Turns a scene and its prompt into positive and negative conditioning and an empty latent for "
            "the sampler. The model must have gone through LumosX Load Model or LumosX Apply.",
            inputs=[
                io.Clip.Input("clip", tooltip="The umt5 text encoder of Wan2.1."),
                io.Vae.Input("vae", tooltip="The VAE of Wan2.1."),
                SceneType.Input("scene", tooltip="Who wears what: from LumosX Scene, or a single LumosX Subject."),
                io.String.Input(
                    "positive_prompt",
                    multiline=True,
                    dynamic_prompts=True,
                    tooltip="What happens in the video. Each phrase of the scene must occur in it. Weights such as "
                    "(denim jacket:1.2) work.",
                ),
                io.String.Input(
                    "negative_prompt", multiline=True, dynamic_prompts=True, tooltip="What should not appear."
                ),
                io.Int.Input("width", default=SPEC.width, min=16, max=8192, step=16, tooltip="Trained at 832."),
                io.Int.Input("height", default=SPEC.height, min=16, max=8192, step=16, tooltip="Trained at 480."),
                io.Int.Input(
                    "length",
                    default=SPEC.frames,
                    min=1,
                    max=8193,
                    step=4,
                    tooltip="Frames, at 16 per second. Trained at 81.",
                ),
                io.Int.Input("batch_size", default=1, min=1, max=4096, tooltip="Number of videos generated at once."),
                io.Combo.Input(
                    "negative_references",
                    options=list(NEGATIVE_REFERENCES),
                    optional=True,
                    tooltip="Whether the negative pass also sees the reference images. kept: as released. dropped: "
                    "CFG then pushes towards the reference images as well as the prompt; use a lower CFG. zeroed: the "
                    "same with zeros in their place, for Phantom.",
                    extra_dict=FOLDED,
                ),
                io.Boolean.Input(
                    "bind_phrases",
                    default=True,
                    optional=True,
                    tooltip="Bind each reference image to its phrase in the prompt, as LumosX needs. Off: the prompt "
                    "need not contain the phrases; for models without MCAM, such as Phantom.",
                    extra_dict=FOLDED,
                ),
            ],
            outputs=[
                io.Conditioning.Output(
                    display_name="positive", tooltip="The prompt with the scene's reference images."
                ),
                io.Conditioning.Output(
                    display_name="negative",
                    tooltip="The negative prompt, with the reference images if negative_references is kept, or zeros "
                    "in their place if it is zeroed.",
                ),
                io.Latent.Output(
                    display_name="latent",
                    tooltip="An empty latent of the size for which the reference images were encoded.",
                ),
                io.Conditioning.Output(
                    display_name="negative_text",
                    tooltip="The negative prompt without reference images: the third conditioning of DualCFGGuider, "
                    "which guides towards reference images and prompt with a CFG for each.",
                ),
                io.Conditioning.Output(
                    display_name="negative_zero_images",
                    tooltip="The negative prompt with zeros in place of the reference images: the third conditioning "
                    "of DualCFGGuider for Phantom, like negative_img_text of ComfyUI's WanPhantomSubjectToVideo.",
                ),
            ],
            hidden=HIDDEN,
        )

    @classmethod
    def execute(
        cls,
        clip,
        vae,
        scene,
        positive_prompt,
        negative_prompt,
        width,
        height,
        length,
        batch_size,
        negative_references=NEGATIVE_REFERENCES[0],
        bind_phrases=True,
    ) -> io.NodeOutput:
        with named(cls):
            SPEC.check_size(width, height, length)
            scene = titled(cls, scene)
            scene.check()
            positive_prompt = clean_prompt(positive_prompt)
            if bind_phrases and not positive_prompt and any(each.phrase.strip() for each in scene.references):
                raise LumosXError(EMPTY_PROMPT)
            tokenizer = PromptTokenizer(clip)
            positive_tokens = clip.tokenize(positive_prompt)
            negative_tokens = clip.tokenize(clean_prompt(negative_prompt))
            check_prompt_length(tokenizer.ids(negative_tokens), SPEC.text_len, negative=True)
            encode = encode_scene if bind_phrases else encode_unbound
            encoded = encode(
                scene, positive_prompt, tokenizer, partial(_encode, vae), (height, width), text_len=SPEC.text_len
            )
            for warning in scene_warnings(scene, positive_prompt) if bind_phrases else whole_bodies(scene):
                notice(cls, warning)

            positive = clip.encode_from_tokens_scheduled(positive_tokens)
            negative_text = clip.encode_from_tokens_scheduled(negative_tokens)
            negatives = {  # as released, the negative pass sees the same images, bound to words of the positive prompt
                "kept": attach_scene(negative_text, encoded),
                "dropped": negative_text,
                "zeroed": attach_scene(negative_text, encoded, zeros=True),
            }
            latent = torch.zeros(
                SPEC.latent_shape(batch_size, length, height, width),
                device=comfy.model_management.intermediate_device(),
            )
            return io.NodeOutput(
                attach_scene(positive, encoded),
                negatives[negative_references],
                {"samples": latent},
                negative_text,
                negatives["zeroed"],
            )


def _encode(vae, canvases: torch.Tensor) -> torch.Tensor:
    """Each image on its own as a video of one frame: (R, height, width, 3) -> (1, 16, R, height/8, width/8)."""
    progress = comfy.utils.ProgressBar(len(canvases))
    _, height, width, _ = canvases.shape
    expected = SPEC.latent_shape(1, 1, height, width)[1:]
    latents = []
    for canvas in canvases.split(1):
        # What a MODEL patcher's patches are to a VAE: LoRAs and the like on it, and the precision that it computes in.
        settings = (vae.patcher.patches_uuid, vae.vae_dtype)
        latent = LATENTS.encoded(vae, canvas, vae.encode, settings)
        if latent.ndim != 5 or latent.shape[1:] != expected:
            raise LumosXError(
                f"The VAE encodes an image of {width}x{height} to a latent of shape {tuple(latent.shape)}, but LumosX "
                f"needs {(1, *expected)}. Use the VAE of Wan2.1."
            )
        latents.append(latent)
        progress.update(1)
    return torch.cat(latents, dim=2)
