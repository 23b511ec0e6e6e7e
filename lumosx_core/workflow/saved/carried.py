"""Workflows that saved images and videos carry in their metadata."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ...errors import LumosXError, MissingPackageError, shown
from ...media.video import OWN_BYTES
from .json_text import parse_json
from .wrappers import is_workflow, unwrapped

VIDEOS = (".mp4", ".mov", ".mkv", ".webm", ".avi", ".m4v")
IMAGES = (".png", ".webp", ".jpg", ".jpeg", ".gif", ".avif")
_FORMATS = ["PNG", "WEBP", "JPEG", "MPO", "GIF", "AVIF"]
_MOST_PIXELS = 2**26  # of an image that is decoded to find a text behind its pixels
# Texts of EXIF data: ComfyUI writes "workflow:{...}" and "prompt:{...}" into Make, Model and what is before them.
_EXIF_TEXTS = (0x010E, 0x010F, 0x0110, 0x0131, 0x013B, 0x9286, 0x9C9C)
_EXIF_BLOCK = 0x8769
_USE_JSON = "Use a .json file."


def carried_workflow(path: Path) -> Any:
    """The prompt that ran, else the workflow of the page, in the metadata of an image or a video that ComfyUI saved.

    Raises:
        LumosXError: the file cannot be read, or carries none.
    """
    metadata = _video_metadata(path) if path.suffix.lower() in VIDEOS else _image_metadata(path)
    for name in ("prompt", "workflow", "comment"):
        text = metadata.get(name)
        if text is None or (name == "comment" and not str(text).lstrip().startswith("{")):
            continue
        found = unwrapped(parse_json(text, f"The {name} in the metadata of {path}", _USE_JSON))
        if is_workflow(found):
            return found
    if "parameters" in metadata:
        raise LumosXError(
            f"{path} was saved by AUTOMATIC1111 or Forge, whose settings are not a workflow of ComfyUI. Use a "
            f"workflow's .json file."
        )
    raise LumosXError(
        f"{path} carries no workflow: only files that ComfyUI saved itself do, and most sites take it out. Ask for the "
        f"workflow's .json file."
    )


def _video_metadata(path: Path) -> Mapping[str, str]:
    try:
        import av
    except ImportError as error:
        raise MissingPackageError("av", "Reading the workflow in a video", error) from error
    try:
        with av.open(os.path.abspath(path), options=dict(OWN_BYTES)) as container:
            return {name.lower(): text for name, text in container.metadata.items()}
    except (av.FFmpegError, OSError, ValueError) as error:
        raise LumosXError(f"Cannot read the video {path} ({shown(error)}). {_USE_JSON}") from error


def _image_metadata(path: Path) -> Mapping[str, Any]:
    from PIL import Image

    try:
        Image.init()
        with Image.open(path, formats=[name for name in _FORMATS if name in Image.OPEN]) as image:
            info = dict(image.info)
            small = image.width * image.height <= _MOST_PIXELS
            if image.format == "PNG" and small and not {"prompt", "workflow"} & info.keys():
                image.load()  # texts may come behind the pixels
                info |= image.info
            texts = dict(_exif_texts(image))
    except Exception as error:  # on damaged bytes a decoder raises almost anything
        raise LumosXError(f"Cannot read the image {path} ({shown(error)}). Use the workflow's .json file.") from error
    return {name: _text(text) for name, text in (texts | info).items() if isinstance(text, str | bytes)}


def _exif_texts(image) -> Iterator[tuple[str, str]]:
    exif = image.getexif()
    for block in (exif, exif.get_ifd(_EXIF_BLOCK)):
        for tag, value in block.items():
            if tag not in _EXIF_TEXTS or not isinstance(value, str | bytes):
                continue
            text = _text(value)
            name, colon, rest = text.partition(":")
            if colon and name.strip().lower() in ("prompt", "workflow"):
                yield name.strip().lower(), rest
            elif text.lstrip().startswith("{"):
                yield "comment", text


def _text(value: str | bytes) -> str:
    if isinstance(value, bytes):
        kind, value = value[:8], value[8:] if value[:8] in (b"ASCII\0\0\0", b"UNICODE\0", b"JIS\0\0\0\0\0") else value
        value = value.decode("utf-16" if kind == b"UNICODE\0" else "utf-8", errors="replace")
    return value.strip("\0")
