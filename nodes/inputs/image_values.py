"""Helpers shared by the nodes that read photos: photos, boxes and masks in, drawings out."""

from __future__ import annotations

import math
import numbers
from collections.abc import Sequence
from typing import TypeGuard

import numpy as np
import torch
from comfy_api.latest import io

from ...lumosx_core.auto_scene.annotations import Mark, draw_findings
from ...lumosx_core.auto_scene.cutouts.regions import Box, Face
from ...lumosx_core.errors import LumosXError
from ...lumosx_core.files.safetensors_file import all_finite

BoundingBox = io.Custom("BOUNDING_BOX")  # ComfyUI's own type; 0.8.0 has no class for it yet
CATEGORY = "LumosX/photographs"
BOXES_HELP = "Boxes from any node with a BOUNDING_BOX output, such as ComfyUI's own face detection and segmentation."


def boxes_input(name: str, tooltip: str) -> io.Input:
    """An optional input for boxes that takes a link only.

    Without forceInput pages since 1.39 make a widget of it, which sends an unwanted box of 512x512 pixels in the
    corner.
    """
    return BoundingBox.Input(name, optional=True, tooltip=f"{tooltip} {BOXES_HELP}", extra_dict={"forceInput": True})


def photographs_of(pictures: torch.Tensor) -> list[torch.Tensor]:
    """(B, H, W, C) of a graph -> (H, W, 3) each; transparency becomes white, grey becomes RGB.

    Raises:
        LumosXError: values that are not numbers.
    """
    pictures = pictures.to("cpu", torch.float32)
    if not all_finite(pictures):
        raise LumosXError("The image has values that are not numbers (NaN or infinite). Make it again.")
    if pictures.shape[-1] == 1:
        pictures = pictures.expand(*pictures.shape[:-1], 3)
    if pictures.shape[-1] == 4:
        opacity = pictures[..., 3:]
        pictures = pictures[..., :3] * opacity + (1 - opacity)
    return list(pictures[..., :3])


def masks_of(masks: torch.Tensor) -> torch.Tensor:
    """A MASK of a graph, of any number of dimensions -> (N, H, W).

    Raises:
        LumosXError: values that are not numbers.
    """
    if not all_finite(masks):
        raise LumosXError("The mask has values that are not numbers (NaN or infinite). Make it again.")
    return masks.to("cpu", torch.float32).reshape(-1, *masks.shape[-2:])


def one_photograph(pictures: torch.Tensor) -> torch.Tensor:
    """
    Raises:
        LumosXError: several images.
    """
    photographs = photographs_of(pictures)
    if len(photographs) != 1:
        raise LumosXError(
            f"{len(photographs)} images are connected, expected one photo. Choose one with Image From Batch."
        )
    return photographs[0]


def boxes_of(given) -> list[list[dict]]:
    """A BOUNDING_BOX as nodes give it (a dict, a list of them, or a list for each image) -> a list for each image.

    Raises:
        LumosXError: something else, or a box without a size.
    """
    given = [given] if isinstance(given, dict) else given
    if isinstance(given, (list, tuple)) and all(isinstance(each, dict) for each in given):
        given = [given]
    if not isinstance(given, (list, tuple)) or not all(isinstance(each, (list, tuple)) for each in given):
        raise LumosXError(
            f"The boxes are {_shown(given)}, expected x, y, width and height of each box in pixels. Connect the "
            "BOUNDING_BOX output of a detection node."
        )
    for each in given:
        for box in each:
            if not _is_box(box):
                raise LumosXError(
                    f"A box is {_shown(box)}, expected x, y, width and height in pixels, with a width and a height "
                    "above 0. Connect the BOUNDING_BOX output of a detection node."
                )
    return [list(each) for each in given]


def boxes_of_one(given, what: str) -> list[dict]:
    """The boxes of one photo.

    Raises:
        LumosXError: boxes of several images.
    """
    lists = boxes_of(given)
    if len(lists) > 1:
        raise LumosXError(
            f"{what} has lists of boxes for {len(lists)} images, but there is one photo. Detect in that photo only."
        )
    return lists[0] if lists else []


def box_of(given: dict, image: torch.Tensor) -> Box:
    """
    Raises:
        LumosXError: the box is outside the photo.
    """
    left, top, width, height = (float(given[name]) for name in ("x", "y", "width", "height"))
    box = Box(left, top, left + width, top + height)
    height, width = image.shape[:2]
    if not box.intersection(Box(0, 0, width, height)).area:
        raise LumosXError(
            f"The box {_shown(given)} is outside the photo of {width}x{height} pixels. Detect in the same image that "
            "is connected here, at its original size."
        )
    return box


def given_of(box: Box, label: str, score: float, **more) -> dict:
    """A box as other nodes take it."""
    return {
        "x": float(box.left),
        "y": float(box.top),
        "width": float(box.width),
        "height": float(box.height),
        "label": label,
        "score": float(score),
        **more,
    }


def face_of(given: dict, image: torch.Tensor) -> Face:
    """A face from the box of another node, with score and the five landmarks if it has them."""
    score = given.get("score")
    try:
        points = tuple((float(x), float(y)) for x, y in given.get("landmarks", ()))
    except (TypeError, ValueError):
        points = ()
    # Other nodes know 68 points or 478: which of them are eyes is unknown here.
    return Face(box_of(given, image), float(score) if _is_number(score) else 1.0, points if len(points) == 5 else None)


def drawing(image: torch.Tensor, marks: Sequence[Mark]) -> torch.Tensor:
    """(1, h, w, 3) for a preview."""
    return torch.from_numpy(np.asarray(draw_findings(image, marks), dtype=np.float32) / 255)[None]


def _is_box(value: object) -> bool:
    if not isinstance(value, dict) or not all(_is_number(value.get(name)) for name in ("x", "y", "width", "height")):
        return False
    return value["width"] > 0 and value["height"] > 0


def _is_number(value: object) -> TypeGuard[float]:
    return isinstance(value, numbers.Real) and math.isfinite(value)


def _shown(value) -> str:
    text = repr(value)
    return text if len(text) <= 120 else text[:120] + " ..."
