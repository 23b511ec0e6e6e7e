"""Faces of real people in photos that packages and the shared cases carry, whole and degraded."""

from __future__ import annotations

import importlib.util
import io
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageFilter
from torch import Tensor

from lumosx_core.media.images import read_picture, to_pil, to_tensor

DEGRADED = ("blurred", "JPEG 20", "mirrored", "turned by 12 degrees", "small")


def photos(cases: Path) -> Iterator[Path]:
    """Photos of people of whom nobody is in two: six in the first, one in each other."""
    for package, names in (
        ("insightface", ("data/images/t1.jpg", "data/images/Tom_Hanks_54745.png")),
        ("skimage", ("data/astronaut.png",)),
    ):
        found = importlib.util.find_spec(package)
        folder = Path(found.origin).parent if found and found.origin else Path("missing")
        yield from (folder / name for name in names if (folder / name).is_file())
    yield from sorted(cases.glob("*/subjects/*/*face*"))


def heads(finder, paths) -> list[Tensor]:
    """Each face of the photos with what is around it, as large as the photo has it; faces of 60 pixels or more."""
    found = []
    for path in paths:
        photo = read_picture(path)
        for face in finder.find(photo):
            if face.box.height >= 60:
                found.append(face.box.grown(left=0.5, right=0.5, top=0.4, bottom=0.3).crop(photo).clone())
    return found


def degraded(image: Tensor, how: str) -> Tensor:
    """An image as a bad video shows it.

    Args:
        how: one of `DEGRADED`; anything else leaves it as it is.
    """
    picture = to_pil(image)
    size = picture.size
    if how == "blurred":
        # as far as a face of 100 pixels loses its eyelids
        picture = picture.filter(ImageFilter.GaussianBlur(max(size) / 100))
    elif how == "JPEG 20":
        file = io.BytesIO()
        picture.save(file, "JPEG", quality=20)
        picture = Image.open(file).convert("RGB")
    elif how == "mirrored":
        picture = picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    elif how == "turned by 12 degrees":
        picture = picture.rotate(12, Image.Resampling.BICUBIC, fillcolor=tuple(np.asarray(picture)[0, 0].tolist()))
    elif how == "small":
        # The head in 72 pixels, about 40 of them face, and up again
        ratio = 72 / max(size)
        picture = picture.resize((round(size[0] * ratio), round(size[1] * ratio)), Image.Resampling.LANCZOS)
        picture = picture.resize(size, Image.Resampling.BICUBIC)
    return to_tensor(picture)


def side_by_side(left: Tensor, right: Tensor, *, height: int = 360, width: int = 640) -> Tensor:
    """A frame with a head at the left and one at the right, on grey."""
    frame = torch.full((height, width, 3), 0.5)
    for place, image in enumerate((left, right)):
        picture = to_pil(image)
        ratio = min(0.8 * height / picture.height, 0.45 * width / picture.width)
        pixels = to_tensor(picture.resize((round(picture.width * ratio), round(picture.height * ratio))))
        top, middle = (height - pixels.shape[0]) // 2, width // 4 + place * width // 2
        start = middle - pixels.shape[1] // 2
        frame[top : top + pixels.shape[0], start : start + pixels.shape[1]] = pixels
    return frame
