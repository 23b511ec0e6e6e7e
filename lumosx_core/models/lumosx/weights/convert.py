"""Writes a checkpoint as one safetensors file that ComfyUI's stock loader takes."""

from __future__ import annotations

import json
import math
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

import torch
from torch import Tensor

from ....errors import LumosXError, MissingPackageError
from ....files.atomic_file import atomic_file
from ....files.stored_tensor import StoredTensor
from ...family import OpenNetwork
from ..model import LumosXModel
from .load import open_network
from .origin import ORIGIN, noted_origin

Precision = Literal["bf16", "fp16", "fp8_e4m3fn"]

_PLAIN = {"bf16": torch.bfloat16, "fp16": torch.float16}
_NAMES = {torch.float32: "F32", torch.bfloat16: "BF16", torch.float16: "F16", torch.float8_e4m3fn: "F8_E4M3"}
# The large matrices: 97 % of the values. Everything else is small and sensitive and stays bfloat16.
_QUANTISED = re.compile(r"blocks\.\d+\.(self_attn|cross_attn)\.[qkvo]\.weight|blocks\.\d+\.ffn\.[02]\.weight")


@dataclass(frozen=True)
class _Entry:
    """One tensor of the file to be written; the values are made when their turn comes."""

    name: str
    shape: tuple[int, ...]
    dtype: torch.dtype
    values: Callable[[], Tensor]

    @property
    def size(self) -> int:
        return math.prod(self.shape) * self.dtype.itemsize


def convert(
    source: str | Path,
    destination: str | Path,
    dtype: Precision = "bf16",
    *,
    origin: Literal["lumosx", "wan"] | None = None,
    overwrite: bool = False,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Path:
    """Write any readable LumosX or Wan2.1 text-to-video checkpoint as one safetensors file with native names.

    The file works in ComfyUI's stock loader (`models/diffusion_models`) and in `load_model`. Tensors are read, cast and
    written one by one, so that memory holds one of them. The file appears whole or not at all.

    fp8_e4m3fn quantises the matrices of the blocks, each with its own scale (the largest value becomes 448); the rest
    is bfloat16. ComfyUI then computes in its usual precision: fp8 saves memory, not accuracy of the activations.

    Args:
        source: safetensors or `.pt` file, or DCP directory.
        destination: a path ending in `.safetensors`, in a folder that exists.
        dtype: "bf16", "fp16" or "fp8_e4m3fn".
        origin: what the source was trained as, where that is known better than `weights_origin` can tell.
        overwrite: replace a file at the destination.
        progress: called after each tensor with the bytes written and all bytes to be written.

    Returns:
        The destination.

    Raises:
        LumosXError: the source is not such a network, the destination is not possible, a value does not fit into the
            dtype, or the disk is full. Nothing is left behind then.
    """
    source, destination = Path(source), Path(destination)
    if dtype not in get_args(Precision):
        raise LumosXError(f"dtype {dtype!r} is not possible. Use one of {', '.join(get_args(Precision))}.")
    _check_destination(source, destination, overwrite)

    entries = _entries(open_network(source), dtype)
    facts = {"lumosx_source": source.resolve().name, "lumosx_dtype": dtype, ORIGIN: origin or noted_origin(source)}
    header = _header(entries, {"format": "pt", **facts})
    size = len(header) + sum(entry.size for entry in entries)
    free = shutil.disk_usage(destination.parent).free
    if size > free:
        raise LumosXError(
            f"{destination} needs {size / 1e9:.2f} GB, but its disk has {free / 1e9:.2f} GB free. Free some space, or "
            f"choose another folder."
        )
    with atomic_file(destination) as file:
        done = file.write(header)
        for entry in entries:
            values = entry.values().contiguous()
            # One byte a number: NumPy, which gives the bytes out, has neither bfloat16 nor fp8.
            done += file.write(memoryview(values.reshape(-1).view(torch.uint8).numpy()))
            progress(done, size)
    return destination


@contextmanager
def conversion_bar() -> Iterator[Callable[[int, int], None]]:
    """A bar on the terminal, as the `progress` of one conversion.

    Raises:
        MissingPackageError: tqdm is not installed.
    """
    try:
        from tqdm import tqdm
    except ImportError as error:
        raise MissingPackageError("tqdm", "The progress bar", error) from error
    bar = None

    def progress(done: int, total: int) -> None:
        nonlocal bar
        if bar is None:  # not before: where the conversion is refused, no bar stands above the reason
            bar = tqdm(total=total, desc="Converting", unit="B", unit_scale=True)
        bar.update(done - bar.n)

    try:
        yield progress
    finally:
        if bar is not None:
            bar.close()


def _check_destination(source: Path, destination: Path, overwrite: bool) -> None:
    if destination.suffix != ".safetensors":
        raise LumosXError(f"{destination} must end in .safetensors: ComfyUI decides by the name how to read a file.")
    if not destination.parent.is_dir():
        raise LumosXError(f"The folder {destination.parent} does not exist. Create it, or choose another one.")
    if destination.exists():
        if source.exists() and destination.samefile(source):
            raise LumosXError(f"{destination} is the source itself. Choose another name for the converted file.")
        if destination.is_dir():
            raise LumosXError(f"{destination} is a folder. Choose another name for the converted file.")
        if not overwrite:
            raise LumosXError(f"{destination} exists already. Choose another name, or overwrite it with --overwrite.")


def _entries(network: OpenNetwork, dtype: Precision) -> list[_Entry]:
    tensors = network.tensors
    names = LumosXModel(network.config, device="meta").state_dict()
    entries = []
    if dtype == "fp8_e4m3fn":
        # ComfyUI knows scaled fp8 by this marker; two values in it ask for products in full precision.
        entries.append(_Entry("scaled_fp8", (2,), torch.float8_e4m3fn, lambda: torch.zeros(2).to(torch.float8_e4m3fn)))
    for name in names:
        tensor = tensors[name]
        if dtype == "fp8_e4m3fn" and _QUANTISED.fullmatch(name):
            entries += _quantised(name, tensor)
        else:
            entries.append(_plain(name, tensor, _PLAIN.get(dtype, torch.bfloat16)))
    # Wide numbers first, so that every tensor begins at a multiple of its width.
    return sorted(entries, key=lambda entry: -entry.dtype.itemsize)


def _plain(name: str, tensor: StoredTensor, dtype: torch.dtype) -> _Entry:
    def values() -> Tensor:
        return _finite(name, tensor.load().to(dtype))

    return _Entry(name, tuple(tensor.shape), dtype, values)


def _quantised(name: str, tensor: StoredTensor) -> list[_Entry]:
    """A matrix in fp8 and the number it must be multiplied by."""
    dtype = torch.float8_e4m3fn

    def scale(weight: Tensor) -> Tensor:
        return (_finite(name, weight).abs().max() / torch.finfo(dtype).max).clamp(min=torch.finfo(torch.float32).tiny)

    def values() -> Tensor:
        weight = tensor.load().float()
        return (weight / scale(weight)).to(dtype)

    return [
        _Entry(name.removesuffix("weight") + "scale_weight", (), torch.float32, lambda: scale(tensor.load().float())),
        _Entry(name, tuple(tensor.shape), dtype, values),
    ]


def _finite(name: str, values: Tensor) -> Tensor:
    if not values.isfinite().all():
        raise LumosXError(
            f"{name!r} has values that are not finite in {str(values.dtype).removeprefix('torch.')}. If the source is "
            f"sound, convert to bf16, which has float32's range."
        )
    return values


def _header(entries: list[_Entry], metadata: dict[str, str]) -> bytes:
    """Length and JSON of a safetensors header, padded so that the tensors begin at a multiple of 8."""
    table: dict[str, object] = {"__metadata__": metadata}
    end = 0
    for entry in entries:
        table[entry.name] = {
            "dtype": _NAMES[entry.dtype],
            "shape": list(entry.shape),
            "data_offsets": [end, end + entry.size],
        }
        end += entry.size
    text = json.dumps(table, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text
