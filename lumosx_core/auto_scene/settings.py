"""Settings of auto scene: its detectors, the background, missing parts, and the edges of cutouts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ..errors import LumosXError
from .detectors import FaceFinder, PhraseFinder, Segmenter

BACKGROUNDS = ("fill", "inpaint", "none", "fill always")
FILLS = ("fill", "fill always")
MISSING = ("error", "leave out")


@dataclass(frozen=True)
class Finders:
    """Loaders of the detectors; each is called only when its detector is needed."""

    faces: Callable[[], FaceFinder]
    phrases: Callable[[], PhraseFinder]
    masks: Callable[[], Segmenter]


@dataclass(frozen=True)
class AutoSettings:
    """
    Args:
        background: "fill" empties the photo that shows most of its place, by the built-in fill, if the plan
            names a background, and leaves it out where people and things hide more than half of it; "fill always"
            keeps it then, too. "inpaint" leaves that to others and only says what to fill; "none" does neither.
        missing: what to do if a part of the plan is not found: "error", or "leave out" with a warning.
        feather: pixels over which the edge of a cutout fades.
    """

    background: str = "fill"
    missing: str = "error"
    feather: float = 1.5

    def __post_init__(self):
        for name, value, known in (("background", self.background, BACKGROUNDS), ("missing", self.missing, MISSING)):
            if value not in known:
                raise LumosXError(f"{name} is {value!r}, expected one of: {', '.join(known)}.")
