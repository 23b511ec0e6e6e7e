"""Detector interfaces: faces, phrases, segmentation. The networks behind them can be exchanged, and the logic above
them is tested with fixed boxes and masks.

Photos are (H, W, 3) float tensors of 0..1 on the CPU, boxes are in their pixels.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from torch import Tensor

from .cutouts.regions import Box, Detection, Face, Region

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

    def look_at(self, image: Tensor) -> Callable[[Sequence[Box]], list[Region]]:
        """Look at a photo once; what comes back turns boxes into regions, each inside its box."""
