"""LumosX Load Image: the artist's images, uploaded or dropped onto the node, followed by LumosX's examples."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

import folder_paths
from comfy_api.latest import io

from ..lumosx_core.errors import LumosXError
from ..lumosx_core.files.junk import is_junk
from ..lumosx_core.media.example_images import SUFFIX, example_path, example_pictures
from ..lumosx_core.media.image_kinds import SUFFIXES
from ..lumosx_core.media.loaded_image import BACKGROUNDS, is_painted, load_image
from .inputs.host_schema import found_by

_CLIPSPACE = "clipspace"  # folder of the mask editor: the layers beside what it saves are not for choosing


class LumosXLoadImage(io.ComfyNode):
    """One image file: the subject on white, and its mask the right way round."""

    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="LumosXLoadImage",
            display_name="LumosX Load Image",
            **found_by("person", "people", "face", "clothes", "outfit", "character", "photo", "transparent"),
            category="LumosX",
            description="Loads a reference image. Upload one, or drop or paste a file onto the node. Transparent parts "
            "become white, and the mask is 1 where the subject is.",
            inputs=[
                io.Combo.Input(
                    "image",
                    options=[*_input_images(), *(name + SUFFIX for name in example_pictures())],
                    upload=io.UploadType.image,
                    image_folder=io.FolderType.input,
                    tooltip="A PNG, JPEG, WebP, TIFF, ... in ComfyUI's input folder; names that end in [lumosx] are "
                    "LumosX's examples. In the mask editor (right-click: Open in MaskEditor) paint the "
                    "subject; a cutout that is already transparent needs no painting.",
                ),
                io.Combo.Input(
                    "background",
                    options=list(BACKGROUNDS),
                    default="white",
                    tooltip="What replaces everything around the subject. LumosX was trained with white.",
                ),
                io.Boolean.Input(
                    "crop_to_content",
                    default=False,
                    tooltip="Crop the empty area around the subject, except for a small margin.",
                ),
            ],
            outputs=[
                io.Image.Output(
                    display_name="image", tooltip="The subject on the background: RGB, without transparency."
                ),
                io.Mask.Output(
                    display_name="mask",
                    tooltip="1 where the subject is, as LumosX masks are; 1 everywhere for an image without "
                    "transparency. ComfyUI's Load Image outputs the inverse.",
                ),
            ],
        )

    @classmethod
    def validate_inputs(cls, image):
        try:
            _path(image)
        except LumosXError as error:
            return str(error)
        return True

    @classmethod
    def fingerprint_inputs(cls, image, background="white", crop_to_content=False):
        return hashlib.sha256(_path(image).read_bytes()).hexdigest()

    @classmethod
    def execute(cls, image, background="white", crop_to_content=False) -> io.NodeOutput:
        path = _path(image)
        loaded = load_image(path, background, crop_to_content, painted=is_painted(path))
        return io.NodeOutput(loaded.image[None], loaded.mask[None])


def _path(image: str) -> Path:
    """The file that a value of `image` names.

    Raises:
        LumosXError: it does not exist, or is outside ComfyUI's folders.
    """
    if image.endswith(SUFFIX):
        return example_path(image)
    name, folder = folder_paths.annotated_filepath(image)
    folder = Path(folder or folder_paths.get_input_directory())
    path = Path(os.path.normpath(folder / name))  # links are followed: artists put their photos elsewhere
    if not path.is_relative_to(folder):
        raise LumosXError(f"The image {image!r} is outside {folder}. Upload it, or copy it there.")
    if not os.path.isfile(path):  # also a name that is too long is none
        raise LumosXError(
            f"There is no image {image!r} in {folder}. Upload it with the button of LumosX Load Image, drop the file "
            f"onto the node, or choose another one."
        )
    return path


def _input_images() -> list[str]:
    """Images below ComfyUI's input folder, also in its folders, as paths with "/"."""
    return sorted(name for name in _files(folder_paths.get_input_directory()) if Path(name).suffix.lower() in SUFFIXES)


def _files(folder: str) -> Iterator[str]:
    for directory, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not is_junk(name)]
        inside = Path(directory).relative_to(folder)
        for name in names:
            if not is_junk(name) and (inside.name != _CLIPSPACE or is_painted(name)):
                yield (inside / name).as_posix()
