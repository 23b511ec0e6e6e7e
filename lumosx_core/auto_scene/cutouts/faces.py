"""Faces of a photo: their order, which of them are meant, and the crop the network is shown."""

from __future__ import annotations

import re
from collections.abc import Sequence

import torch
from torch import Tensor

from ...errors import LumosXError, MissingPackageError
from .regions import Box, Face, region_of

ORDERS = ("left to right", "largest first")

# The released benchmark's crop of a detected face: more forehead and hair, a little more chin; fractions of its height.
MARGIN_TOP, MARGIN_BOTTOM = 0.17, 0.03
SPECK = 0.02  # of the largest part of a mask: smaller parts are stray pixels, not faces


def order_faces(faces: Sequence[Face], order: str = ORDERS[0]) -> list[Face]:
    """Faces in one of ORDERS; faces of equal place or size stay as they were.

    Raises:
        LumosXError: an unknown order.
    """
    if order == "left to right":
        return sorted(faces, key=lambda face: face.box.centre)
    if order == "largest first":
        return sorted(faces, key=lambda face: -face.box.area)
    raise LumosXError(f"The order {order!r} of faces is not known. Use one of: {', '.join(ORDERS)}.")


def pick(picks: str, count: int, what: str = "Face") -> list[int]:
    """The places in a list, from 0, of what a text such as "1, 3" picks, counted from 1; an empty text picks all.

    Raises:
        LumosXError: not a list of numbers, or a number above the count.
    """
    if not picks.strip():
        return list(range(count))
    numbers = [part for part in re.split(r"[,;\s]+", picks.strip()) if part]
    chosen = []
    for number in numbers:
        if not re.fullmatch("[0-9]{1,6}", number):
            raise LumosXError(f"{number!r} in picks, {picks!r}, is not a number. Write it as: 1, 3")
        if not 1 <= int(number) <= count:
            raise LumosXError(
                f"{what} {int(number)} is asked for, but there are {count}. Use numbers from 1 to {count}, or lower "
                f"the threshold."
            )
        chosen.append(int(number) - 1)
    return chosen


def crop_face(image: Tensor, face: Face) -> Tensor:
    """(H, W, 3) photo -> the face with the margin of the released benchmark, (h, w, 3), cut at the photo's edges.

    A head that lies or is upside down is turned upright.
    """
    return face_crop_box(face).crop(image).rot90(face.turns, (0, 1))


def face_crop_box(face: Face) -> Box:
    """What is shown of a face; it may reach beyond the photo."""
    return face.box.turned(face.turns).grown(top=MARGIN_TOP, bottom=MARGIN_BOTTOM).turned(-face.turns)


def faces_of_masks(masks: Tensor) -> list[Face]:
    """A face for each part of each mask: parts that do not touch are different faces.

    Args:
        masks: (N, H, W) float, 0 outside, 1 inside.

    Raises:
        MissingPackageError: scipy is not installed.
        LumosXError: all masks are empty.
    """
    try:
        from scipy import ndimage
    except ImportError as error:
        raise MissingPackageError("scipy", "Telling the faces of one mask apart", error) from error
    faces = []
    for mask in masks:
        labels, _ = ndimage.label((mask >= 0.5).cpu().numpy(), structure=[[1, 1, 1]] * 3)
        labels = torch.from_numpy(labels)
        sizes = torch.bincount(labels.flatten())[1:]
        for number, size in enumerate(sizes.tolist(), 1):
            if size >= SPECK * int(sizes.max()):
                faces.append(Face(region_of((labels == number).float()).box))
    if not faces:
        raise LumosXError(
            "The mask of faces is empty, as Load Image gives for an image without transparency. Connect a mask that "
            "is white where faces are, or disconnect it."
        )
    return faces
