"""Rounding to few bits by chance, so that a change smaller than their step is kept on average.

fp8 has eight steps between a number and its double. Rounded to the nearest, a change of a few percent of a weight
mostly vanishes; rounded up with the probability of the part of a step that is missing, the mean of many weights keeps
it, at the price of noise.
"""

from __future__ import annotations

import math
import zlib

import torch
from torch import Tensor


def round_by_chance(values: Tensor, dtype: torch.dtype, name: str) -> Tensor:
    """Values in another floating type, each rounded to one of its two neighbours there, by chance.

    A value that the type has stays what it is. The same values and name give the same result.

    Args:
        values: float32, none larger than the type's largest.
        name: of the tensor, from which the chance is drawn.
    """
    about = torch.finfo(dtype)
    generator = torch.Generator().manual_seed(zlib.crc32(name.encode()))
    lowest = round(math.log2(about.smallest_normal))
    size = values.abs()
    # frexp gives a half to one times a power of two, and the type's step is eps of the power below.
    power = (torch.frexp(size).exponent - 1).clamp(min=lowest)
    step = torch.ldexp(torch.full_like(size, about.eps), power)
    rounded = torch.floor(size / step + torch.rand(size.shape, generator=generator)) * step
    return torch.copysign(rounded.clamp(max=about.max), values).to(dtype)


class KeptChange:
    """How much of what was added to weights is in them after rounding.

    `kept` is the part of the change that arrived (1: all of it), `noise` the size of what came beside it, in units of
    the change; both over all tensors.
    """

    def __init__(self) -> None:
        self.tensors = 0
        self._wanted = self._arrived = self._beside = 0.0

    def add(self, before: Tensor, wanted: Tensor, after: Tensor) -> None:
        """Take in a tensor: its values before, those it should have, and those it has; float32."""
        change, made = (wanted - before).double(), (after - before).double()
        self.tensors += 1
        self._wanted += float((change * change).sum())
        self._arrived += float((change * made).sum())
        self._beside += float(((made - change) ** 2).sum())

    @property
    def kept(self) -> float:
        return self._arrived / self._wanted if self._wanted else 1.0

    @property
    def noise(self) -> float:
        return math.sqrt(self._beside / self._wanted) if self._wanted else 0.0
