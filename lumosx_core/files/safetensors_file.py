"""The safetensors format: its header, writing tensor by tensor, and the scale of fp8 weights."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import torch
from torch import Tensor

from ..errors import LumosXError
from .stored_tensor import StoredTensor
from .text_file import check_regular

DTYPES = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "F8_E4M3": torch.float8_e4m3fn,
    "F8_E5M2": torch.float8_e5m2,
    "I64": torch.int64,
    "I32": torch.int32,
    "I16": torch.int16,
    "I8": torch.int8,
    "U8": torch.uint8,
    "BOOL": torch.bool,
}
"""The format's name of a type -> the type; a file may have others, which torch has no need of here."""

_NAMES = {dtype: name for name, dtype in DTYPES.items()}
LONGEST_HEADER = 2**24
"""Bytes of a header that is read; the largest networks have some hundred thousand. Each costs up to thirty as Python
objects."""
_AGAIN = "Copy or download it again."


@dataclass(frozen=True)
class Header:
    """What a safetensors file says of itself.

    Args:
        entries: name -> its "dtype", "shape" and "data_offsets", the bytes from `start` on.
        start: where the data begins.
    """

    entries: Mapping[str, Mapping[str, Any]]
    metadata: Mapping[str, str]
    start: int


def is_safetensors(path: Path) -> bool:
    """Whether a file begins as this format does, whatever its name is."""
    with path.open("rb") as file:
        head = file.read(9)
    return head[8:9] == b"{" and not head.startswith(b"GGUF")


def read_header(path: Path) -> Header:
    """Read a file's header, checked so far that the library's own terse errors cannot be met in common damage.

    Raises:
        LumosXError: there is no such file, or it is damaged or cut short.
    """
    try:
        return _read_header(path)
    except OSError as error:
        raise LumosXError(f"{str(path)[:300]} cannot be read: {error.strerror or error}. Check the path.") from error


def _read_header(path: Path) -> Header:
    check_regular(path)
    size = path.stat().st_size
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if length > min(size - 8, LONGEST_HEADER):
            raise LumosXError(
                f"{path} is a damaged or truncated safetensors file: its header should be {length} bytes long, but "
                f"the file has {size}. {_AGAIN}"
            )
        text = file.read(length)
    try:
        entries = json.loads(text.decode(), object_pairs_hook=_without_repetition)
        metadata = entries.pop("__metadata__", {})
        if not all(isinstance(value, str) for value in metadata.values()):
            raise ValueError("its metadata are not text")
        end = 8 + length + _check_entries(entries)
    except (ValueError, TypeError, KeyError, IndexError, AttributeError, RecursionError, OverflowError) as error:
        if str(error).startswith(_REPEATED):
            raise LumosXError(f"{path} is a damaged safetensors file: {error}. {_AGAIN}") from error
        raise LumosXError(f"{path} is a damaged safetensors file: its header is not readable. {_AGAIN}") from error
    if end > size:
        raise LumosXError(f"{path} is truncated: its tensors end at byte {end}, but the file has {size}. {_AGAIN}")
    return Header(entries, metadata, 8 + length)


_REPEATED = "it lists "


def _without_repetition(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object of JSON, in which no name may be twice: of two values readers choose differently."""
    made = dict(pairs)
    if len(made) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in made if names.count(name) > 1)
        raise ValueError(f"{_REPEATED}{twice[:100]!r} twice")
    return made


def _check_entries(entries: Mapping[str, Any]) -> int:
    """The end of the data; ValueError unless the tensors lie one behind the other and have the size of their shape."""
    spans = []
    for name, entry in entries.items():
        shape, (begin, end) = entry["shape"], entry["data_offsets"]
        numbers = [*shape, begin, end]
        if not isinstance(entry["dtype"], str) or not isinstance(shape, list) or len(shape) > 64:
            raise ValueError(f"{name!r} has no dtype or shape")
        if not all(type(number) is int and 0 <= number < 2**62 for number in numbers) or begin > end:
            raise ValueError(f"{name!r} has sizes that are no sizes")
        dtype = DTYPES.get(entry["dtype"])
        if dtype is not None and math.prod(shape) * dtype.itemsize != end - begin:
            raise ValueError(f"{name!r} has another size than its shape")
        spans.append((begin, end))
    reached = 0
    for begin, end in sorted(spans):
        if begin != reached:
            raise ValueError("tensors overlap, or there are gaps between them")
        reached = end
    return reached


def header_bytes(entries: Mapping[str, Mapping[str, Any]], metadata: Mapping[str, str]) -> bytes:
    """Length and JSON of a header, padded so that the tensors begin at a multiple of 8."""
    text = json.dumps({"__metadata__": {"format": "pt", **metadata}, **entries}, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text


def in_file_order(tensors: Mapping[str, StoredTensor]) -> list[tuple[str, StoredTensor]]:
    """Wide types first, so that each tensor starts at a multiple of its width; then by name."""
    return sorted(tensors.items(), key=lambda item: (-item[1].dtype.itemsize, item[0]))


def data_size(tensors: Mapping[str, StoredTensor]) -> int:
    """Bytes that the values take in a file."""
    return sum(tensor.shape.numel() * tensor.dtype.itemsize for tensor in tensors.values())


def write_safetensors(
    file: BinaryIO,
    tensors: Iterable[tuple[str, StoredTensor]],
    metadata: Mapping[str, str] | None = None,
    *,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> None:
    """Write a safetensors file; each tensor is loaded when its turn comes, so that memory holds one at a time.

    Args:
        tensors: in the order of the file, such as `in_file_order`.
        progress: called after each tensor with the bytes written and the bytes of the whole file.
    """
    ordered = list(tensors)
    entries: dict[str, dict[str, Any]] = {}
    end = 0
    for name, tensor in ordered:
        size = tensor.shape.numel() * tensor.dtype.itemsize
        entries[name] = {"dtype": _NAMES[tensor.dtype], "shape": list(tensor.shape), "data_offsets": [end, end + size]}
        end += size
    done = file.write(header_bytes(entries, metadata or {}))
    total = done + end
    for _, tensor in ordered:
        done += file.write(as_bytes(tensor.load()))
        progress(done, total)


def as_bytes(values: Tensor) -> memoryview:
    """The values as they are in a file: NumPy, which gives the bytes out, has neither bfloat16 nor fp8."""
    return values.detach().contiguous().reshape(-1).view(torch.uint8).numpy().data


def fp8_scale(values: Tensor, dtype: torch.dtype) -> Tensor:
    """The number that fp8 values are multiplied by: the largest value becomes the largest that the dtype has."""
    return (values.abs().max() / torch.finfo(dtype).max).clamp(min=torch.finfo(torch.float32).tiny)


def all_finite(values: Tensor) -> bool:
    """Whether there is neither NaN nor infinity."""
    if values.dtype.itemsize == 1:
        values = values.float()
    # Many times as fast as asking each value of a half-precision tensor.
    return values.numel() == 0 or bool(values.abs().amax().isfinite())
