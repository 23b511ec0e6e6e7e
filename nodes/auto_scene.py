"""From photographs and a prompt to a scene, in one step."""

from __future__ import annotations

import torch
from comfy_api.latest import io, ui

from ..lumosx_core.auto_scene.assemble import build_scene
from ..lumosx_core.auto_scene.plan.english_rules import read_prompt
from ..lumosx_core.auto_scene.plan.language_model import plan_from_model
from ..lumosx_core.auto_scene.plan.plan import ScenePlan, check_plan, format_plan, parse_plan
from ..lumosx_core.auto_scene.settings import BACKGROUNDS, MISSING, AutoSettings
from ..lumosx_core.errors import LumosXError
from ..lumosx_core.prompt.phrase_mask import clean_prompt
from .core_tools import CoreTools
from .growing import connected, earlier, growing
from .photograph_models import Progress, finders, language_model, model_input
from .photographs import CATEGORY, boxes_input, boxes_of, drawing, face_of, masks_of, photographs_of
from .scene import SceneType
from .schema import FOLDED, found_by

PHOTOGRAPH_HELP = "A photograph, or a batch of them."

_READERS = ("rules", "language model")


class LumosXAutoScene(io.ComfyNode):
    """Photographs and a prompt become a scene."""

    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="LumosXAutoScene",
            display_name="LumosX Auto Scene (from photos)",
            **found_by("people", "person", "character", "outfit", "clothes", "face", "photo"),
            category=CATEGORY,
            description="Finds the people of photographs, what each of them wears, objects and the background, and "
            "makes a scene of them. Look at the preview before a long run. The plan, shown on the node, can be "
            "corrected: copy it into the plan input. Every picture can be replaced through overrides.",
            inputs=[
                io.String.Input(
                    "prompt",
                    multiline=True,
                    dynamic_prompts=True,
                    tooltip="The prompt of the video. Every phrase of the plan has to occur in it.",
                ),
                io.String.Input(
                    "plan",
                    multiline=True,
                    default="",
                    tooltip="Who wears what, such as: man: denim jacket, white shirt | woman: light brown sweater || "
                    "lamp || cozy room. Empty: read from the prompt.",
                ),
                io.Combo.Input(
                    "read_prompt_by",
                    options=list(_READERS),
                    tooltip="How an empty plan is read from the prompt: by simple rules of English, or by a "
                    "vision-language model that sees the photographs, too.",
                ),
                model_input("faces"),
                model_input("phrases"),
                model_input("masks"),
                model_input("language"),
                io.Float.Input(
                    "face_threshold",
                    default=0.5,
                    min=0.05,
                    max=0.99,
                    step=0.01,
                    tooltip="Lower finds more faces.",
                    extra_dict=FOLDED,
                ),
                io.Float.Input(
                    "box_threshold",
                    default=0.3,
                    min=0.01,
                    max=0.99,
                    step=0.01,
                    tooltip="Lower finds more things.",
                    extra_dict=FOLDED,
                ),
                io.Float.Input(
                    "feather",
                    default=1.5,
                    min=0,
                    max=32,
                    step=0.5,
                    tooltip="Pixels over which cut-outs fade.",
                    extra_dict=FOLDED,
                ),
                io.Combo.Input(
                    "background",
                    options=list(BACKGROUNDS),
                    tooltip="fill: the photograph without people and objects, filled in simply; good for plain walls. "
                    "inpaint: no background yet; inpaint place with removed, and join it with the scene in LumosX "
                    "Scene. none: no background.",
                ),
                io.Combo.Input(
                    "if_missing",
                    options=list(MISSING),
                    tooltip="What to do if a part of the plan is not found. leave out: go on, and show in the preview "
                    "what was found.",
                    extra_dict=FOLDED,
                ),
                boxes_input("face_boxes", "Takes the place of the face detector: a list for each photograph."),
                SceneType.Input(
                    "overrides",
                    optional=True,
                    tooltip="Pictures of your own, each with a phrase of the plan: they are used instead of what would "
                    "be found. From LumosX Subject or LumosX Scene, with masks as well.",
                ),
                CoreTools.Input(
                    "core_tools",
                    optional=True,
                    tooltip="ComfyUI's own SAM3 and MediaPipe face detection, from LumosX Core Tools: they are used "
                    "instead of the models chosen above, and need no further Python package.",
                ),
                io.Mask.Input(
                    "foreground",
                    optional=True,
                    tooltip="White where people and things hide the place, one mask for each photograph: from "
                    "Remove Background, or painted. They are removed from the background without a search for people.",
                ),
                earlier(io.Image, "photographs", "photograph", PHOTOGRAPH_HELP),
                *growing(io.Image, "photograph", PHOTOGRAPH_HELP),
            ],
            outputs=[
                SceneType.Output(display_name="scene", tooltip="For LumosX Scene To Video."),
                io.String.Output(display_name="prompt", tooltip="The prompt above, for LumosX Scene To Video."),
                io.String.Output(display_name="plan", tooltip="Who wears what, as it was read or typed."),
                io.Image.Output(display_name="previews", is_output_list=True, tooltip="One for each photograph."),
                io.Image.Output(display_name="place", tooltip="The photograph that shows most of its place, as it is."),
                io.Mask.Output(
                    display_name="removed",
                    tooltip="Where people and objects are in it: what to inpaint. Empty with background: none.",
                ),
                io.String.Output(
                    display_name="warnings", tooltip="What was left out, is small, or is cut by the frame."
                ),
            ],
        )

    @classmethod
    def validate_inputs(cls, face_model, box_model, mask_model, language_model, photographs=None) -> bool:
        return True  # a model that is not here is told of with all that is needed to get it, when the node runs

    @classmethod
    def execute(
        cls,
        prompt,
        plan,
        read_prompt_by,
        face_model,
        box_model,
        mask_model,
        language_model,
        face_threshold,
        box_threshold,
        feather,
        background,
        if_missing,
        face_boxes=None,
        overrides=None,
        core_tools=None,
        foreground=None,
        **inputs,
    ) -> io.NodeOutput:
        photographs = connected(inputs, "photograph", "photographs")
        images = [image for pictures in photographs for image in photographs_of(pictures)]
        if not images:
            raise LumosXError("LumosX Auto Scene has no photograph. Connect one or more.")
        faces = None
        if face_boxes is not None:
            lists = boxes_of(face_boxes)
            if len(lists) != len(images):
                raise LumosXError(
                    f"face_boxes has lists for {len(lists)} photographs, but there are {len(images)}. Give a list for "
                    f"each photograph, in their order."
                )
            faces = [[face_of(box, image) for box in each] for each, image in zip(lists, images, strict=True)]
        prompt = clean_prompt(prompt)
        progress = Progress(5)
        progress("plan", 0, 1)
        warnings: list[str] = []
        chosen = _plan(plan, prompt, read_prompt_by, images, language_model, warnings, progress)
        warnings += check_plan(chosen, prompt)
        search = finders(face_model, box_model, mask_model, face_threshold, box_threshold)
        if core_tools is not None:
            search = core_tools.instead_of(search, face_threshold, box_threshold)
        found = build_scene(
            images,
            chosen,
            search,
            AutoSettings(background=background, missing=if_missing, feather=feather),
            faces=faces,
            overrides=overrides,
            foreground=None if foreground is None else list(masks_of(foreground)),
            progress=progress,
        )
        text = format_plan(chosen)
        notes = "\n".join(warnings + found.warnings)
        previews = [drawing(image, marks) for image, marks in zip(images, found.marks, strict=True)]
        return io.NodeOutput(
            found.scene,
            prompt,
            text,
            previews,
            images[found.place][None],
            found.removed[None].to(torch.float32),
            notes,
            ui=ui.PreviewText(f"{text}\n\n{notes}".strip()),
        )


def _plan(
    plan: str,
    prompt: str,
    reader: str,
    images: list[torch.Tensor],
    model: str,
    warnings: list[str],
    progress: Progress,
) -> ScenePlan:
    if plan.strip():
        return parse_plan(plan)
    if not prompt:
        raise LumosXError("The prompt and the plan are both empty. Write the prompt of the video, or a plan.")
    if reader == "language model":
        return plan_from_model(language_model(model, progress).ask, images, prompt, say=warnings.append)
    return read_prompt(prompt)
