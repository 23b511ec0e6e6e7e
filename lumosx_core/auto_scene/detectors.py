"""Detector interfaces: faces, phrases, segmentation. The networks behind them can be exchanged, and the logic above
them is tested with fixed boxes and masks.

Photos are (H, W, 3) float tensors of 0..1 on the CPU, boxes are in their pixels.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

import torch
from torch import Tensor

from ..errors import LumosXError
from .cutouts.regions import Box, Detection, Face, Region

SMALLEST = 16  # pixels of a photo's short side: in less nobody recognises anything

Progress = Callable[[str, int, int], None]
"""Called with a stage ("faces", "phrases", ...), how many are done, and of how many. It may raise, to stop."""


class FaceFinder(Protocol):
    """Finds faces."""

    def find(self, image: Tensor) -> list[Face]:
        """All faces, in no particular order."""


class PhraseFinder(Protocol):
    """Finds what phrases name."""

    def find(self, image: Tensor, phrases: Sequence[str]) -> list[list[Detection]]:
        """For each phrase its detections above the finder's threshold, best first; boxes inside the photo."""


class Segmenter(Protocol):
    """Turns boxes into regions."""

    @property
    def side(self) -> int:
        """Pixels of the long side to which it brings a photo."""

    def look_at(self, image: Tensor) -> Callable[[Sequence[Box]], list[Region]]:
        """Look at a photo once; what comes back turns boxes into regions, each inside its box and its leeway."""


def check_photo(image: Tensor, name: str) -> None:
    """Refuse what is not a photo before any network sees it.

    Args:
        name: what the message calls it, e.g. "Photo 2".

    Raises:
        LumosXError: it has another shape than (H, W, 3), is tiny, or has values that are not numbers.
    """
    if image.ndim != 3 or image.shape[2] != 3:
        raise LumosXError(f"{name} has shape {tuple(image.shape)}, expected (height, width, 3). Give an RGB image.")
    height, width = image.shape[:2]
    if min(height, width) < SMALLEST:
        raise LumosXError(
            f"{name} is {width}x{height} pixels, expected {SMALLEST} or more on each side. Use the photo itself, not a "
            f"thumbnail or a placeholder of it."
        )
    if not bool(torch.isfinite(image).all()):
        broken = float((~torch.isfinite(image)).any(dim=-1).float().mean())
        raise LumosXError(
            f"{name} has values that are not numbers (NaN or infinite) in {broken:.2%} of its pixels. Run what made it "
            f"in float32, or load the photo again."
        )
