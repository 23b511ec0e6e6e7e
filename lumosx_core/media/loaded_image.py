"""An image file as LumosX Load Image gives it: the subject on a plain background, and the mask of the subject.

Pillow reads the file, so that the pixels do not depend on the version of ComfyUI.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from PIL import Image, ImageChops
from torch import Tensor

from ..errors import LumosXError
from .image_file import has_transparency, opened
from .images import FAINTEST, to_tensor

BACKGROUNDS = ("white", "grey", "black")
PAINTED = ("clipspace-painted-masked-", "clipspace-mask-")  # how ComfyUI's mask editor names what it saves
MARGIN = 0.02  # around cropped content, as a fraction of its longer side


@dataclass(frozen=True)
class LoadedImage:
    """An image and where its subject is."""

    image: Tensor  # (H, W, 3) float32, 0..1
    mask: Tensor  # (H, W) float32, 1 where the subject is


def load_image(
    path: str | Path, background: str = "white", crop_to_content: bool = False, *, painted: bool = False
) -> LoadedImage:
    """Read an image file, upright; everything that is not the subject becomes the background.

    The subject is what is opaque. An image without transparency is all subject.

    Args:
        crop_to_content: keep the box of the subject and a small margin.
        painted: the file comes from ComfyUI's mask editor, which stores what was painted as transparent: that is the
            subject. With nothing painted the whole image is.

    Raises:
        LumosXError: see `image_file.opened`; or the image is wholly transparent.
    """
    if background not in BACKGROUNDS:
        raise LumosXError(f"background {background!r} is not possible. Use one of {', '.join(BACKGROUNDS)}.")
    with opened(path) as image:
        if not has_transparency(image):
            pixels = to_tensor(image.convert("RGB"))
            return LoadedImage(pixels, torch.ones(pixels.shape[:2]))
        image = image.convert("RGBA")
        colours, alpha = image.convert("RGB"), image.getchannel("A")
        del image  # a large photo fills memory with every copy
        if painted and alpha.point(lambda value: 255 - value).getbbox() is not None:  # not opaque everywhere
            alpha = ImageChops.invert(alpha)
        box = alpha.point(lambda value: 255 * (value >= 255 * FAINTEST)).getbbox()
        if box is None:
            raise LumosXError(f"The image {path} is wholly transparent. Save it with something visible in it.")
        if crop_to_content:
            box = _with_margin(box, colours.size)
            colours, alpha = colours.crop(box), alpha.crop(box)
        shown = Image.composite(colours, Image.new("RGB", colours.size, background), alpha)
        del colours
        return LoadedImage(to_tensor(shown), to_tensor(alpha))


def is_painted(path: str | Path) -> bool:
    """Whether a file was saved by ComfyUI's mask editor, by its name."""
    return Path(path).name.startswith(PAINTED)


def _with_margin(box: tuple[int, int, int, int], size: tuple[int, int]) -> tuple[int, int, int, int]:
    left, top, right, bottom = box
    margin = round(MARGIN * max(right - left, bottom - top))
    width, height = size
    return max(0, left - margin), max(0, top - margin), min(width, right + margin), min(height, bottom + margin)
