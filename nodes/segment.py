"""LumosX Segment: things in a source image, found by phrase and cut out on white."""

from __future__ import annotations

import re

import torch
from comfy_api.latest import io, ui

from ..lumosx_core.auto_scene.annotations import Mark, note_of
from ..lumosx_core.auto_scene.cutouts.faces import pick
from ..lumosx_core.auto_scene.cutouts.mask_cleaning import clean
from ..lumosx_core.auto_scene.cutouts.quality import cut_out_warnings
from ..lumosx_core.auto_scene.cutouts.regions import Box
from ..lumosx_core.auto_scene.detectors import check_photo
from ..lumosx_core.auto_scene.instances import MOST_INSTANCES, Instance, View, find_instances
from ..lumosx_core.drawing.contact_sheet import COLOURS
from ..lumosx_core.errors import LumosXError
from .bridges.photo_models_bridge import Progress, model_input, phrase_finder, segmenter
from .inputs.host_schema import FOLDED, found_by
from .inputs.image_values import (
    CATEGORY,
    BoundingBox,
    box_of,
    boxes_input,
    boxes_of_one,
    drawing,
    given_of,
    one_photograph,
)

_MOST_MASKS = 2**32  # bytes of masks, each of the photo's size
_INSTANCES = {"best": 1, "all": MOST_INSTANCES}


class LumosXSegment(io.ComfyNode):
    """Masks and cutouts for phrases."""

    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="LumosXSegment",
            display_name="LumosX Segment (cut out clothes)",
            **found_by("clothes", "outfit", "cut out", "mask", "person"),
            category=CATEGORY,
            description="Finds things by phrase (GroundingDINO), masks them (Segment Anything) and cuts them out on "
            "white: attributes and objects for LumosX Subject and LumosX Scene.",
            inputs=[
                io.Image.Input("image", tooltip="One photo."),
                io.String.Input(
                    "phrases",
                    multiline=True,
                    default="",
                    tooltip="What to find, separated by commas or line breaks: denim jacket, white shirt",
                ),
                model_input("phrases"),
                model_input("masks"),
                io.Float.Input(
                    "threshold",
                    default=0.3,
                    min=0.01,
                    max=0.99,
                    step=0.01,
                    tooltip="Lower finds more things, and more wrong ones.",
                    extra_dict=FOLDED,
                ),
                io.Combo.Input(
                    "instances", options=list(_INSTANCES), tooltip="best: one of each phrase. all: everything found."
                ),
                io.String.Input(
                    "picks",
                    default="",
                    tooltip="With all: the numbers of the instances to output, counted from left to right for each "
                    "phrase, such as 2. Empty: all. The box of one person can serve as the region in which "
                    "to search for that person's clothes.",
                ),
                io.Float.Input(
                    "mask_threshold",
                    default=0.5,
                    min=0.05,
                    max=0.95,
                    step=0.05,
                    tooltip="How certain a pixel of the mask has to be. Lower gives larger masks.",
                    extra_dict=FOLDED,
                ),
                io.Float.Input(
                    "feather",
                    default=1.5,
                    min=0,
                    max=32,
                    step=0.5,
                    tooltip="Pixels over which the edge fades.",
                    extra_dict=FOLDED,
                ),
                boxes_input("region", "Where to search, such as the box of one person."),
            ],
            outputs=[
                io.Image.Output(display_name="cut_outs", is_output_list=True, tooltip="One image per thing."),
                io.Mask.Output(display_name="masks", tooltip="One mask per thing, of the photo's size."),
                BoundingBox.Output(display_name="boxes", tooltip="One per thing, with its phrase and score."),
                io.Image.Output(display_name="preview", tooltip="The photo with everything that was found."),
                io.String.Output(
                    display_name="warnings",
                    tooltip="Problems with a cutout, such as low resolution; empty if there are none.",
                ),
            ],
        )

    @classmethod
    def validate_inputs(cls, box_model, mask_model) -> bool:
        return True  # a missing model is reported when the node runs, with the command that downloads it

    @classmethod
    def execute(
        cls,
        image,
        phrases,
        box_model,
        mask_model,
        threshold,
        instances,
        picks,
        mask_threshold,
        feather,
        region=None,
    ) -> io.NodeOutput:
        photograph = one_photograph(image)
        check_photo(photograph, "The photo")
        height, width = photograph.shape[:2]
        wanted = list(dict.fromkeys(part.strip() for part in re.split(r"[,\n]", phrases) if part.strip()))
        if not wanted:
            raise LumosXError("LumosX Segment has no phrase. Enter what to find, such as: denim jacket, white shirt")
        areas: list[Box | None] = [None]
        if region is not None:
            areas = [box_of(box, photograph) for box in boxes_of_one(region, "region")]
        if len(areas) != 1:
            raise LumosXError(
                f"{len(areas)} boxes are connected to region, expected one. Choose one with the picks input of the "
                "node before it."
            )

        progress = Progress(3)
        progress("models", 0, 2)
        finder = phrase_finder(box_model, threshold)
        progress("models", 1, 2)
        masks = segmenter(mask_model, mask_threshold)
        progress("phrases", 0, 1)
        view = View(photograph, masks)
        found = find_instances(view, wanted, finder, inside=areas[0], most=_INSTANCES[instances])
        if lost := [phrase for phrase, each in zip(wanted, found, strict=True) if not each]:
            names = ", ".join(f'"{phrase}"' for phrase in lost)
            raise LumosXError(
                f"Nothing was found for {names}. Lower the threshold, use simpler words, or mask it by hand."
            )
        if instances == "all":
            found = [_picked(phrase, each, picks) for phrase, each in zip(wanted, found, strict=True)]
        count = sum(map(len, found))
        _check_memory(count, height, width)

        cut_outs: list[torch.Tensor] = []
        whole: list[torch.Tensor] = []
        boxes: list[dict] = []
        marks: list[Mark] = []
        warnings: list[str] = []
        for number, (phrase, each) in enumerate(zip(wanted, found, strict=True)):
            for thing in each:
                progress("cut-outs", len(cut_outs), count)
                cleaned = clean(thing.region, feather=feather)
                cut_outs.append(cleaned.cut_out(photograph)[None])
                whole.append(cleaned.mask(height, width))
                boxes.append(given_of(thing.box, phrase, thing.score, **_told(thing)))
                notes = cut_out_warnings(f'"{phrase}"', cut_outs[-1][0], cleaned, (height, width))
                warnings += notes
                colour = COLOURS[number % len(COLOURS)]
                marks.append(Mark(f"{phrase}  {thing.score:.2f}", colour, thing.box, cleaned, note_of(notes)))
        text = "\n".join(warnings)
        return io.NodeOutput(
            cut_outs,
            torch.stack(whole),
            [boxes],
            drawing(photograph, marks),
            text,
            ui=ui.PreviewText(text or f"{len(boxes)} found"),
        )


def _told(thing: Instance) -> dict[str, float]:
    """What the segmenter tells about a mask, for the nodes behind this one."""
    quality = thing.region.quality
    return {} if quality is None else {"predicted_iou": quality.predicted_iou, "stability": quality.stability}


def _picked(phrase: str, things: list[Instance], picks: str) -> list[Instance]:
    things = sorted(things, key=lambda thing: thing.box.centre)
    return [things[i] for i in pick(picks, len(things), f'"{phrase}"')]


def _check_memory(count: int, height: int, width: int) -> None:
    if (size := 4 * count * height * width) > _MOST_MASKS:
        raise LumosXError(
            f"{count} masks of {width}x{height} would take {size / 1e9:.1f} GB of memory. Use a smaller photo, a "
            "higher threshold, fewer phrases, or instances: best."
        )
