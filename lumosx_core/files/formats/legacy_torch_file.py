"""Files that torch before 1.6 saved: pickles in a row, then the values.

They are opened only where a released network exists in no other form. As with newer files nothing in one runs, and
what it claims to hold is compared with its size before memory is taken for it.
"""

from __future__ import annotations

import io
import pickletools
from pathlib import Path
from typing import Any

from torch import Tensor

from ...errors import LumosXError, ran_out_of_memory, shown
from ..stored_tensor import StoredTensor
from .torch_file import check_pickle, check_plain, load_weights_only

_MAGIC = 0x1950A86A20F9469CFC6C
_PICKLES = 5  # the magic number, a version, the machine, the content, the names of its values
_NUMBERS = {"BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "INT"}
_LONGEST = 2**24  # bytes of all of them; what is beyond is not read as a pickle
_AGAIN = "Copy or download it again."


def is_legacy_torch(path: Path) -> bool:
    """Whether a file begins like one of torch before 1.6. What cannot be opened does not."""
    try:
        with path.open("rb") as file:
            return path.is_file() and file.read(64).find(_MAGIC.to_bytes(10, "little")) > 0
    except OSError:
        return False


def open_legacy_torch(path: Path) -> dict[str, StoredTensor]:
    """Name -> tensor of a file that is a flat dict of tensors, as state dicts are; all are in memory.

    Raises:
        LumosXError: the file is damaged, asks for code, or holds anything else.
    """
    size = path.stat().st_size
    _check(path, size)
    try:
        content = load_weights_only(path, path=path)
    except LumosXError:
        raise
    except Exception as error:  # a damaged file raises almost anything
        if ran_out_of_memory(error):
            raise
        lines = str(error).strip().splitlines() or [type(error).__name__]
        # torch puts its cause behind advice to open the file in an unsafe way.
        reason = next((line.strip() for line in lines if "Unpickler error" in line), lines[0])
        raise LumosXError(
            f"{path} is a damaged file of torch, or one that asks for more than plain weights ({shown(reason)}). "
            f"{_AGAIN}"
        ) from error
    if not isinstance(content, dict) or not all(
        isinstance(name, str) and isinstance(value, Tensor) for name, value in content.items()
    ):
        raise LumosXError(f"{path} holds something other than names and tensors. Give a state dict.")
    for name, value in content.items():
        check_plain(value, f"{path}: {name[:200]!r}", size)
    return {name: StoredTensor.of(value.detach()) for name, value in content.items()}


def _check(path: Path, size: int) -> None:
    """Refuse pickles that are too long or too deep, and values that the file is too small for."""
    with path.open("rb") as file:
        # In memory: of a length that is damaged, a file would take as much memory as it says.
        head = io.BytesIO(file.read(_LONGEST))
    for _ in range(_PICKLES):
        start, values = head.tell(), 0
        number: Any = 0
        try:
            for code, argument, _ in pickletools.genops(head):
                if code.name in _NUMBERS:
                    number = argument
                elif code.name == "BINPERSID":  # the last number before it is how many values there are
                    values += abs(number)
        except Exception as error:  # pickletools raises almost anything
            raise LumosXError(f"{path} is a truncated or damaged file of torch before 1.6. {_AGAIN}") from error
        if values > size:
            raise LumosXError(f"{path} is damaged: it claims {values:,} values in {size:,} bytes. {_AGAIN}")
        check_pickle(head.getvalue()[start : head.tell()], path)
