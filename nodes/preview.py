"""LumosX Preview Scene: reference images, phrases, and the words each subject is bound to."""

from __future__ import annotations

import numpy as np
import torch
from comfy_api.latest import io, ui

from ..lumosx_core.drawing.contact_sheet import draw_contact_sheet
from ..lumosx_core.errors import LumosXError
from ..lumosx_core.models.encode_scene import prepare_scene
from ..lumosx_core.models.lumosx.spec import SPEC
from ..lumosx_core.prompt.phrase_mask import clean_prompt, match_phrases_in_text, prompt_spans
from ..lumosx_core.prompt.scene_warnings import EMPTY_PROMPT, scene_warnings
from ..lumosx_core.scene.scene import Scene
from .bridges.clip_bridge import PromptTokenizer
from .bridges.photo_models_bridge import face_finder_if_present
from .inputs.host_schema import FOLDED, found_by
from .page.notices import HIDDEN, named, notice
from .page.scene_titles import titled
from .scene import SceneType


class LumosXPreviewScene(io.ComfyNode):
    """Draws a contact sheet of a scene."""

    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="LumosXPreviewScene",
            display_name="LumosX Preview Scene",
            **found_by("people", "person", "contact sheet", "outfit"),
            category="LumosX",
            description="Draws the scene as a contact sheet: subjects side by side, face first, phrases under the "
            "images, the prompt with each subject's words in its colour, and warnings.",
            inputs=[
                SceneType.Input("scene", tooltip="A scene, or a single LumosX Subject."),
                io.String.Input(
                    "prompt",
                    multiline=True,
                    default="",
                    tooltip="The positive prompt, to see which words are bound.",
                    extra_dict=FOLDED,  # else the page reserves room for the sheet below the box, over other nodes
                ),
                io.Clip.Input(
                    "clip",
                    optional=True,
                    tooltip="With the text encoder, the highlighted words are the ones the model will see, and a "
                    "phrase that does not occur is an error. Without it, phrases are matched as text.",
                ),
            ],
            outputs=[io.Image.Output(display_name="contact_sheet", tooltip="The image that the node shows.")],
            is_output_node=True,
            hidden=HIDDEN,
        )

    @classmethod
    def execute(cls, scene, prompt, clip=None) -> io.NodeOutput:
        with named(cls):
            scene = titled(cls, scene)
            scene.check()
            prompt = clean_prompt(prompt)
            if not prompt:
                spans = []
            elif clip is None:
                spans = match_phrases_in_text(prompt, scene)
            else:
                tokenizer = PromptTokenizer(clip)
                prepared = prepare_scene(scene, prompt, tokenizer, text_len=SPEC.text_len)
                pieces = zip(prepared.prompt_ids, tokenizer.pieces(prepared.prompt_ids), strict=True)
                spans = prompt_spans(list(pieces), scene, prepared.phrase_mask)
            warnings = _warnings(scene, prompt or None)
        for warning in warnings:
            notice(cls, warning)
        on_sheet = warnings if prompt else [EMPTY_PROMPT, *warnings]  # previewing without a prompt is fine
        sheet = np.asarray(draw_contact_sheet(scene, spans, on_sheet), dtype=np.float32) / 255
        image = torch.from_numpy(sheet)[None]
        return io.NodeOutput(image, ui=ui.PreviewImage(image, cls=cls))


def _warnings(scene: Scene, prompt: str | None) -> list[str]:
    try:
        return scene_warnings(scene, prompt, faces=face_finder_if_present())
    except LumosXError as error:  # a preview does not need the detector
        return [*scene_warnings(scene, prompt), f"The size of the faces was not measured: {error}"]
