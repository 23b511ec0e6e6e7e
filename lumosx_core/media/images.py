"""Reference images: read from files, cut out of their surroundings, fitted on the white canvas the network sees."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from ..errors import LumosXError
from ..files.safetensors_file import all_finite
from .image_file import eight_bit, has_transparency, opened

FAINTEST = 0.02  # of a mask: fainter than this is noise of a segmentation, not part of the subject


def read_picture(path: str | Path) -> Tensor:
    """Read an image file as RGB, upright; a transparent one is cut out on white and cropped to its visible part.

    Returns: (H, W, 3) float32, 0..1, sRGB. Images above 33 million pixels are reduced by a whole factor.

    Raises:
        LumosXError: see `opened`; or the image is wholly transparent.
    """
    with opened(path) as image:
        return to_tensor(_visible_part(image, path) if has_transparency(image) else image.convert("RGB"))


def read_mask(path: str | Path) -> Tensor:
    """Read an image file as a mask: its largest channel, and where it is transparent, 0.

    Returns: (H, W) float32, 0..1, of the image's own size, or reduced as `read_picture` reduces.

    Raises:
        LumosXError: see `opened`.
    """
    with opened(path, data=True) as image:
        if not has_transparency(image):
            return to_tensor(image.convert("RGB")).amax(dim=-1)
        values = to_tensor(image.convert("RGBA"))
        return values[..., :3].amax(dim=-1) * values[..., 3]


def cut_out(image: Tensor, mask: Tensor) -> Tensor:
    """Cut a subject out of an image: white around it, cropped to its box; a soft edge fades into the white.

    The training images were made this way (pixels outside the mask white, then the box).

    Args:
        image: (H, W, 3) float, 0..1.
        mask: (H, W), 0 outside, 1 inside the subject.

    Returns: (h, w, 3) float, 0..1.

    Raises:
        LumosXError: the mask has another size than the image, contains nothing, or values that are not numbers.
    """
    if mask.ndim != 2 or mask.shape != image.shape[:2]:
        raise LumosXError(
            f"The mask has shape {tuple(mask.shape)}, the image is {image.shape[0]} pixels high and "
            f"{image.shape[1]} wide. Give one mask of the image's own size, ({image.shape[0]}, {image.shape[1]})."
        )
    if not all_finite(mask):
        raise LumosXError("The mask has values that are not numbers (NaN or infinite). Make it again.")
    visible = mask >= FAINTEST
    rows, columns = visible.any(dim=1).nonzero(), visible.any(dim=0).nonzero()
    if not len(rows):
        raise LumosXError("The mask is empty, so nothing of the image is left. Mask the subject, or leave it out.")
    box = slice(int(rows[0]), int(rows[-1]) + 1), slice(int(columns[0]), int(columns[-1]) + 1)
    opacity = mask[box].to(image).clamp(0, 1).unsqueeze(-1)
    return image[box] * opacity + (1 - opacity)


def fit_on_canvas(image: Tensor | Image.Image, height: int, width: int) -> Tensor:
    """Fit an image into a white canvas, centred, its proportions kept, as the released model was fed.

    Args:
        image: (H, W, 3) float 0..1, rounded to 8 bit; or a Pillow image, which is scaled in its own mode as released:
            palettes without interpolation, and the transparency of RGBA ignored.
        height, width: of the canvas, in pixels.

    Returns: (height, width, 3) float32, 0..1.
    """
    if height < 1 or width < 1:
        raise LumosXError(f"A canvas of height {height} and width {width} has no pixels. Use 1 or more.")
    image = to_pil(image) if isinstance(image, Tensor) else image
    if image.mode.startswith(("I", "F")):  # Pillow would clip these to 255
        image = eight_bit(image, "given")
    ratio = min(width / image.width, height / image.height)
    # Truncated as released: it can lose one pixel. A hair-thin image keeps at least one.
    size = max(1, int(image.width * ratio)), max(1, int(image.height * ratio))
    canvas = Image.new("RGB", (width, height), "white")
    canvas.paste(image.resize(size, Image.Resampling.BICUBIC), ((width - size[0]) // 2, (height - size[1]) // 2))
    return to_tensor(canvas)


def to_pil(image: Tensor) -> Image.Image:
    """An (H, W, 3) image of 0..1 as an 8-bit RGB image."""
    values = image.detach().to("cpu", torch.float32, copy=True)
    return Image.fromarray(values.mul_(255).round_().clamp_(0, 255).to(torch.uint8).numpy())


def to_tensor(image: Image.Image) -> Tensor:
    """An image of bytes as float32, 0..1: (H, W) or (H, W, channels)."""
    return torch.from_numpy(np.array(image)).to(torch.float32).div_(255)


def _visible_part(image: Image.Image, path: str | Path) -> Image.Image:
    image = image.convert("RGBA")
    box = image.getchannel("A").point(lambda value: 255 * (value >= 255 * FAINTEST)).getbbox()
    if box is None:
        raise LumosXError(f"The image {path} is wholly transparent. Save it with something visible in it.")
    image = image.crop(box)
    return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")
