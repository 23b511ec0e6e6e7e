"""One image file opened: within bounds, decoded, upright, 8 bits a channel, in sRGB; or refused with a LumosXError.

Sizes are known before anything is decoded, so that a small file which unfolds into gigabytes is refused. A large photo
is reduced by a whole factor as soon as it is decoded, strip by strip.
"""

from __future__ import annotations

import logging
import math
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import Image, ImageFile, UnidentifiedImageError

from ..errors import LumosXError
from .image_colour import StatedColour, grey_levels, in_srgb, stated_colour
from .image_kinds import is_regular, kind_by_name, why_no_heif, why_unreadable

log = logging.getLogger(__name__)

# Decoders that only read pixels. EPS, for one, would start an interpreter.
FORMATS = {"PNG", "JPEG", "MPO", "WEBP", "AVIF", "BMP", "TIFF", "GIF", "PPM", "TGA", "JPEG2000"}
MAX_PIXELS = 110_000_000  # more is taken for a decompression bomb; phones and studio cameras give up to 108 million
SLOW_PIXELS = {"WEBP": 40_000_000, "AVIF": 2**26, "HEIF": 2**26, "JPEG2000": 2**24}  # where decoding costs more
WIDE_PIXELS = 2**26  # of images with alpha or more than 8 bits a channel
MAX_SIDE = 65_535  # a decoder may hold whole rows beside the image
KEPT_PIXELS = 2**25  # more is halved, thirded, ... on reading: 33 million are 400 MB as float32
MAX_FRAMES = 4096
_STRIP = 2**22  # pixels reduced at once
_HEAD = 256  # bytes that tell what a file is

_COUNTED = 64  # pages of a TIFF
_PROGRESSIVE_PIXELS = 50_000_000  # of a JPEG whose coefficients are all kept until the end
_DNG_VERSION, _SUBFILE_TYPE, _ORIENTATION, _PHOTOMETRIC = 50706, 254, 274, 262  # tags of TIFF
_LOADING = threading.Lock()
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


@contextmanager
def opened(path: str | Path, *, data: bool = False) -> Iterator[Image.Image]:
    """The one still image of a file: decoded, upright, in sRGB, of modes 1, L, LA, P, RGB or RGBA.

    Of a phone's MPO or HEIC, which may hold extras such as depth, the photo. Images above 33 million pixels are reduced
    by a whole factor.

    Args:
        data: the numbers are no colours but a mask's: what the file says of its colours is left out.

    Raises:
        LumosXError: no such file, not a file of bytes, not an image or of a kind not read here, damaged, animated, of
            an unknown range of values, or too large.
    """
    path = Path(path)
    with _file(path) as image:
        if (count := _frame_count(image, path)) != "1":
            raise LumosXError(
                f"The image {path} holds {count} images (it is animated, or has pages). Save the one you mean as PNG."
            )
        yield _finished(image, StatedColour() if data else stated_colour(image, path), path)


def read_frames(path: str | Path, *, data: bool = False) -> list[Image.Image]:
    """Every frame of an image file that has the size of the first, each like `opened`; a still image gives one.

    Raises:
        LumosXError: as for `opened`, except that animations and pages are read; together they must be no more than 33
            million pixels.
    """
    path = Path(path)
    frames: list[Image.Image] = []
    with _file(path) as image:
        stated = StatedColour() if data else stated_colour(image, path)
        still = image.format in ("MPO", "HEIF") or _frame_count(image, path) == "1"
        if still:
            return [_finished(image, stated, path).copy()]
        pixels = 0
        for number in range(MAX_FRAMES + 1):
            try:
                image.seek(number)
            except EOFError:
                break
            pixels += image.width * image.height
            if pixels > KEPT_PIXELS or number == MAX_FRAMES:
                raise LumosXError(
                    f"The image {path} has too many frames, or too large ones, of {image.width} x {image.height} "
                    f"pixels. Together {KEPT_PIXELS // 10**6} million pixels and {MAX_FRAMES} frames are read. Save "
                    f"the one that you mean as PNG."
                )
            frame = _finished(image, stated, path)
            if not frames or frame.size == frames[0].size:
                frames.append(frame.copy())
    return frames


def has_transparency(image: Image.Image) -> bool:
    """Whether the image has an alpha channel, or one colour or palette entry that is transparent."""
    return "transparency" in image.info or image.getbands()[-1] in ("A", "a")


def eight_bit(image: Image.Image, path: Path | str, levels: np.ndarray | None = None) -> Image.Image:
    """Scale 16-bit grey to 8 bit; Pillow's own conversion would clip it to white.

    Args:
        levels: (65536) uint8, what each value becomes; None: in proportion.
    """
    values = np.array(image)
    if image.mode == "F" or values.min() < 0 or values.max() > 65535:
        odd = (
            "values that are not numbers (NaN or infinite)"
            if not np.isfinite(values).all()
            else (f"values from {values.min():g} to {values.max():g}")
        )
        raise LumosXError(
            f"The image {path} has {odd}, and its white is not known. Save it with 8 or 16 bits a channel."
        )
    log.info("%s is a 16-bit image: scaled to 8 bit", path)
    if levels is None:
        levels = grey_levels(StatedColour(), 65536)
    return Image.fromarray(levels[values])


@contextmanager
def _file(path: Path) -> Iterator[Image.Image]:
    """An image file whose size is within bounds, not decoded yet."""
    try:
        if not is_regular(path):
            raise LumosXError(f"Cannot read the image {path}: it is a folder, a pipe or a device. Give an image file.")
        # The file itself, not its path: of a path Pillow maps the pixels, and then takes a grey TIFF of a camera held
        # upright for one of another size.
        with path.open("rb") as file:
            head = file.read(_HEAD)
            file.seek(0)
            if head[:4] in (b"II*\0", b"MM\0*") and (kind := kind_by_name(path.name)):
                raise LumosXError(f"Cannot read the image {path}: it is {kind[0]}, which is not read here. {kind[1]}")
            with _decoder(path, file, head) as image:
                _check_size(image, path)
                _check_no_preview(image, path)
                yield image
    except LumosXError:
        raise
    except (FileNotFoundError, NotADirectoryError) as error:
        raise LumosXError(f"There is no image {path}. Check the path.") from error
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise _too_large(path, str(error), MAX_PIXELS) from error
    except UnidentifiedImageError as error:
        raise LumosXError(f"Cannot read the image {path}: {why_unreadable(path, head)}") from error
    except Exception as error:  # on damaged bytes a decoder raises almost anything
        detail = str(error).replace("\n", " ")[:200] or type(error).__name__
        raise LumosXError(
            f"Cannot read the image {path}: the file is damaged or not accessible ({detail}). "
            f"Get the file again, or save it again as PNG or JPEG."
        ) from error


def _decoder(path: Path, file: BinaryIO, head: bytes) -> Image.Image:
    if head[4:8] == b"ftyp" and b"avi" not in head[8:32]:
        return _heif(path, file, head)
    Image.init()
    return Image.open(file, formats=sorted(FORMATS & set(Image.OPEN)))  # AVIF, for one, is not part of every Pillow


def _heif(path: Path, file: BinaryIO, head: bytes) -> Image.Image:
    """A HEIC photo, by pillow-heif's class itself: registered, it would change Pillow for the whole of ComfyUI."""
    why = why_unreadable(path, head)
    if why != why_no_heif():
        raise UnidentifiedImageError(why)
    try:
        from pillow_heif import HeifImageFile
    except ImportError:
        raise UnidentifiedImageError(why) from None
    try:
        image: Image.Image = HeifImageFile(file)
    except SyntaxError as error:  # how a decoder of Pillow's says that it does not know the bytes
        raise UnidentifiedImageError(str(error)) from error
    return image


def _check_size(image: Image.Image, path: Path) -> None:
    most = SLOW_PIXELS.get(image.format or "", MAX_PIXELS)
    if image.mode not in ("1", "L", "P", "RGB", "CMYK", "YCbCr"):
        most = min(most, WIDE_PIXELS)
    if image.info.get("progressive"):
        most = min(most, _PROGRESSIVE_PIXELS)
    # The host may have switched Pillow's own limit off.
    if image.width * image.height > most or max(image.size) > MAX_SIDE:
        raise _too_large(path, f"{image.width} x {image.height} pixels", most)


def _check_no_preview(image: Image.Image, path: Path) -> None:
    """Raise LumosXError for a raw photo in the clothes of a TIFF, whose first image is a thumbnail."""
    tags = getattr(image, "tag_v2", None)
    if image.format == "TIFF" and tags is not None and (_DNG_VERSION in tags or tags.get(_SUBFILE_TYPE) == 1):
        raise LumosXError(
            f"Cannot read the image {path}: it is a raw photo of a camera, and only its thumbnail could be read. "
            f"Develop it in your photo app, and export it as JPEG or PNG."
        )


def _too_large(path: Path, detail: str, most: int) -> LumosXError:
    return LumosXError(
        f"The image {path} is too large to be safe to open ({detail}). Save it at {most // 10**6} million "
        f"pixels or fewer; a video needs far less than 10."
    )


def _frame_count(image: Image.Image, path: Path) -> str:
    """How many images a file holds, in words: long files are not counted to the end."""
    if image.format in ("MPO", "HEIF"):
        return "1"
    if image.format == "TIFF":  # each page is a jump to its header
        count = 1
        while count <= _COUNTED:
            try:
                image.seek(count)
            except EOFError:
                image.seek(0)
                return str(count)
            count += 1
        return "many"
    if not getattr(image, "is_animated", False):
        return "1"
    if image.format == "GIF" and path.stat().st_size > 2**20:
        return "many"
    return str(getattr(image, "n_frames", 1))


def _finished(image: Image.Image, stated: StatedColour, path: Path) -> Image.Image:
    """Decode the frame that a file is at, and bring it into the form that `opened` promises."""
    _load(image)
    mode, turn = image.mode, _turn(image, path)
    if mode not in ("RGB", "RGBA"):
        log.info("%s is an image of mode %s: converted to RGB", path, mode)
    levels = grey_levels(stated, 65536) if mode.startswith("I") else None
    if levels is not None and _is_negative(image):
        levels = levels[::-1]  # what Pillow does for 8 bits only
    if levels is not None and stated.profile is None:
        stated = StatedColour()  # done by the levels, which know all 16 bits

    def plain(part: Image.Image) -> Image.Image:
        if part.mode.startswith(("I", "F")):
            key, values, part = part.info.get("transparency"), np.array(part), eight_bit(part, path, levels)
            if key is not None:  # one grey of a PNG is transparent
                part = Image.merge("LA", (part, Image.fromarray(np.where(values == key, 0, 255).astype(np.uint8))))
        return part

    factor = _factor(image, path)
    if factor == 1:
        image = plain(image)
    else:
        decoded, image = image, _in_strips(image, factor, plain)
        decoded.close()  # gives its memory back
    image = in_srgb(image if turn is None else image.transpose(turn), stated, path)
    return image if image.mode in ("1", "L", "LA", "P", "PA", "RGB", "RGBA") else image.convert("RGB")


def _turn(image: Image.Image, path: Path) -> Image.Transpose | None:
    """What brings an image upright, by its EXIF data."""
    try:
        return _TURNS.get(image.getexif().get(_ORIENTATION, 1))
    except Exception as error:  # its pixels are good, and other programs show them as they are stored
        log.warning("The EXIF data of %s is damaged (%s): it is taken as upright", path, str(error)[:100])
        return None


def _load(image: Image.Image) -> None:
    """Decode; a truncated file is an error also where another node of the host lets Pillow fill it with grey."""
    with _LOADING:
        lenient, ImageFile.LOAD_TRUNCATED_IMAGES = ImageFile.LOAD_TRUNCATED_IMAGES, False
        try:
            image.load()
        finally:
            ImageFile.LOAD_TRUNCATED_IMAGES = lenient


def _is_negative(image: Image.Image) -> bool:
    """Whether 0 is white in a TIFF."""
    tags = getattr(image, "tag_v2", None)
    return image.format == "TIFF" and tags is not None and tags.get(_PHOTOMETRIC) == 0


def _factor(image: Image.Image, path: str | Path) -> int:
    if image.width * image.height <= KEPT_PIXELS:
        return 1
    factor = math.ceil(math.sqrt(image.width * image.height / KEPT_PIXELS))
    log.info("%s is large (%d x %d): reduced %d times", path, image.width, image.height, factor)
    return factor


def _in_strips(image: Image.Image, factor: int, plain: Callable[[Image.Image], Image.Image]) -> Image.Image:
    """`plain` of an image, reduced; a second copy of the whole is never made."""
    rows = factor * max(1, _STRIP // (image.width * factor))
    strips = []
    for top in range(0, image.height, rows):
        strip = image.crop((0, top, image.width, min(image.height, top + rows)))
        strip.info = image.info
        strip = plain(strip)
        if has_transparency(strip):
            strip = strip.convert("RGBA")
        elif strip.mode in ("1", "P", "PA"):
            strip = strip.convert("L" if strip.mode == "1" else "RGB")
        strips.append(strip.reduce(factor))
    whole = Image.new(strips[0].mode, (strips[0].width, sum(strip.height for strip in strips)))
    top = 0
    for strip in strips:
        whole.paste(strip, (0, top))
        top += strip.height
    whole.info = {name: value for name, value in image.info.items() if name != "transparency"}
    return whole
