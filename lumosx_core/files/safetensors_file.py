"""Writing of safetensors files tensor by tensor, so that memory holds one tensor at a time."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import BinaryIO

import torch

from .stored_tensor import StoredTensor

_NAMES = {
    torch.float64: "F64",
    torch.float32: "F32",
    torch.float16: "F16",
    torch.bfloat16: "BF16",
    torch.float8_e4m3fn: "F8_E4M3",
    torch.float8_e5m2: "F8_E5M2",
    torch.int64: "I64",
    torch.int32: "I32",
    torch.int16: "I16",
    torch.int8: "I8",
    torch.uint8: "U8",
    torch.bool: "BOOL",
}


def in_file_order(tensors: Mapping[str, StoredTensor]) -> list[tuple[str, StoredTensor]]:
    """The order in which `write_safetensors` loads: wide types first, so that each tensor starts at a multiple of its
    width.
    """
    return sorted(tensors.items(), key=lambda item: (-item[1].dtype.itemsize, item[0]))


def data_size(tensors: Mapping[str, StoredTensor]) -> int:
    """Bytes that the values take in a file."""
    return sum(tensor.shape.numel() * tensor.dtype.itemsize for tensor in tensors.values())


def write_safetensors(
    file: BinaryIO, tensors: Mapping[str, StoredTensor], metadata: Mapping[str, str] | None = None
) -> None:
    """Write a safetensors file; each tensor is loaded when its turn comes."""
    table: dict[str, object] = {"__metadata__": {"format": "pt", **(metadata or {})}}
    end = 0
    for name, tensor in in_file_order(tensors):
        size = tensor.shape.numel() * tensor.dtype.itemsize
        table[name] = {"dtype": _NAMES[tensor.dtype], "shape": list(tensor.shape), "data_offsets": [end, end + size]}
        end += size
    text = json.dumps(table, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    file.write(len(text).to_bytes(8, "little") + text)
    for _, tensor in in_file_order(tensors):
        # As bytes, since NumPy has neither bfloat16 nor fp8.
        file.write(memoryview(tensor.load().detach().contiguous().reshape(-1).view(torch.uint8).numpy()))
