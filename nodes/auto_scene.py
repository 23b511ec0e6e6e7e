"""LumosX Auto Scene: from source images and a prompt to a scene."""

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
from .bridges.photo_models_bridge import Progress, finders, language_model, model_input
from .core_tools import CoreTools
from .inputs.host_schema import FOLDED, found_by
from .inputs.image_values import CATEGORY, boxes_input, boxes_of, drawing, face_of, masks_of, photographs_of
from .inputs.slot_rows import connected, earlier, growing
from .scene import SceneType

PHOTOGRAPH_HELP = "A photo, or a batch of photos."

_READERS = ("rules", "language model")


class LumosXAutoScene(io.ComfyNode):
    """Builds a scene from photos and a prompt."""

    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="LumosXAutoScene",
            display_name="LumosX Auto Scene (from photos)",
            **found_by("people", "person", "character", "outfit", "clothes", "face", "photo"),
            category=CATEGORY,
            description="Finds the people in photos, what each of them wears, objects and the background, and builds "
            "a scene. Look at the preview before a long run. The plan is shown on the node; to correct "
            "it, copy it into the plan input. Every reference image can be replaced through overrides.",
            inputs=[
                io.String.Input(
                    "prompt",
                    multiline=True,
                    dynamic_prompts=True,
                    tooltip="The prompt of the video. Every phrase of the plan must occur in it.",
                ),
                io.String.Input(
                    "plan",
                    multiline=True,
                    default="",
                    tooltip="Who wears what, such as: man: denim jacket, white shirt | woman: light brown sweater || "
                    "lamp || cozy room. Empty: derived from the prompt.",
                ),
                io.Combo.Input(
                    "read_prompt_by",
                    options=list(_READERS),
                    tooltip="How an empty plan is derived from the prompt: by simple rules of English, or by a "
                    "vision-language model that also sees the photos.",
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
                    tooltip="Pixels over which the edges of cutouts fade.",
                    extra_dict=FOLDED,
                ),
                io.Combo.Input(
                    "background",
                    options=list(BACKGROUNDS),
                    tooltip="fill: the photo without people and objects, filled in simply; good for plain walls. "
                    "inpaint: no background yet; inpaint place where removed is white, and join it with the "
                    "scene in LumosX Scene. none: no background. fill always: also where people and objects hide more "
                    "than half of it; fill leaves the background out then.",
                ),
                io.Combo.Input(
                    "if_missing",
                    options=list(MISSING),
                    tooltip="What to do if a part of the plan is not found. leave out: continue, and show in the "
                    "preview what was found.",
                    extra_dict=FOLDED,
                ),
                boxes_input("face_boxes", "Replaces the face detector: one list per photo."),
                SceneType.Input(
                    "overrides",
                    optional=True,
                    tooltip="Your own reference images, each with a phrase of the plan, used instead of what would "
                    "be found. From LumosX Subject or LumosX Scene, masks included.",
                ),
                CoreTools.Input(
                    "core_tools",
                    optional=True,
                    tooltip="ComfyUI's own SAM3 and MediaPipe face detection, from LumosX Core Tools, used instead "
                    "of the models chosen above. They need no further Python package.",
                ),
                io.Mask.Input(
                    "foreground",
                    optional=True,
                    tooltip="White where people and things hide the background, one mask per photo: from Remove "
                    "Background, or painted. These areas are removed from the background without a search "
                    "for people.",
                ),
                earlier(io.Image, "photographs", "photograph", PHOTOGRAPH_HELP),
                *growing(io.Image, "photograph", PHOTOGRAPH_HELP),
            ],
            outputs=[
                SceneType.Output(display_name="scene", tooltip="For LumosX Scene To Video."),
                io.String.Output(display_name="prompt", tooltip="The prompt above, for LumosX Scene To Video."),
                io.String.Output(display_name="plan", tooltip="Who wears what, as derived or typed."),
                io.Image.Output(display_name="previews", is_output_list=True, tooltip="One per photo."),
                io.Image.Output(
                    display_name="place", tooltip="The photo that shows most of its background, unchanged."
                ),
                io.Mask.Output(
                    display_name="removed",
                    tooltip="White where people and objects are in place: the area to inpaint. Empty with "
                    "background: none.",
                ),
                io.String.Output(
                    display_name="warnings",
                    tooltip="Everything that was left out, is small, or is cut off by the frame.",
                ),
            ],
        )

    @classmethod
    def validate_inputs(cls, face_model, box_model, mask_model, language_model, photographs=None) -> bool:
        return True  # a missing model is reported when the node runs, with the command that downloads it

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
            raise LumosXError("LumosX Auto Scene has no photo. Connect one or more.")
        faces = None
        if face_boxes is not None:
            lists = boxes_of(face_boxes)
            if len(lists) != len(images):
                raise LumosXError(
                    f"face_boxes has lists for {len(lists)} photos, but there are {len(images)}. Connect one list per "
                    "photo, in the same order."
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
    return read_prompt(prompt, warnings.append)
