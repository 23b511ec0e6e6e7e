"""How strongly, and when, the video looks at each reference picture: knobs beyond the released model.

A strength multiplies the weight that the video's attention gives a picture. A picture of strength 0, or outside its
stretch of the schedule, is as if it were not in the scene: the network never sees it. (Its phrase is still looked for
in the prompt, so that turning a dial does not change what is right and wrong.)
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from ..errors import LumosXError
from ..sampling.schedule import sigma_at
from .layout import ReferenceLayout

STRONGEST = 10.0
NEGATIVE_REFERENCES = ("kept", "dropped")  # what becomes of the pictures in the negative pass; released: kept


@dataclass(frozen=True)
class Influence:
    """Strengths and stretches of time of R pictures, in the network's order.

    Args:
        strengths: of each picture, 0 to 10; 1 is the released model.
        spans: of each picture, (start, end) as shares of the schedule, 0 to 1; (0, 1) is the whole of it.
    """

    strengths: tuple[float, ...]
    spans: tuple[tuple[float, float], ...]

    @classmethod
    def released(cls, pictures: int) -> Influence:
        """The influence that the released model gives each of so many pictures."""
        return cls((1.0,) * pictures, ((0.0, 1.0),) * pictures)

    def at(self, sigma: float, level: Callable[[float], float] = sigma_at) -> tuple[float, ...]:
        """The strength of each picture at a noise level; 0 outside of its span.

        Args:
            sigma: 1 (noise) to 0 (clean).
            level: gives the noise level at a share of the schedule.
        """
        # A step on the edge belongs to what starts there, also where float32 has rounded its level up a little. The
        # ends of the schedule have no edge: some samplers go beyond them.
        sigma -= 1e-5
        return tuple(
            strength if (end == 1 or level(end) < sigma) and (start == 0 or sigma <= level(start)) else 0.0
            for strength, (start, end) in zip(self.strengths, self.spans, strict=True)
        )


@dataclass(frozen=True, eq=False)
class SeenPictures:
    """What the network is given of a scene at one step: R of its pictures.

    Args:
        pictures: R indices in the scene.
        layout: how the R pictures are divided into groups.
        phrase_mask: (R, text_len) bool.
        references: (1 or B, 16, R, H, W).
        strengths: R numbers above 0; None: all are 1.
    """

    pictures: tuple[int, ...]
    layout: ReferenceLayout
    phrase_mask: Tensor
    references: Tensor
    strengths: tuple[float, ...] | None

    @classmethod
    def choose(
        cls, layout: ReferenceLayout, phrase_mask: Tensor, references: Tensor, strengths: tuple[float, ...]
    ) -> SeenPictures:
        """Leave out the pictures of strength 0: what remains is the scene that an artist would have made without."""
        seen = [picture for picture, strength in enumerate(strengths) if strength > 0]
        if len(seen) < len(strengths):
            layout = layout.only(seen)
            phrase_mask, references = phrase_mask[..., seen, :], references[:, :, seen]
        kept = tuple(strengths[picture] for picture in seen)
        return cls(
            tuple(seen), layout, phrase_mask, references, None if all(strength == 1 for strength in kept) else kept
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
