"""Images as networks take them: brought to their size and normalised, as a preprocessor_config.json says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from ...auto_scene.networks.hub_folder import HubFolder
from ...errors import LumosXError
from ...media.images import to_pil, to_tensor

BATCH = 16  # images in one pass of a network
IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
OPENAI = ((0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711))
_LARGEST = 4096  # pixels of a network's input


@dataclass(frozen=True)
class Preparation:
    """How an image becomes the input of a network: the short side is scaled, the middle cropped, values normalised.

    Args:
        short_side: pixels of the short side after scaling.
        crop: pixels of the side of the square that is cropped out of the middle.
        mean, deviation: of each channel.
    """

    short_side: int
    crop: int
    mean: tuple[float, ...]
    deviation: tuple[float, ...]

    @classmethod
    def read(cls, folder: HubFolder, default: Preparation) -> Preparation:
        """What the folder's preprocessor_config.json says; what it leaves out is the default's.

        Raises:
            LumosXError: the file is damaged, or its values are not sizes and colours.
        """
        stored = folder.settings("preprocessor_config.json")
        found = cls(
            _edge(stored.get("size"), "shortest_edge", default.short_side, folder),
            _edge(stored.get("crop_size"), "height", default.crop, folder),
            _colour(stored.get("image_mean"), default.mean, folder),
            _colour(stored.get("image_std"), default.deviation, folder),
        )
        return found

    def batch(self, images: Sequence[Tensor]) -> Tensor:
        """(H, W, 3) images of 0..1, of any sizes -> (N, 3, crop, crop)."""
        return normalised(torch.stack([self._fitted(image) for image in images]), self.mean, self.deviation)

    def _fitted(self, image: Tensor) -> Tensor:
        """(H, W, 3) -> (crop, crop, 3): bicubic, in whole 255ths, as Pillow does it, with which all were trained."""
        height, width = image.shape[:2]
        # The long side is truncated. A narrow image keeps as many pixels as are cropped out.
        scale = self.short_side / min(height, width)
        size = max(self.crop, int(width * scale)), max(self.crop, int(height * scale))
        if min(height, width) == width:
            size = max(self.crop, self.short_side), size[1]
        else:
            size = size[0], max(self.crop, self.short_side)
        scaled = to_pil(image).resize(size, Image.Resampling.BICUBIC)
        left, top = (size[0] - self.crop) // 2, (size[1] - self.crop) // 2
        return to_tensor(scaled.crop((left, top, left + self.crop, top + self.crop)))


def stretched(images: Tensor, side: int) -> Tensor:
    """(N, H, W, 3) of 0..1 -> (N, side, side, 3), whatever the proportions."""
    small = F.interpolate(images.permute(0, 3, 1, 2).float(), size=(side, side), mode="bilinear", antialias=True)
    return small.permute(0, 2, 3, 1)


def normalised(images: Tensor, mean: Sequence[float], deviation: Sequence[float]) -> Tensor:
    """(N, H, W, 3) of 0..1 -> (N, 3, H, W) of mean 0 and deviation 1."""
    return ((images - torch.tensor(mean)) / torch.tensor(deviation)).permute(0, 3, 1, 2)


def unit(vectors: Tensor) -> Tensor:
    """(..., d) -> float32 of length 1 on the CPU.

    Raises:
        LumosXError: values that are not numbers, which a damaged network gives.
    """
    vectors = vectors.detach().to("cpu", torch.float32)
    if not bool(torch.isfinite(vectors).all()):
        raise LumosXError("An embedding has values that are not numbers. Download the network again, or use float32.")
    return F.normalize(vectors, dim=-1)


def _edge(stored: Any, name: str, default: int, folder: HubFolder) -> int:
    """A size, which older files store as a number and newer ones under a name."""
    value = stored.get(name, stored.get("height", default)) if isinstance(stored, Mapping) else stored
    value = default if value is None else value
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= _LARGEST:
        raise _damaged(folder.path, value, f"a whole number of pixels up to {_LARGEST}")
    return value


def _colour(stored: Any, default: tuple[float, ...], folder: HubFolder) -> tuple[float, ...]:
    if stored is None:
        return default
    numbers = isinstance(stored, list) and all(isinstance(each, (int, float)) for each in stored)
    if not numbers or len(stored) != 3:
        raise _damaged(folder.path, stored, "three numbers, for red, green and blue")
    return tuple(float(each) for each in stored)


def _damaged(path: Path, value: Any, expected: str) -> LumosXError:
    return LumosXError(
        f"{path / 'preprocessor_config.json'} is damaged: it has {str(value)[:80]!r} where {expected} is expected. "
        f"Download it again."
    )
