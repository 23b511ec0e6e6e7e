"""Settings of self-routing, and an artist's masks and boxes as regions."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from ...errors import LumosXError
from ...scene.strength import check_span

STRENGTH = 1.0
STRONGEST = 8.0
BOX_SIDE = 600  # pixels of the mask of a box: finer than any video's tokens


@dataclass(frozen=True, eq=False)
class SelfRouting:
    """How strongly, when and where the video attends to each subject's own reference images.

    Args:
        strength: what is added to the logits of a subject's own images in its region, and taken off those of others; 0
            turns it off.
        start, end: fractions of the schedule between which it holds, as of a subject.
        masks: for each subject, in the order of the scene, where it is in the video: (frames, H, W), 0 to 1, of any
            size; one frame holds for the whole video. None, or fewer masks than subjects: the region is measured.

    Raises:
        LumosXError: a value that is not possible, or an empty mask.
    """

    strength: float = STRENGTH
    start: float = 0.0
    end: float = 1.0
    masks: tuple[Tensor | None, ...] = ()

    def __post_init__(self):
        if not 0 <= self.strength <= STRONGEST:  # not a number is outside, too
            nearest = STRENGTH if math.isnan(self.strength) else 0 if self.strength < 0 else STRONGEST
            raise LumosXError(
                f"The strength of self-routing is {self.strength:g}, expected 0 (off) to {STRONGEST:g}. Use "
                f"{nearest:g}."
            )
        check_span(self.start, self.end, "Self-routing")
        for number, mask in enumerate(self.masks, 1):
            if mask is None:
                continue
            if mask.ndim != 3 or not len(mask) or not mask.isfinite().all():
                raise LumosXError(
                    f"The mask of subject {number} has shape {tuple(mask.shape)}, expected finite numbers of shape "
                    f"(frames, height, width). Give one frame for the whole video, or one for each of its frames."
                )
            if not mask.any():
                raise LumosXError(
                    f"The mask of subject {number} is empty. White is where the subject is in the video; put Invert "
                    f"Mask between if it is the other way round."
                )

    def holds_at(self, sigma: float, level) -> bool:
        """Whether it holds at a noise level; `level` is the one at a fraction of the schedule."""
        sigma -= 1e-5  # as for subjects: a step on the edge belongs to what starts there
        begun = self.start == 0 or sigma <= level(self.start)
        return self.strength > 0 and begun and (self.end == 1 or level(self.end) < sigma)


def mask_region(mask: Tensor, frames: int, grid: tuple[int, int], number: int) -> Tensor:
    """A mask as a region of T latent frames.

    Args:
        mask: (1, H, W), or (4 T - 3, H, W) for a video of so many frames.
        grid: (h, w), the size of a frame in tokens.
        number: of the subject, for messages.

    Returns:
        (T, h, w) float32, 0 to 1.

    Raises:
        LumosXError: another number of frames.
    """
    expected = 4 * frames - 3
    if len(mask) not in (1, expected):
        raise LumosXError(
            f"The mask of subject {number} has {len(mask)} frames, but the video has {expected}. Give one frame for "
            f"the whole video, or one for each of its frames."
        )
    small = F.interpolate(mask[:, None].float().clamp(0, 1).cpu(), grid, mode="area")[:, 0]  # (frames, h, w)
    if len(small) == 1:
        return small.expand(frames, -1, -1)
    # The first latent frame is one frame of the video, each further one four of them.
    later = small[1:].unflatten(0, (frames - 1, 4)).mean(dim=1) if frames > 1 else small[:0]
    return torch.cat([small[:1], later])


def box_mask(box: Sequence[float], number: int) -> Tensor:
    """A box as a mask.

    Args:
        box: left, top, right, bottom as fractions of the frame's width and height.
        number: of the subject, for messages.

    Returns:
        (1, BOX_SIDE, BOX_SIDE) float32, 0 or 1, at least one pixel.

    Raises:
        LumosXError: a box that is not inside the frame or has no area.
    """
    left, top, right, bottom = box
    if not (0 <= left < right <= 1 and 0 <= top < bottom <= 1):
        raise LumosXError(
            f"The box of subject {number} is {left:g},{top:g},{right:g},{bottom:g}, expected left, top, right, bottom "
            f"as fractions of the frame, 0 <= left < right <= 1 and 0 <= top < bottom <= 1. The left half is 0,0,0.5,1."
        )
    mask = torch.zeros(1, BOX_SIDE, BOX_SIDE)
    rows = slice(math.floor(top * BOX_SIDE), math.ceil(bottom * BOX_SIDE))
    mask[:, rows, math.floor(left * BOX_SIDE) : math.ceil(right * BOX_SIDE)] = 1
    return mask
