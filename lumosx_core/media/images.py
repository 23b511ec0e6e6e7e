"""Reference images: read from files, cut out of their surroundings, fitted on the white canvas the network sees."""

from __future__ import annotations

import io
import logging
import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageCms, ImageOps, UnidentifiedImageError
from torch import Tensor

from ..errors import LumosXError

log = logging.getLogger(__name__)

# Decoders that only read pixels. EPS, for one, would start an interpreter.
FORMATS = {"PNG", "JPEG", "MPO", "WEBP", "AVIF", "BMP", "TIFF", "GIF", "PPM", "TGA", "JPEG2000"}
SUFFIXES = {".png", ".jpg", ".jpeg", ".jfif", ".webp", ".avif", ".bmp", ".tif", ".tiff", ".gif", ".ppm", ".tga", ".jp2"}
MAX_PIXELS = 178_956_970  # more is taken for a decompression bomb (also Pillow's own limit)
KEPT_PIXELS = 2**25  # more is halved, thirded, ... on reading: 33 million are 400 MB as float32
_HEIF_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")
FAINTEST = 0.02  # of a mask: fainter than this is noise of a segmentation, not part of the subject


def read_picture(path: str | Path) -> Tensor:
    """Read an image file as RGB, upright; a transparent one is cut out on white and cropped to its visible part.

    Returns: (H, W, 3) float32, 0..1. Images above 33 million pixels are reduced by a whole factor.

    Raises:
        LumosXError: no such file, not an image, damaged, animated, of an unknown range of values, wholly
            transparent, or too large.
    """
    with opened(path) as image:
        return to_tensor(reduced(_visible_part(image, path) if has_transparency(image) else rgb(image), path))


@contextmanager
def opened(path: str | Path) -> Iterator[Image.Image]:
    """The one still image of a file, decoded and upright; whatever goes wrong with it is a LumosXError with its path.

    16-bit grey arrives as 8-bit grey; all other modes as in the file.

    Raises:
        LumosXError: no such file, not an image, damaged, animated, of an unknown range of values, or too large.
    """
    path = Path(path)
    try:
        with Image.open(path, formats=_formats()) as image:
            yield _upright(image, path)
    except LumosXError:
        raise
    except FileNotFoundError as error:
        raise LumosXError(f"There is no image {path}. Check the path.") from error
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise _too_large(path, str(error)) from error
    except UnidentifiedImageError as error:
        raise LumosXError(f"Cannot read the image {path}: {_unreadable_kind(path)}") from error
    except Exception as error:  # on damaged bytes a decoder raises almost anything
        raise LumosXError(
            f"Cannot read the image {path}: the file is damaged or not accessible ({error}). "
            f"Get the file again, or save it again as PNG or JPEG."
        ) from error


def _unreadable_kind(path: Path) -> str:
    """What a file is that no decoder takes, by its first bytes, and how to convert it."""
    with path.open("rb") as file:
        head = file.read(256)
    if not head:
        return "the file is empty. Save it again as PNG or JPEG."
    if head[4:8] == b"ftyp" and head[8:12] in _HEIF_BRANDS:
        return (
            "it is a HEIC photo, as iPhones save them, which is not read here. Open it in your photo app and export "
            "it as JPEG (on the iPhone: Settings > Camera > Formats > Most Compatible saves new photos as JPEG)."
        )
    if head[4:8] == b"ftyp":
        kind = "an AVIF image, which this installation of Pillow cannot read" if b"avi" in head[8:32] else "a video"
        return f"it is {kind}. Save the image as PNG or JPEG."
    if head.lstrip()[:5].lower() in (b"<?xml", b"<svg ", b"<!doc", b"<html"):
        return "it is a text file such as SVG or a web page. Export the image as PNG."
    return "it is not an image, or of a kind not read here. Save it again as PNG or JPEG."


def cut_out(image: Tensor, mask: Tensor) -> Tensor:
    """Cut a subject out of an image: white around it, cropped to its box; a soft edge fades into the white.

    The training images were made this way (pixels outside the mask white, then the box).

    Args:
        image: (H, W, 3) float, 0..1.
        mask: (H, W), 0 outside, 1 inside the subject.

    Returns: (h, w, 3) float, 0..1.

    Raises:
        LumosXError: the mask has another size than the image, or contains nothing.
    """
    if mask.ndim != 2 or mask.shape != image.shape[:2]:
        raise LumosXError(
            f"The mask has shape {tuple(mask.shape)}, the image is {image.shape[0]} pixels high and "
            f"{image.shape[1]} wide. Give one mask of the image's own size, ({image.shape[0]}, {image.shape[1]})."
        )
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


def _formats() -> list[str]:
    Image.init()
    return sorted(FORMATS & set(Image.OPEN))  # AVIF, for one, is not part of every Pillow


def _too_large(path: Path, detail: str) -> LumosXError:
    return LumosXError(
        f"The image {path} is too large to be safe to open ({detail}). Save it at {MAX_PIXELS // 10**6} million "
        f"pixels or fewer; a video needs far less than 10."
    )


def _upright(image: Image.Image, path: Path) -> Image.Image:
    if image.width * image.height > MAX_PIXELS:  # the host may have switched Pillow's own limit off
        raise _too_large(path, f"{image.width} x {image.height} pixels")
    # A phone's MPO holds one photo and extras such as its depth.
    frames = 1 if image.format == "MPO" else getattr(image, "n_frames", 1)
    if frames > 1:
        raise LumosXError(
            f"The image {path} holds {frames} images (it is animated, or has pages). Save the one you mean as PNG."
        )
    image.load()
    image = ImageOps.exif_transpose(image)
    if image.mode.startswith(("I", "F")):
        key, values, image = image.info.get("transparency"), np.array(image), eight_bit(image, path)
        if key is not None:  # one grey of a PNG is transparent
            image = Image.merge("LA", (image, Image.fromarray(np.where(values == key, 0, 255).astype(np.uint8))))
    if image.mode not in ("RGB", "RGBA"):
        log.info("%s is an image of mode %s: converted to RGB", path, image.mode)
    return image


def reduced(image: Image.Image, path: str | Path) -> Image.Image:
    """The image, reduced by a whole factor if it has more than KEPT_PIXELS."""
    if image.width * image.height <= KEPT_PIXELS:
        return image
    factor = math.ceil(math.sqrt(image.width * image.height / KEPT_PIXELS))
    log.info("%s is large (%d x %d): reduced %d times", path, image.width, image.height, factor)
    return image.reduce(factor)


def _visible_part(image: Image.Image, path: str | Path) -> Image.Image:
    image = image.convert("RGBA")
    box = image.getchannel("A").point(lambda value: 255 * (value >= 255 * FAINTEST)).getbbox()
    if box is None:
        raise LumosXError(f"The image {path} is wholly transparent. Save it with something visible in it.")
    image = image.crop(box)
    return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")


def has_transparency(image: Image.Image) -> bool:
    """Whether the image has an alpha channel, or one colour or palette entry that is transparent."""
    return "transparency" in image.info or image.getbands()[-1] in ("A", "a")


def eight_bit(image: Image.Image, path: Path | str) -> Image.Image:
    """Scale 16-bit grey to 8 bit; Pillow's own conversion would clip it to white."""
    values = np.array(image)
    if image.mode == "F" or values.min() < 0 or values.max() > 65535:
        raise LumosXError(
            f"The image {path} has values from {values.min():g} to {values.max():g}, and its white is not known. "
            f"Save it with 8 or 16 bits a channel."
        )
    log.info("%s is a 16-bit image: scaled to 8 bit", path)
    return Image.fromarray(np.rint(np.arange(65536) / 257).astype(np.uint8)[values])


def rgb(image: Image.Image) -> Image.Image:
    """An opaque image in RGB; the inks of a CMYK one by its own profile."""
    profile = image.info.get("icc_profile")
    if image.mode == "CMYK" and profile:
        # What the inks look like is only in the profile; without it Pillow's plain formula has to do.
        try:
            converted = ImageCms.profileToProfile(
                image, io.BytesIO(profile), ImageCms.createProfile("sRGB"), outputMode="RGB"
            )
            assert converted is not None  # None only where the image is converted in place
            return converted
        except ImageCms.PyCMSError as error:
            log.warning("The colour profile of a CMYK image is not usable (%s): plain conversion", error)
    return image.convert("RGB")
