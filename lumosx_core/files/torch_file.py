"""The one place that opens torch's own file format."""

from __future__ import annotations

from pathlib import Path
from typing import Any, BinaryIO

import torch

from ..errors import LumosXError


def load_weights_only(file: Path | BinaryIO, *, path: Path, mmap: bool = False) -> Any:
    """`torch.load` onto the CPU that builds plain tensors and containers only.

    Args:
        path: the file's name in a message.
        mmap: leave the tensors in the file until they are used; needs `file` to be a path.

    Raises:
        LumosXError: torch is older than 2.6, whose `weights_only=True` could be made to run code (CVE-2025-32434).
        Exception: whatever torch raises for a damaged file or one that asks for code.
    """
    if tuple(int(part) for part in torch.__version__.split(".")[:2]) < (2, 6):
        raise LumosXError(
            f"{path} is not opened: reading this format is not safe with torch {torch.__version__}. Update torch to "
            f"2.6 or newer, or give a safetensors file."
        )
    if isinstance(file, Path) and file.suffix == ".safetensors":
        # torch decides by this name that it is no torch file; by its content it is one.
        with file.open("rb") as stream:
            return torch.load(stream, map_location="cpu", weights_only=True)
    return torch.load(file, map_location="cpu", weights_only=True, mmap=mmap)
