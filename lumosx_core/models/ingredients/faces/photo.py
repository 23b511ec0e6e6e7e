"""Photos of people to aligned crops of their faces, and images that are crops already."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

import torch
from PIL import Image
from torch import Tensor

from ....errors import LumosXError, shown
from ....media.images import to_pil, to_tensor
from ....scene.scene import Reference
from .align import BORDER, CROP, aligned_crop, check_values, fraction_inside
from .shrink import shrunk

log = logging.getLogger(__name__)

SMALLEST_FACE = 112
"""Pixels of a face below which it is blurred in its crop: as many as the recogniser sees."""

LEAST_INSIDE = 0.6
"""Fraction of a crop that a photo should cover: a photo that ends at the chin and the forehead covers less."""

_SMALLEST_PHOTO = 16  # pixels of a side
_LONGEST = 4.0  # width to height of an image that is taken for a crop, or height to width

Which = Literal["best", "all"] | int
"""Which faces of a photo: the one with the highest score, all from left to right, or one by its number from the left,
from 1 on."""


class FoundBox(Protocol):
    """A rectangle in pixels of a photo."""

    @property
    def left(self) -> float: ...
    @property
    def top(self) -> float: ...
    @property
    def right(self) -> float: ...
    @property
    def bottom(self) -> float: ...


class FoundFace(Protocol):
    """A face as a detector gives it."""

    @property
    def box(self) -> FoundBox: ...
    @property
    def score(self) -> float: ...
    @property
    def landmarks(self) -> Sequence[Sequence[float]] | None:
        """Five (x, y) in pixels, see `align`; None if the detector knows none."""


FindFaces = Callable[[Tensor], Sequence[FoundFace]]
"""All faces in an (H, W, 3) photo of 0..1, in any order."""


@dataclass(frozen=True, eq=False)
class AlignedFace:
    """A face of a photo.

    Args:
        crop: (512, 512, 3) float32 of 0..1.
        box: left, top, right, bottom in pixels of the photo.
        score: of the detector, 0..1.
        landmarks: five (x, y) in pixels of the photo.
    """

    crop: Tensor
    box: tuple[float, float, float, float]
    score: float
    landmarks: tuple[tuple[float, float], ...]


def aligned_faces(
    photo: Tensor,
    find_faces: FindFaces,
    *,
    which: Which = "best",
    name: str = "The photo",
    warn: Callable[[str], None] = log.warning,
) -> list[AlignedFace]:
    """Faces of a photo, each upright in the middle of a square.

    The photo is shrunk to a long side of 1024 pixels first, as in the released code, and the detector sees that.

    Args:
        photo: (H, W, 3) float of 0..1, RGB.
        find_faces: the detector. The release has a RetinaFace of its own; any detector of five landmarks does.
        which: which of its faces.
        name: what messages call the photo.
        warn: called with a sentence where another choice may be better: there are several faces and the best one was
            taken, or a face is small.

    Raises:
        LumosXError: it is not a photo, there is no face, not the one that was chosen, or one without landmarks.
    """
    _check_photo(photo, name)
    small = shrunk(photo)
    # From left to right: people count the faces of a photo so.
    faces = sorted(find_faces(small), key=lambda face: face.box.left + face.box.right)
    if not faces:
        raise LumosXError(
            f"{name} shows no face that the detector finds. Use a photo in which the face is larger, sharper or less "
            f"turned away, or give an aligned crop of it as it is."
        )
    for face in faces:
        if not all(map(math.isfinite, (*_corners(face.box), face.score))):
            raise LumosXError(
                f"{name}: the detector gives a box or a score that is not a number. Use another detector."
            )
    chosen = _chosen(faces, which, name, warn)
    scale_x, scale_y = photo.shape[1] / small.shape[1], photo.shape[0] / small.shape[0]
    aligned = []
    for face in chosen:
        where = name if len(faces) == 1 else f"{name}, face {faces.index(face) + 1} from the left"
        if face.landmarks is None:
            raise LumosXError(
                f"{where}: the detector gives no landmarks, by which faces are aligned. Use a detector that finds "
                f"eyes, nose and mouth, such as SCRFD or RetinaFace, or give an aligned crop as it is."
            )
        try:
            crop = aligned_crop(small, face.landmarks)
        except LumosXError as error:
            raise LumosXError(f"{where} cannot be aligned. {error}") from error
        for warning in _warnings(face, photo, small):
            warn(f"{where}: {warning}")
        left, top, right, bottom = _corners(face.box)
        aligned.append(
            AlignedFace(
                crop,
                (left * scale_x, top * scale_y, right * scale_x, bottom * scale_y),
                float(face.score),
                tuple((float(x) * scale_x, float(y) * scale_y) for x, y in face.landmarks),
            )
        )
    return aligned


def face_crops(faces: Sequence[tuple[str, Reference]], find_faces: FindFaces | None) -> list[Tensor]:
    """The crop of each face image of a scene, see `faces_of`.

    Args:
        find_faces: the detector; None: the images are aligned crops already.

    Raises:
        LumosXError: see `aligned_faces` and `fitted_crop`; the message names the subject.
    """
    crops = []
    for owner, face in faces:
        name = f"The face image of {owner}"
        if find_faces is None:
            crops.append(fitted_crop(face.image, name))
        else:
            crops.append(aligned_faces(face.image, find_faces, name=name)[0].crop)
    return crops


def fitted_crop(image: Tensor, name: str = "The image") -> Tensor:
    """An image that is an aligned crop already, or a drawn face, as a crop: nothing is sought in it.

    A square one is resized. Another is resized whole and padded with the colour that crops have beyond the edge of
    their photo, so that nothing of it is lost or stretched.

    Args:
        image: (H, W, 3) float of 0..1, RGB.
        name: what messages call it.

    Returns: (512, 512, 3) float32 of 0..1, in whole 255ths.

    Raises:
        LumosXError: it is not an image, or more than four times as long as it is wide.
    """
    _check_photo(image, name)
    height, width = image.shape[:2]
    if max(height, width) > _LONGEST * min(height, width):
        raise LumosXError(
            f"{name} has {width}x{height} pixels, expected about a square with a face in it. Crop it around the head."
        )
    scale = CROP / max(height, width)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    canvas = Image.new("RGB", (CROP, CROP), BORDER)
    at = (CROP - size[0]) // 2, (CROP - size[1]) // 2
    canvas.paste(to_pil(image).resize(size, Image.Resampling.BICUBIC), at)
    return to_tensor(canvas)


def _chosen(faces: Sequence[FoundFace], which: Which, name: str, warn: Callable[[str], None]) -> Sequence[FoundFace]:
    """The faces that are meant, of one or more, which are in order from the left."""
    if which == "all":
        return faces
    if which == "best":
        best = max(range(len(faces)), key=lambda i: (faces[i].score, _area(faces[i].box)))
        if len(faces) > 1:
            warn(
                f"{name} shows {len(faces)} faces ({_listed(faces)}). Face {best + 1}, which the detector is surest "
                f"of, is used. Choose another by its number from the left, or crop the photo around one."
            )
        return [faces[best]]
    if isinstance(which, bool) or not isinstance(which, int):
        raise LumosXError(
            f'Face {shown(which)!r} of a photo is not a choice. Use "best", "all", or a number from 1 on.'
        )
    if not 1 <= which <= len(faces):
        raise LumosXError(
            f"{name} has no face {which}: the detector finds {len(faces)} ({_listed(faces)}). Use a number from 1 to "
            f"{len(faces)}, counted from the left."
        )
    return [faces[which - 1]]


def _listed(faces: Sequence[FoundFace]) -> str:
    each = []
    for number, face in enumerate(faces[:8], 1):
        width, height = face.box.right - face.box.left, face.box.bottom - face.box.top
        each.append(f"{number}: {width:.0f}x{height:.0f} pixels, score {face.score:.2f}")
    return "from the left " + "; ".join(each) + (f"; and {len(faces) - 8} more" if len(faces) > 8 else "")


def _corners(box: FoundBox) -> tuple[float, float, float, float]:
    return box.left, box.top, box.right, box.bottom


def _area(box: FoundBox) -> float:
    return max(0.0, box.right - box.left) * max(0.0, box.bottom - box.top)


def _warnings(face: FoundFace, photo: Tensor, small: Tensor) -> Iterator[str]:
    """What makes a crop worse than it could be."""
    size = round(min(face.box.right - face.box.left, face.box.bottom - face.box.top))
    if size < SMALLEST_FACE:
        wanted = f"Use one in which it has {SMALLEST_FACE} or more."
        if small.shape == photo.shape:
            yield f"the face has only {size} pixels, so its crop is blurred. {wanted}"
        else:
            yield (
                f"the face has only {size} pixels once the photo of {photo.shape[1]}x{photo.shape[0]} is shrunk to "
                f"{small.shape[1]}x{small.shape[0]}, so its crop is blurred. Crop the photo around the head and "
                f"shoulders. {wanted}"
            )
    inside = fraction_inside(face.landmarks or (), *small.shape[:2])
    if inside < LEAST_INSIDE:
        yield (
            f"the photo ends so near to the face that it covers only {inside:.0%} of the crop, and the rest is grey. "
            f"Use one with room around the head."
        )


def _check_photo(photo: Tensor, name: str) -> None:
    if not isinstance(photo, torch.Tensor) or photo.ndim != 3 or photo.shape[2] != 3:
        found = tuple(photo.shape) if isinstance(photo, torch.Tensor) else type(photo).__name__
        raise LumosXError(f"{name} is {found}, expected an RGB image of shape (height, width, 3).")
    height, width = photo.shape[:2]
    if min(height, width) < _SMALLEST_PHOTO:
        raise LumosXError(
            f"{name} has {width}x{height} pixels, expected {_SMALLEST_PHOTO} or more on each side. Use the photo "
            f"itself, not a thumbnail of it."
        )
    check_values(photo, name, "Load it again.")
