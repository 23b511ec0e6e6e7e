"""The one place that opens torch's own file format.

Nothing in a file runs: `weights_only=True`. Tensors of kinds that plain weights never are (sparse, quantised, complex,
without values, larger than what the file holds) are refused here, before anything computes with them.
"""

from __future__ import annotations

import pickletools
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import torch
from torch import Tensor

from ...errors import LumosXError
from ..stored_tensor import StoredTensor

_AGAIN = "Copy or download it again."
_PLAIN = "Ask its author for a safetensors file."
DEEPEST = 500
"""Containers in containers that a pickle may have: Python itself ends the process at some ten thousands."""
_MOST_ENTRIES = 100_000
_LONGEST_PICKLE = 2**26


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
        # torch decides by this name that it is not a torch file; by its content it is.
        with file.open("rb") as stream:
            return torch.load(stream, map_location="cpu", weights_only=True)
    return torch.load(file, map_location="cpu", weights_only=True, mmap=mmap)


def open_torch(path: Path, *, numbers: bool = False) -> dict[str, StoredTensor]:
    """Name -> tensor of a `.pt` file; nested dicts give dotted names.

    Args:
        numbers: also plain numbers, as tensors without dimensions.

    Raises:
        LumosXError: the file is damaged, holds code, or holds tensors that are no plain weights.
    """
    _check_archive(path)
    try:
        content = load_weights_only(path, path=path, mmap=True)
    except LumosXError:
        raise
    except Exception as error:  # a damaged file raises almost anything
        unsafe = _unsafe_globals(path)
        if unsafe:
            raise LumosXError(
                f"{path} is refused: it asks for {', '.join(unsafe[:5])}, which plain weights never need and which "
                f"could run code on this machine. {_PLAIN}"
            ) from error
        lines = str(error).strip().splitlines() or [type(error).__name__]
        # torch puts its cause behind advice to open the file in an unsafe way.
        reason = next((line.strip() for line in lines if "Unpickler error" in line), lines[0])
        raise LumosXError(f"{path} is a damaged .pt file ({reason[:200]}). {_AGAIN}") from error
    size = path.stat().st_size
    tensors = {}
    for name, value in _flattened(content, path):
        if isinstance(value, Tensor):
            check_plain(value, f"{path}: {name[:200]!r}", size)
            tensors[name] = StoredTensor.of(value.detach())
        elif numbers and abs(value) < 2**63:
            tensors[name] = StoredTensor.of(torch.tensor(float(value)))
    return tensors


def check_plain(tensor: Tensor, where: str, size: int) -> None:
    """Raise LumosXError for a tensor that is not a plain array of real numbers.

    Args:
        where: file and name, for the message.
        size: bytes of the file; a tensor that repeats its values is never much larger.
    """
    kind = None
    if tensor.is_meta:
        kind = "has no values (it is on the device meta)"
    elif tensor.layout != torch.strided:
        kind = f"is sparse ({str(tensor.layout).removeprefix('torch.')})"
    elif tensor.is_nested:
        kind = "is a nested tensor"
    elif tensor.is_quantized:
        kind = f"is quantised ({str(tensor.dtype).removeprefix('torch.')})"
    elif tensor.dtype.is_complex:
        kind = f"is complex ({str(tensor.dtype).removeprefix('torch.')})"
    elif tensor.numel() * tensor.element_size() > max(4 * size, 2**20):
        kind = f"has {tensor.numel():,} values, more than the file holds (a repeated view)"
    if kind:
        raise LumosXError(f"{where} {kind}, which weights never are. Save plain float tensors, or ask its author to.")


def check_pickle(data: bytes, path: Path) -> None:
    """Raise LumosXError for containers that are nested too deep to be hashed or freed by Python.

    Raises:
        LumosXError: also for a pickle that is too long or not readable.
    """
    if len(data) > _LONGEST_PICKLE:
        raise LumosXError(f"{path} has a table of {len(data):,} bytes, more than any checkpoint needs. {_AGAIN}")
    stack: list[int] = []
    marks: list[int] = []
    memo: dict[Any, int] = {}
    try:
        for code, argument, _ in pickletools.genops(data):
            _step(code.name, argument, stack, marks, memo)
            if stack and stack[-1] > DEEPEST:
                raise LumosXError(f"{path} is refused: it holds containers nested more than {DEEPEST} deep. {_PLAIN}")
    except LumosXError:
        raise
    except Exception:  # damaged: its reader says so
        return


# Instructions that make one value of several: how many, how much deeper it is, and how much deeper all but the first.
_JOINS = {
    **{f"TUPLE{count}": (count, 1, 0) for count in (1, 2, 3)},
    **dict.fromkeys(("APPEND", "BUILD", "REDUCE", "NEWOBJ"), (2, 0, 1)),
    **dict.fromkeys(("SETITEM", "NEWOBJ_EX"), (3, 0, 1)),
    "STACK_GLOBAL": (2, 0, 0),
}
# The same of what lies behind a mark: how many in front of it, and the two depths.
_JOINS_MARKED = {
    **dict.fromkeys(("TUPLE", "LIST", "DICT", "FROZENSET", "INST", "OBJ"), (0, 1, 0)),
    **dict.fromkeys(("APPENDS", "SETITEMS", "ADDITEMS"), (1, 0, 1)),
}
_SILENT = ("PROTO", "FRAME", "STOP", "BINPERSID", "NEXT_BUFFER", "READONLY_BUFFER")


def _step(name: str, argument: Any, stack: list[int], marks: list[int], memo: dict[Any, int]) -> None:
    """Follow one instruction of a pickle; the stack holds how deep each value is."""
    if name in _JOINS:
        count, deeper, inside = _JOINS[name]
        _join(stack, len(stack) - count, deeper, inside)
    elif name in _JOINS_MARKED:
        count, deeper, inside = _JOINS_MARKED[name]
        _join(stack, marks.pop() - count, deeper, inside)
    elif name == "MARK":
        marks.append(len(stack))
    elif name == "POP_MARK":
        del stack[marks.pop() :]
    elif name == "POP":
        stack.pop()
    elif name.endswith("PUT"):
        memo[argument] = stack[-1]
    elif name == "MEMOIZE":
        memo[len(memo)] = stack[-1]
    elif name in ("GET", "BINGET", "LONG_BINGET"):
        stack.append(memo[argument])
    elif name == "DUP":
        stack.append(stack[-1])
    elif name not in _SILENT:
        stack.append(0)


def _join(stack: list[int], start: int, deeper: int, inside: int) -> None:
    """Replace the values from `start` on by one that holds them."""
    first, *others = stack[start:] or [0]
    stack[start:] = [deeper + max([first, *(depth + inside for depth in others)])]


def _check_archive(path: Path) -> None:
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
            names = {member.filename.rpartition("/")[2] for member in members}
            if "data.pkl" in names and "constants.pkl" not in names:
                if any(member.compress_type != zipfile.ZIP_STORED for member in members):
                    raise LumosXError(f"{path} was compressed after torch saved it. Unpack it, or save it again.")
                for member in members:
                    if member.filename.rpartition("/")[2] == "data.pkl":
                        if member.file_size > _LONGEST_PICKLE:
                            raise LumosXError(f"{path} has a table of {member.file_size:,} bytes. {_AGAIN}")
                        check_pickle(archive.read(member), path)
    except LumosXError:
        raise
    except Exception as error:  # zipfile raises almost anything for a damaged archive
        raise LumosXError(f"{path} is a truncated or damaged .pt or zip file. {_AGAIN}") from error
    if "data.pkl" not in names:
        found = [member.filename[:60] for member in members[:3]]
        raise LumosXError(
            f"{path} is a zip archive without a torch checkpoint (found: {found}). Expected: a .safetensors file, a "
            f".pt file of torch 1.6 or newer, or a DCP directory."
        )
    if "constants.pkl" in names:
        raise LumosXError(f"{path} is a TorchScript program, which is code and not opened. Give the plain weights.")


def _unsafe_globals(path: Path) -> list[str]:
    """Names in the file's pickle that are not allowed in plain weights; the pickle is read, not run."""
    try:
        return sorted(torch.serialization.get_unsafe_globals_in_checkpoint(path))
    except Exception:  # too damaged to be read; the caller says so
        return []


def _flattened(content: object, path: Path) -> Iterator[tuple[str, Tensor | float]]:
    """Tensors and numbers of nested dicts under dotted names, at most four deep (a pickle may contain itself)."""
    visited = 0

    def walk(content: object, prefix: str, depth: int) -> Iterator[tuple[str, Tensor | float]]:
        nonlocal visited
        if not isinstance(content, Mapping) or depth > 4:
            return
        for name, value in content.items():
            visited += 1
            if visited > _MOST_ENTRIES:
                raise LumosXError(f"{path} holds more than {_MOST_ENTRIES:,} entries, more than any network. {_PLAIN}")
            if not isinstance(name, str):
                continue
            if isinstance(value, Tensor) or (isinstance(value, int | float) and not isinstance(value, bool)):
                yield prefix + name, value
            else:
                yield from walk(value, f"{prefix}{name}.", depth + 1)

    yield from walk(content, "", 0)
