"""How strongly, and when, the video attends to each reference image: settings beyond the released model.

A strength multiplies the weight that the video's attention gives an image. An image of strength 0, or outside its span
of the schedule, is as if it were not in the scene: the network never sees it. (Its phrase is still required in the
prompt, so that turning a dial does not change what is an error.)
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ..errors import LumosXError

STRONGEST = 10.0
NEGATIVE_REFERENCES = ("kept", "dropped", "zeroed")
"""Whether the negative pass sees the images: as released, not at all, or with zeros for their latents (Phantom)."""


@dataclass(frozen=True)
class Strengths:
    """How strongly, and in which part of the schedule, each of R images is seen, in the network's order.

    Args:
        values: of each image, 0 or more; 1 is the released model.
        spans: of each image, (start, end) as fractions of the schedule, 0 to 1; (0, 1) is the whole of it.
    """

    values: tuple[float, ...]
    spans: tuple[tuple[float, float], ...]

    def __post_init__(self):
        object.__setattr__(self, "values", tuple(self.values))
        object.__setattr__(self, "spans", tuple(self.spans))
        if not all(0 <= value < math.inf for value in self.values):
            raise LumosXError(f"strengths are {list(self.values)}, expected numbers of 0 or more; 1 is as released.")
        if len(self.values) != len(self.spans):
            raise LumosXError(f"{len(self.values)} strengths have {len(self.spans)} spans. Give one for each image.")

    @classmethod
    def constant(cls, values: Sequence[float]) -> Strengths:
        """Strengths that hold from the start of the schedule to its end."""
        return cls(tuple(values), ((0.0, 1.0),) * len(values))

    @property
    def is_constant(self) -> bool:
        """Whether every image is seen from the start of the schedule to its end."""
        return all(value > 0 for value in self.values) and all(span == (0, 1) for span in self.spans)

    def only(self, images: Sequence[int]) -> Strengths:
        """The strengths of some of the images, indices into 0..R-1."""
        return Strengths(tuple(self.values[i] for i in images), tuple(self.spans[i] for i in images))

    def at(self, sigma: float, level: Callable[[float], float]) -> tuple[float, ...]:
        """The strength of each image at a noise level; 0 outside of its span.

        Args:
            sigma: 1 (noise) to 0 (clean).
            level: the noise level at a fraction of the schedule.
        """
        # A step on the edge belongs to what starts there, also where float32 has rounded its level up a little. The
        # ends of the schedule have no edge: some samplers go beyond them.
        sigma -= 1e-5
        return tuple(
            value if (end == 1 or level(end) < sigma) and (start == 0 or sigma <= level(start)) else 0.0
            for value, (start, end) in zip(self.values, self.spans, strict=True)
        )


def check_strength(strength: float, whose: str) -> None:
    """Raise LumosXError for a strength outside of 0 to 10."""
    if not 0 <= strength <= STRONGEST:  # not a number is outside, too
        nearest = 1 if math.isnan(strength) else 0 if strength < 0 else STRONGEST
        raise LumosXError(
            f"The strength of {whose} is {strength}, expected 0 (as if it were not there) to {STRONGEST:g}; 1 is the "
            f"released model. Use {nearest:g}."
        )


def check_span(start: float, end: float, whose: str) -> None:
    """Raise LumosXError unless 0 <= start < end <= 1."""
    if not 0 <= start < end <= 1:
        raise LumosXError(
            f"{whose} begins at {start:g} and ends at {end:g} of the schedule, expected 0 <= start < end <= 1. Use 0 "
            f"and 1 for the whole of it; a strength of 0 leaves it out."
        )
