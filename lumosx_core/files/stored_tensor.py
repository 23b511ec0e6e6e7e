"""A tensor still in its file: shape and dtype are known, the values are read on demand."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, eq=False)
class StoredTensor:
    """One tensor of a checkpoint, not yet in memory.

    Args:
        shape: its size.
        dtype: the type it is stored in.
        load: reads it onto the CPU, scaled fp8 as float32. Each call reads again, so that nothing stays in memory
            unless the caller keeps it.
    """

    shape: torch.Size
    dtype: torch.dtype
    load: Callable[[], Tensor]

    @classmethod
    def of(cls, tensor: Tensor) -> StoredTensor:
        """A tensor that is at hand already, or mapped into memory by torch."""
        return cls(tensor.shape, tensor.dtype, lambda: tensor)
