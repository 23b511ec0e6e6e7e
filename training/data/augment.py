"""Augmentation of reference images, so that a subject is recognised rather than copied (paper, data section).

An image is first scaled to fit inside the video's frame. Then, for subjects and objects:

    geometric  crop of 67-100 % of the area; scaled down at random, the long side to no less than 112 pixels;
               rotated by up to 20 degrees; mirrored
    numerical  brightness, contrast and saturation by up to 5 %; blurred slightly

and last it is put on the white canvas. Backgrounds get the numerical part only ("paper"), or are cropped and turned
too ("code", as the released data loader does). Each part comes with its own probability.
"""

from __future__ import annotations

import math
import random

from PIL import Image, ImageEnhance, ImageFilter, ImageOps

from lumosx_core.errors import LumosXError

CROPPED_AREA = (0.67, 1.0)
CROPPED_ASPECT = 4 / 3  # the crop is at most this much wider or narrower in shape than the image
SMALLEST_SIDE = 112
DEGREES = 20
STRENGTH = 0.05  # of brightness, contrast and saturation
SIGMA = (0.1, 0.5)  # of the blur, pixels
OFTEN, HALF = 0.9, 0.5


def augment(
    picture: Image.Image, height: int, width: int, chance: random.Random, *, background: bool, mode: str
) -> Image.Image:
    """Augment one image and place it on a white canvas.

    Args:
        image: the image, RGB.
        height, width: of the video, in pixels.
        chance: where the randomness comes from.
        background: it shows the background, not a subject or an object.
        mode: "paper" or "code".

    Returns: RGB, of the video's size.
    """
    if mode not in ("paper", "code"):
        raise LumosXError(f"Unknown augmentation {mode!r}. Use paper or code.")
    ratio = min(width / picture.width, height / picture.height)
    size = max(1, int(picture.width * ratio)), max(1, int(picture.height * ratio))
    picture = picture.resize(size, Image.Resampling.BICUBIC)
    if not background or mode == "code":
        picture = _crop(picture, chance)
    if not background:
        picture = _scale_down(picture, chance)
    if (not background or mode == "code") and chance.random() < OFTEN:
        angle = chance.uniform(-DEGREES, DEGREES)
        picture = picture.rotate(angle, Image.Resampling.BICUBIC, fillcolor="white")
    if chance.random() < (HALF if background else OFTEN):
        picture = ImageEnhance.Brightness(picture).enhance(_factor(chance))
    if chance.random() < OFTEN:
        picture = ImageEnhance.Contrast(picture).enhance(_factor(chance))
        picture = ImageEnhance.Color(picture).enhance(_factor(chance))
    if not background and chance.random() < OFTEN:
        picture = ImageOps.mirror(picture)
    if chance.random() < OFTEN:
        picture = _blur(picture, chance.uniform(*SIGMA))
    canvas = Image.new("RGB", (width, height), "white")
    canvas.paste(picture, ((width - picture.width) // 2, (height - picture.height) // 2))
    return canvas


def chance_of(seed: int, key: str, picture: int, variant: int) -> random.Random:
    """The random generator of one image of one sample: the same on every machine and in every order of work."""
    return random.Random(f"{seed}/{picture}/{variant}/{key}")


def _crop(picture: Image.Image, chance: random.Random) -> Image.Image:
    """A crop of random area and shape, scaled back to the image's size."""
    area = chance.uniform(*CROPPED_AREA)
    # The shape varies around the image's own: trousers are long, and must not be cut to a square.
    aspect = math.exp(chance.uniform(-1, 1) * math.log(CROPPED_ASPECT))
    aspect = min(max(aspect, area), 1 / area)  # within the image
    width, height = picture.width * math.sqrt(area * aspect), picture.height * math.sqrt(area / aspect)
    left, top = chance.uniform(0, picture.width - width), chance.uniform(0, picture.height - height)
    right, bottom = min(left + width, picture.width), min(top + height, picture.height)
    return picture.resize(picture.size, Image.Resampling.BICUBIC, box=(left, top, right, bottom))


def _scale_down(picture: Image.Image, chance: random.Random) -> Image.Image:
    longest = max(picture.size)
    if longest <= SMALLEST_SIDE:
        return picture
    ratio = chance.uniform(SMALLEST_SIDE, longest) / longest
    width, height = (max(1, round(side * ratio)) for side in picture.size)
    return picture.resize((width, height), Image.Resampling.BICUBIC)


def _factor(chance: random.Random) -> float:
    return chance.uniform(1 - STRENGTH, 1 + STRENGTH)


def _blur(picture: Image.Image, sigma: float) -> Image.Image:
    """A Gaussian blur with a kernel of 3 x 3."""
    side = math.exp(-0.5 / sigma**2)
    row = (side, 1.0, side)
    return picture.filter(ImageFilter.Kernel((3, 3), [a * b for a in row for b in row]))
