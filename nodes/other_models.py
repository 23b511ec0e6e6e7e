"""LumosX Scene For Other Models: the images and the prompt of a scene, for nodes of models that are not ours."""

from __future__ import annotations

from comfy_api.latest import io
from torch import Tensor

from ..lumosx_core.bridges.fitting_images import TOO_MANY
from ..lumosx_core.bridges.minimax_h3 import MOST_IMAGES
from ..lumosx_core.bridges.scene_for_model import MODELS, scene_for_model
from ..lumosx_core.models.lumosx.spec import SPEC
from .inputs.host_schema import FOLDED, found_by
from .page.notices import HIDDEN, named, notice
from .page.scene_titles import titled
from .scene import SceneType


class LumosXSceneForOtherModels(io.ComfyNode):
    """A scene, compiled for a model whose nodes come with ComfyUI."""

    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="LumosXSceneForOtherModels",
            display_name="LumosX Scene For Other Models",
            **found_by("minimax", "h3", "bernini", "ltx", "ingredients", "vace", "phantom", "reference sheet"),
            category="LumosX",
            description="Turns a scene into the ordered images and the prompt that another model wants: Bernini-R, LTX "
            "with the Ingredients LoRA, MiniMax H3, Phantom or VACE. Connect the outputs to ComfyUI's own nodes for "
            "that model.",
            inputs=[
                SceneType.Input("scene", tooltip="Who wears what: from LumosX Scene, or a single LumosX Subject."),
                io.String.Input(
                    "prompt",
                    multiline=True,
                    dynamic_prompts=True,
                    tooltip="What happens in the video, in plain words. Each phrase of the scene must occur in it. "
                    "Tags of the model are written for you; weights are dropped.",
                ),
                io.Combo.Input(
                    "model",
                    options=list(MODELS),
                    tooltip="Bernini-R: up to 8 images. LTX Ingredients: one black reference sheet. MiniMax H3: up to "
                    "9 images. Phantom: up to 4 images on white. VACE: one white canvas.",
                ),
                io.Int.Input(
                    "width",
                    default=SPEC.width,
                    min=16,
                    max=8192,
                    step=16,
                    tooltip="Of the video. LTX Ingredients takes multiples of 32.",
                ),
                io.Int.Input(
                    "height",
                    default=SPEC.height,
                    min=16,
                    max=8192,
                    step=16,
                    tooltip="Of the video. LTX Ingredients takes multiples of 32.",
                ),
                io.Combo.Input(
                    "too_many",
                    options=list(TOO_MANY),
                    optional=True,
                    tooltip="When the scene has more images than the model takes. stop: an error that names them. "
                    "leave out: further views of the same thing, objects, background and attributes are left out, and "
                    "the report says which.",
                    extra_dict=FOLDED,
                ),
                io.String.Input(
                    "soundscape",
                    default="",
                    optional=True,
                    tooltip="What is heard in the scene. Only MiniMax H3 reads it.",
                    extra_dict=FOLDED,
                ),
                io.String.Input(
                    "music",
                    default="",
                    optional=True,
                    tooltip="Music under the scene. Only MiniMax H3 reads it.",
                    extra_dict=FOLDED,
                ),
            ],
            outputs=[
                io.Image.Output(
                    display_name="images",
                    tooltip="All images on canvases of the given size: for Phantom one for each image; for LTX "
                    "Ingredients and VACE a single one with all of them.",
                ),
                io.String.Output(display_name="prompt", tooltip="The prompt in the form that the model wants."),
                io.String.Output(
                    display_name="report", tooltip="Which image is what and whose, and what does not reach the model."
                ),
                io.Int.Output(display_name="width", tooltip="The given width, for the model's own node."),
                io.Int.Output(display_name="height", tooltip="The given height, for the model's own node."),
                *(
                    io.Image.Output(
                        display_name=f"image_{i}",
                        tooltip=f"Image {i}, in its own size: for slot {i} of the model's node. Nothing if the scene "
                        "has fewer images; a slot for reference images takes that, too.",
                    )
                    for i in range(MOST_IMAGES)
                ),
            ],
            hidden=HIDDEN,
        )

    @classmethod
    def execute(
        cls, scene, prompt, model, width, height, too_many=TOO_MANY[0], soundscape="", music=""
    ) -> io.NodeOutput:
        with named(cls):
            made = scene_for_model(
                titled(cls, scene),
                prompt,
                model,
                width=width,
                height=height,
                too_many=too_many,
                soundscape=soundscape,
                music=music,
            )
        for note in made.notes:
            notice(cls, note)
        single: list[Tensor | None] = [image[None] for image in made.images[:MOST_IMAGES]]
        single += [None] * (MOST_IMAGES - len(single))
        return io.NodeOutput(made.canvases, made.prompt, made.report, width, height, *single)
