"""Which colours an image file states for its numbers, and the image in sRGB.

In this order: cICP of a PNG, an ICC profile, the other chunks of a PNG (sRGB, gAMA, cHRM), nclx of HEIC and AVIF, Adobe
RGB in the EXIF data of a camera. A file that states nothing is sRGB. What is in sRGB already, within rounding, is left
as it is.
"""

from __future__ import annotations

import io
import logging
import struct
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import Image, ImageCms

from .colour import ADOBE_RGB, BT709, HDR, SRGB, ColourSpace, greys_to_srgb, is_known_transfer, to_srgb

log = logging.getLogger(__name__)

ROUNDING = 2  # of 255: profiles of sRGB differ by as much from one another
_ROWS = 2**19  # pixels converted at once
_MAX_PROFILE = 2**24  # bytes


@dataclass(frozen=True)
class StatedColour:
    """What a file says of its colours.

    Args:
        profile: an ICC profile; None: `space` counts.
        limited: white is 235 and black 16, as in video.
    """

    profile: bytes | None = None
    space: ColourSpace = SRGB
    limited: bool = False


def stated_colour(image: Image.Image, path: Path) -> StatedColour:
    """What an opened image file states, not decoded yet."""
    profile = image.info.get("icc_profile")
    chunks: dict[bytes, bytes] = {}
    boxed = StatedColour()
    with suppress(OSError, ValueError, struct.error), path.open("rb") as file:
        if image.format == "PNG":
            chunks = dict(_png_chunks(file))
        elif image.format in ("AVIF", "HEIF", "JPEG2000"):
            boxed = _boxed(file)
        elif image.format == "BMP" and not profile:
            profile = _bitmap_profile(file)
    if len(chunk := chunks.get(b"cICP", b"")) == 4 and _is_usable(chunk[0], chunk[1], chunk[2]):
        return StatedColour(None, ColourSpace.of_codes(chunk[0], chunk[1]), limited=not chunk[3])
    if profile:
        codes = _codes_in_profile(profile)
        return StatedColour(None, ColourSpace.of_codes(*codes)) if codes else StatedColour(profile)
    if chunks:
        return StatedColour(None, SRGB if b"sRGB" in chunks else _calibrated(chunks))
    if boxed.profile or not boxed.space.is_srgb:
        return boxed
    return StatedColour(None, ColourSpace(ADOBE_RGB, 0, 563 / 256) if _is_camera_adobe(image) else SRGB)


def in_srgb(image: Image.Image, stated: StatedColour, path: Path) -> Image.Image:
    """An image of 8 bits in sRGB: RGB or RGBA where it had to be converted, else as it came.

    A profile that does not fit the image, or is damaged, is logged and left out.
    """
    if image.mode == "1" or (image.mode == "LAB" and not stated.profile):
        return _from_lab(image) if image.mode == "LAB" else image
    if stated.profile is not None:
        return _by_profile(image, stated.profile, path)
    if stated.space.is_srgb and not stated.limited:
        return image
    log.info("%s states colours other than sRGB: converted", path)
    colours, alpha = _split(image)
    return _joined(_by_space(colours, stated), alpha)


def grey_levels(stated: StatedColour, count: int) -> np.ndarray:
    """(count) uint8: what each grey of 0..count - 1 becomes; profiles are applied afterwards."""
    levels = np.arange(count) / (count - 1)
    if stated.profile is None and not (stated.space.is_srgb and not stated.limited):
        levels = greys_to_srgb(_full_range(levels, stated).astype(np.float32), stated.space)
    return np.rint(levels * 255).astype(np.uint8)


# Converting


def _by_space(image: Image.Image, stated: StatedColour) -> Image.Image:
    pixels = np.asarray(image.convert("RGB"))
    converted = np.empty_like(pixels)
    rows = max(1, _ROWS // pixels.shape[1])
    for top in range(0, len(pixels), rows):
        values = _full_range(pixels[top : top + rows].astype(np.float32) / 255, stated)
        converted[top : top + rows] = np.rint(to_srgb(values, stated.space) * 255)
    return Image.fromarray(converted)


def _full_range(values: np.ndarray, stated: StatedColour) -> np.ndarray:
    return ((values - 16 / 255) * (255 / 219)).clip(0, 1) if stated.limited else values


def _by_profile(image: Image.Image, profile: bytes, path: Path) -> Image.Image:
    colours, alpha = _split(image)
    try:
        name, transform = _transform(profile, colours.mode)
        if transform is None:
            return image
        converted = ImageCms.applyTransform(colours, transform)
        assert converted is not None  # None only where the image is converted in place
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError) as error:
        log.warning("The colour profile of %s is not usable (%s): its colours are taken as sRGB", path, error)
        return image
    log.info("%s has the colour profile %r: converted to sRGB", path, name)
    return _joined(converted, alpha)


@lru_cache(maxsize=8)
def _transform(profile: bytes, mode: str) -> tuple[str, ImageCms.ImageCmsTransform | None]:
    """The name of a profile, and what converts images of a mode to sRGB; None if they are in sRGB already."""
    opened = ImageCms.ImageCmsProfile(io.BytesIO(profile))
    transform = ImageCms.buildTransform(opened, ImageCms.createProfile("sRGB"), mode, "RGB")
    name = ImageCms.getProfileDescription(opened).strip()
    if mode not in ("RGB", "L"):  # inks and Lab are never sRGB
        return name, transform
    samples = _samples(mode)
    converted = ImageCms.applyTransform(samples, transform)
    assert converted is not None
    difference = np.asarray(converted).astype(int) - np.asarray(samples.convert("RGB"))
    return name, None if abs(difference).max() <= ROUNDING else transform


def _samples(mode: str) -> Image.Image:
    """Colours that show whether a transform changes any."""
    if mode == "L":
        return Image.fromarray(np.arange(256, dtype=np.uint8)[None])
    steps = np.arange(0, 256, 15, dtype=np.uint8)
    cube = np.stack(np.meshgrid(steps, steps, steps), axis=-1).reshape(1, -1, 3)
    return Image.fromarray(cube)


def _split(image: Image.Image) -> tuple[Image.Image, Image.Image | None]:
    """The colours of an image in a mode that profiles are made for (RGB, L, CMYK, LAB), and its alpha."""
    if image.mode in ("RGB", "L", "CMYK", "LAB") and "transparency" not in image.info:
        return image, None
    if image.mode == "LA":
        return image.getchannel("L"), image.getchannel("A")
    if "transparency" in image.info or image.getbands()[-1] in ("A", "a"):
        image = image.convert("RGBA")
        return image.convert("RGB"), image.getchannel("A")
    return image.convert("RGB"), None


def _joined(colours: Image.Image, alpha: Image.Image | None) -> Image.Image:
    if alpha is not None:
        colours.putalpha(alpha)
    colours.info.pop("transparency", None)
    return colours


def _from_lab(image: Image.Image) -> Image.Image:
    converted = ImageCms.profileToProfile(
        image, ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB"), outputMode="RGB"
    )
    assert converted is not None
    return converted


# Reading what is stated


def _is_usable(primaries: int, transfer: int, matrix: int) -> bool:
    return matrix == 0 and is_known_transfer(transfer)


def _png_chunks(file: BinaryIO) -> Iterator[tuple[bytes, bytes]]:
    """The chunks of a PNG before its pixels that state colours."""
    file.seek(8)
    while len(head := file.read(8)) == 8:
        length, name = struct.unpack(">I4s", head)
        if name in (b"IDAT", b"IEND"):
            return
        if name in (b"cICP", b"gAMA", b"cHRM", b"sRGB") and length <= 32:
            yield name, file.read(length)
            file.seek(4, io.SEEK_CUR)
        else:
            file.seek(length + 4, io.SEEK_CUR)


def _calibrated(chunks: dict[bytes, bytes]) -> ColourSpace:
    """gAMA and cHRM; values that mean nothing, or sRGB within what these chunks can say, are left out."""
    space = SRGB
    if len(chunk := chunks.get(b"gAMA", b"")) == 4 and (stored := struct.unpack(">I", chunk)[0]):
        exponent = 100000 / stored
        if 0.1 < exponent < 10 and abs(exponent - 2.2) > 0.06:
            space = ColourSpace(BT709, 0, exponent)
    if len(chunk := chunks.get(b"cHRM", b"")) == 32:
        numbers = [number / 100000 for number in struct.unpack(">8I", chunk)]
        white, red, green, blue = ((numbers[i], numbers[i + 1]) for i in range(0, 8, 2))
        primaries = (red, green, blue, white)
        close = all(
            abs(a - b) < 0.002 for one, two in zip(primaries, BT709, strict=True) for a, b in zip(one, two, strict=True)
        )
        if not close and _are_primaries(primaries):
            space = ColourSpace(primaries, space.transfer, space.gamma)
    return space


def _are_primaries(points: tuple[tuple[float, float], ...]) -> bool:
    """Whether chromaticities span a triangle with white in it."""
    red, green, blue, white = points

    def side(one: tuple[float, float], two: tuple[float, float], point: tuple[float, float]) -> float:
        return (two[0] - one[0]) * (point[1] - one[1]) - (two[1] - one[1]) * (point[0] - one[0])

    return all(x <= 1 and 0 <= y <= 1 for x, y in points) and all(
        side(*edge, white) > 1e-4 for edge in ((red, green), (green, blue), (blue, red))
    )


def _boxed(file: BinaryIO) -> StatedColour:
    """The first `colr` box of a HEIC, an AVIF or a JPEG 2000: its profile, or its code points."""
    for content in _boxes(file, 0, None):
        kind = content[:4]
        if kind in (b"prof", b"rICC"):
            return StatedColour(content[4:])
        if kind == b"nclx" and len(content) >= 10:
            primaries, transfer = struct.unpack(">HH", content[4:8])
            return StatedColour(None, ColourSpace.of_codes(primaries, transfer if is_known_transfer(transfer) else 2))
        if content[:1] == b"\x02":  # JPEG 2000: a restricted ICC profile
            return StatedColour(content[3:])
    return StatedColour()


_PARENTS = {b"meta": 4, b"iprp": 0, b"ipco": 0, b"jp2h": 0}


def _boxes(file: BinaryIO, start: int, end: int | None, depth: int = 0) -> Iterator[bytes]:
    """What the `colr` boxes hold between two places of a file."""
    for _ in range(4096):
        if end is not None and start >= end:
            return
        file.seek(start)
        head = file.read(16)
        if len(head) < 8:
            return
        size, name = struct.unpack(">I4s", head[:8])
        skipped = 8
        if size == 1 and len(head) == 16:
            size, skipped = struct.unpack(">Q", head[8:])[0], 16
        if size < skipped or size > 2**48:  # 0: to the end of the file, where pixels are
            return
        if name == b"colr" and size <= _MAX_PROFILE:
            file.seek(start + skipped)
            yield file.read(size - skipped)
        elif name in _PARENTS and depth < 4:
            yield from _boxes(file, start + skipped + _PARENTS[name], start + size, depth + 1)
        start += size


def _bitmap_profile(file: BinaryIO) -> bytes | None:
    """The profile that the fifth version of a bitmap's header names."""
    header = file.read(14 + 124)
    if len(header) < 138 or struct.unpack_from("<I", header, 14)[0] < 124 or header[70:74] != b"DEBM":
        return None
    offset, size = struct.unpack_from("<II", header, 14 + 112)
    if not 0 < size <= _MAX_PROFILE:
        return None
    file.seek(14 + offset)
    return file.read(size)


def _codes_in_profile(profile: bytes) -> tuple[int, int] | None:
    """The code points of an ICC profile (its tag "cicp") that is of HDR; for others the profile itself is exact."""
    if len(profile) < 132:
        return None
    for i in range(min(100, struct.unpack_from(">I", profile, 128)[0])):
        tag = profile[132 + 12 * i : 144 + 12 * i]
        if len(tag) == 12 and tag[:4] == b"cicp":
            offset = struct.unpack_from(">I", tag, 4)[0]
            codes = profile[offset + 8 : offset + 10]
            return (codes[0], codes[1]) if len(codes) == 2 and codes[1] in HDR else None
    return None


def _is_camera_adobe(image: Image.Image) -> bool:
    """Whether a camera says Adobe RGB without a profile: "R03" in its EXIF data (DCF 2.0)."""
    if image.format not in ("JPEG", "MPO", "TIFF"):
        return False
    try:
        return str(image.getexif().get_ifd(0xA005).get(1, "")).strip("\0 ") == "R03"
    except Exception:  # damaged EXIF data says nothing of colours
        return False
