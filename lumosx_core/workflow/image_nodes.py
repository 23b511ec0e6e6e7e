"""Images and masks that reach an input of a graph, evaluated for ComfyUI's simple image nodes.

Each node computes what ComfyUI's own does: IMAGE is (N, H, W, 3) float32 in 0..1, MASK (N, H, W). Files are read by
Pillow, as ComfyUI did until it took PyAV for them: PNG and TIFF are the same to the bit, JPEG, WebP, GIF, BMP and grey
differ by rounding. Where the two differ by more, this takes what the file means, as everywhere in LumosX:

- colours that the file states are used (profiles, chunks of a PNG, HDR): ComfyUI shows their numbers as sRGB;
- 16-bit grey keeps its range (Pillow in ComfyUI turned all of it white);
- a photo that its EXIF data mirrors is mirrored (PyAV only turns photos);
- all pages of a TIFF are read (PyAV reads the first one), and of an animation's channel the first frame;
- a transparent colour of a PNG is transparent (ComfyUI with Pillow gives no mask), and photos above 33 million pixels
  are reduced by a whole factor.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from ..errors import LumosXError, shown
from ..media.example_images import SUFFIX, example_path, read_example
from ..media.image_file import has_transparency, read_frames
from ..media.loaded_image import LoadedImage, is_painted, load_image
from .confined_path import path_inside
from .limits import check_batch
from .saved.graph import Link, Node
from .values import Values

CHANNELS = {"alpha": "A", "red": "R", "green": "G", "blue": "B"}
NO_MASK = torch.zeros(1, 64, 64)  # Load Image's mask of an image without transparency

Makers = Mapping[tuple[str, int], Callable[[Node], Tensor]]


class Pictures:
    """Reads the images of a graph.

    Args:
        folder: used instead of ComfyUI's input folder.
    """

    def __init__(self, values: Values, folder: Path):
        self._values = values
        self._folder = folder
        self._tensors: dict[tuple[str, int], Tensor] = {}  # each is made once, however many nodes it goes to
        self._images: Makers = {
            ("LoadImage", 0): lambda node: _joined([_rgb(frame) for frame in self._frames(node)]),
            ("LumosXLoadImage", 0): lambda node: self._loaded(node).image[None],
            ("LumosXExamplePicture", 0): lambda node: read_example(values.text(node, "picture"))[None],
            ("ImageBatch", 0): lambda node: _batch([self.image(node, "image1"), self.image(node, "image2")]),
            ("BatchImagesNode", 0): lambda node: _batch([self._image_of(node, link) for link in node.grown("images")]),
            ("ImageFromBatch", 0): self._from_batch,
        }
        self._masks: Makers = {
            ("LoadImage", 1): lambda node: _joined([_transparency(frame) for frame in self._frames(node)]),
            ("LumosXLoadImage", 1): lambda node: self._loaded(node).mask[None],
            ("LoadImageMask", 0): self._channel,
            ("InvertMask", 0): lambda node: 1 - self.mask(node, "mask"),
        }

    def image(self, node: Node, name: str) -> Tensor:
        """The IMAGE that is connected to an input.

        Raises:
            LumosXError: nothing is connected, or a node that only ComfyUI can run; an image cannot be read.
        """
        return self._image_of(node, _connected(node, name), name)

    def mask(self, node: Node, name: str) -> Tensor:
        """The MASK that is connected to an input; raises as `image` does."""
        return self._made(node, _connected(node, name), name, self._masks, "Save Image (Convert Mask to Image before)")

    def _image_of(self, node: Node, link: Link, name: str = "images") -> Tensor:
        return self._made(node, link, name, self._images, "Save Image")

    def _made(self, node: Node, link: Link, name: str, makers: Makers, saver: str) -> Tensor:
        what = f"{name} of {node}"
        source, slot = self._values.graph.origin(link, what)
        if (source.type, slot) not in makers:
            raise LumosXError(
                source.unreadable
                or f"{what} comes from {source}, which only ComfyUI can run. Save what it gives with {saver} "
                f"into the input folder, and load it instead."
            )
        if (source.id, slot) not in self._tensors:
            with self._values.depth.deeper(what):
                self._tensors[source.id, slot] = makers[source.type, slot](source)
        return self._tensors[source.id, slot]

    def _path(self, node: Node) -> Path:
        name = self._values.text(node, "image")
        path = path_inside(self._folder, name, f"image of {node}")
        if not os.path.isfile(path):  # also a name that is too long is none
            raise LumosXError(
                f"There is no image {path}, which {node} names. Copy it there, or give --input DIR, the folder to "
                f"use instead of ComfyUI's input folder."
            )
        return path

    def _loaded(self, node: Node) -> LoadedImage:
        name = self._values.text(node, "image")
        path = example_path(name) if name.endswith(SUFFIX) else self._path(node)
        crop = self._values.flag(node, "crop_to_content", False)
        background = self._values.text(node, "background", "white")
        return load_image(path, background, crop, painted=is_painted(path))

    def _frames(self, node: Node) -> list[Image.Image]:
        return read_frames(self._path(node))

    def _channel(self, node: Node) -> Tensor:
        picture = read_frames(self._path(node), data=True)[0].convert("RGBA")
        name = self._values.text(node, "channel", "alpha")
        if name not in CHANNELS:
            raise LumosXError(
                f"channel of {node} is {shown(name)!r}, expected one of {', '.join(CHANNELS)}. Choose one."
            )
        channel = CHANNELS[name]
        values = _tensor(picture.getchannel(channel))
        return 1 - values if channel == "A" else values

    def _from_batch(self, node: Node) -> Tensor:
        pictures = self.image(node, "image")
        index, length = self._values.whole(node, "batch_index", 0), self._values.whole(node, "length", 1)
        if index < 0 or length < 1:
            raise LumosXError(
                f"batch_index of {node} is {index} and length {length}, expected 0 or more and 1 or more. Write these."
            )
        first = min(len(pictures) - 1, index)
        return pictures[first : first + length]


def _connected(node: Node, name: str) -> Link:
    link = node.link(name)
    if link is None:
        raise LumosXError(f"{name} of {node} is not connected. Connect it.")
    return link


def _rgb(frame: Image.Image) -> Tensor:
    return _tensor(frame.convert("RGB"))


def _transparency(frame: Image.Image) -> Tensor:
    return 1 - _tensor(frame.convert("RGBA").getchannel("A")) if has_transparency(frame) else NO_MASK


def _tensor(image: Image.Image) -> Tensor:
    values = np.array(image, dtype=np.float32)
    values /= 255
    return torch.from_numpy(values)[None]


def _joined(tensors: list[Tensor]) -> Tensor:
    """One batch; a large photo alone is not copied."""
    return tensors[0] if len(tensors) == 1 else torch.cat(tensors)


def _batch(images: list[Tensor]) -> Tensor:
    """Images in one batch: cut in their middle to the proportions of the first, and scaled to its size."""
    if not images:
        raise LumosXError("A batch of images has none. Connect some.")
    height, width = images[0].shape[1:3]
    count = sum(map(len, images))
    check_batch(count, count * height * width, "A batch of the workflow")
    return torch.cat(
        [image if image.shape[1:3] == (height, width) else _fitted(image, height, width) for image in images]
    )


def _fitted(image: Tensor, height: int, width: int) -> Tensor:
    old_height, old_width = image.shape[1:3]
    old, new = old_width / old_height, width / height
    x = round((old_width - old_width * (new / old)) / 2) if old > new else 0
    y = round((old_height - old_height * (old / new)) / 2) if old < new else 0
    cut = image[:, y : old_height - y, x : old_width - x]
    return F.interpolate(cut.movedim(-1, 1), (height, width), mode="bilinear").movedim(1, -1)
