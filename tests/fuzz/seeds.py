"""Small valid files, made in memory."""

from __future__ import annotations

import io
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path

import numpy as np
from fuzz.inputs import Files
from PIL import Image, ImageCms, PngImagePlugin

CAPTION = "A man in a denim jacket lifts a red cup in a bright kitchen."


def files_below(folder: Path) -> Files:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def noise(height: int = 12, width: int = 16, channels: int = 3, dtype: type = np.uint8) -> np.ndarray:
    shape = (height, width, channels) if channels > 1 else (height, width)
    return np.random.default_rng(0).integers(0, np.iinfo(dtype).max, shape).astype(dtype)


def saved(image: Image.Image, kind: str, **options) -> bytes:
    content = io.BytesIO()
    image.save(content, kind, **options)
    return content.getvalue()


@cache
def images() -> Sequence[bytes]:
    """Still images, and animated ones, of every format and of several modes."""
    rgb = Image.fromarray(noise())
    rgba = Image.fromarray(noise(channels=4), "RGBA")
    deep = Image.fromarray(noise(channels=1, dtype=np.uint16))
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    texts = PngImagePlugin.PngInfo()
    texts.add_text("Comment", "made here", zip=True)
    texts.add_itxt("Title", "é", zip=True)
    texts.add(b"gAMA", (100_000).to_bytes(4, "big"))
    turned = Image.Exif()
    turned[0x0112] = 6
    many = {"save_all": True, "append_images": [Image.fromarray(255 - noise())]}
    made = [
        saved(rgb, "PNG", pnginfo=texts, icc_profile=profile),
        saved(rgba, "PNG"),
        saved(deep, "PNG"),
        saved(rgb.quantize(8), "PNG", transparency=0),
        saved(rgb.convert("1"), "PNG"),
        saved(rgb, "PNG", **many),
        saved(rgb, "JPEG", exif=turned, icc_profile=profile),
        saved(rgb.convert("CMYK"), "JPEG", icc_profile=profile),
        saved(rgb, "JPEG", progressive=True),
        saved(rgb, "GIF"),
        saved(rgb, "GIF", **many),
        saved(rgba, "WEBP", lossless=True),
        saved(rgb, "WEBP", **many),
        saved(rgb, "TIFF", compression="tiff_lzw", icc_profile=profile),
        saved(deep, "TIFF"),
        saved(Image.fromarray(noise(channels=1).astype(np.float32)), "TIFF"),
        saved(rgb, "TIFF", compression="jpeg"),
        saved(rgb, "TIFF", **many),
        saved(rgb, "BMP"),
        saved(rgb.quantize(8), "BMP"),
        saved(rgb, "PPM"),
        saved(rgba, "TGA", compression="tga_rle"),
        saved(rgb, "JPEG2000"),
    ]
    with suppress(KeyError, OSError):  # not every Pillow has AVIF
        made += [saved(rgb, "AVIF"), saved(rgba, "AVIF")]
    return made


@cache
def clips() -> dict[str, bytes]:
    """Videos of nine frames by their endings."""
    made = {}
    for ending, codec, kind in (
        (".mp4", "libx264", "mp4"),
        (".mov", "mjpeg", "mov"),
        (".webm", "libvpx", "webm"),
        (".mkv", "ffv1", "matroska"),
        (".avi", "mpeg4", "avi"),
    ):
        made[ending] = clip(codec, kind)
    frames = [Image.fromarray(np.roll(noise(32, 48), i, axis=1)) for i in range(9)]
    made[".gif"] = saved(frames[0], "GIF", save_all=True, append_images=frames[1:], duration=60)
    made[".webp"] = saved(frames[0], "WEBP", save_all=True, append_images=frames[1:], duration=60)
    return made


def clip(codec: str = "libx264", kind: str = "mp4", frames: int = 9, **metadata: str) -> bytes:
    import av

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "clip"
        with av.open(
            path, "w", format=kind, options={"movflags": "use_metadata_tags"} if metadata else {}
        ) as container:
            container.metadata.update(metadata)
            stream = container.add_stream(codec, rate=16)
            stream.width, stream.height = 48, 32
            stream.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
            for number in range(frames):
                image = np.roll(noise(32, 48), number, axis=1)
                container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
            container.mux(stream.encode())
        return path.read_bytes()


@cache
def case() -> Files:
    """A case folder with a subject of two images, an object and a background."""
    image = saved(Image.fromarray(noise(6, 5)), "PNG")
    return {
        "caption.txt": f"clip;{CAPTION}".encode(),
        "order.txt": b"objects/red cup.png\nsubjects/1/denim jacket.png\n",
        "subjects/1/face_man.png": image,
        "subjects/1/denim jacket.png": image,
        "objects/red cup.png": image,
        "background/bright kitchen.png": image,
    }
