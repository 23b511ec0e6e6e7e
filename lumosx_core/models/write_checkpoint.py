"""A network of any family written as one safetensors file that ComfyUI's loaders take."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Literal, get_args

import torch
from torch import Tensor

from ..errors import LumosXError, MissingPackageError
from ..files.atomic_file import atomic_file
from ..files.new_file import check_new_file
from ..files.safetensors_file import all_finite, data_size, fp8_scale, write_safetensors
from ..files.stored_tensor import StoredTensor

Precision = Literal["bf16", "fp16", "fp8_e4m3fn"]
Progress = Callable[[int, int], None]
"""Called after each tensor with the bytes written and all bytes to be written."""

_PLAIN = {"bf16": torch.bfloat16, "fp16": torch.float16}


def check_precision(dtype: str) -> None:
    """Raise LumosXError for a precision that is not written."""
    if dtype not in get_args(Precision):
        raise LumosXError(f"dtype {dtype!r} is not possible. Use one of {', '.join(get_args(Precision))}.")


def check_destination(source: Path, destination: Path, overwrite: bool) -> None:
    """Raise LumosXError unless a converted file can be written there; it is asked before the source is read."""
    if destination.suffix != ".safetensors":
        raise LumosXError(f"{destination} must end in .safetensors: ComfyUI decides by the name how to read a file.")
    if not destination.parent.is_dir():
        raise LumosXError(f"The folder {destination.parent} does not exist. Create it, or choose another one.")
    if destination.exists():
        if source.exists() and destination.samefile(source):
            raise LumosXError(f"{destination} is the source itself. Choose another name for the converted file.")
        if destination.is_file() and not overwrite:
            raise LumosXError(f"{destination} exists already. Choose another name, or overwrite it with --overwrite.")
    check_new_file(destination)


def converted(
    names: Iterable[str],
    tensors: Mapping[str, StoredTensor],
    dtype: Precision,
    is_quantised: Callable[[str], object],
) -> list[tuple[str, StoredTensor]]:
    """Tensors as they are written, in the order of the file; each is converted when its turn comes.

    Args:
        names: which of the tensors.
        dtype: fp8_e4m3fn quantises some, each with its own scale (the largest value becomes 448); the rest is bfloat16.
        is_quantised: whether a tensor of this name is a large matrix, which becomes fp8.
    """
    made: list[tuple[str, StoredTensor]] = []
    if dtype == "fp8_e4m3fn":
        # ComfyUI knows scaled fp8 by this marker; two values in it ask for products in full precision.
        made.append(("scaled_fp8", StoredTensor.of(torch.zeros(2).to(torch.float8_e4m3fn))))
    for name in names:
        tensor = tensors[name]
        if dtype == "fp8_e4m3fn" and is_quantised(name):
            made += _quantised(name, tensor)
        else:
            target = _PLAIN.get(dtype, torch.bfloat16)
            made.append((name, StoredTensor(tensor.shape, target, partial(_plain, name, tensor, target))))
    # Wide numbers first, so that every tensor begins at a multiple of its width.
    return sorted(made, key=lambda item: -item[1].dtype.itemsize)


def write_checkpoint(
    destination: Path,
    tensors: list[tuple[str, StoredTensor]],
    metadata: Mapping[str, str],
    progress: Progress = lambda done, total: None,
) -> Path:
    """Write the file, whole or not at all; memory holds one tensor at a time.

    Raises:
        LumosXError: a value does not fit into its dtype, or the disk is full. Nothing is left behind then.
    """
    size = data_size(dict(tensors))
    free = shutil.disk_usage(destination.parent).free
    if size > free:
        raise LumosXError(
            f"{destination} needs {size / 1e9:.2f} GB, but its disk has {free / 1e9:.2f} GB free. Free some space, or "
            f"choose another folder."
        )
    with atomic_file(destination) as file:
        write_safetensors(file, tensors, metadata, progress=progress)
    return destination


@contextmanager
def conversion_bar() -> Iterator[Progress]:
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
        if bar is None:  # not before: where the conversion is refused, no bar is shown above the reason
            bar = tqdm(total=total, desc="Converting", unit="B", unit_scale=True)
        bar.update(done - bar.n)

    try:
        yield progress
    finally:
        if bar is not None:
            bar.close()


def _plain(name: str, tensor: StoredTensor, dtype: torch.dtype) -> Tensor:
    return _finite(name, tensor.load().to(dtype))


def _quantised(name: str, tensor: StoredTensor) -> list[tuple[str, StoredTensor]]:
    """A matrix in fp8 and the number it must be multiplied by."""
    dtype = torch.float8_e4m3fn

    def scale() -> Tensor:
        return fp8_scale(_finite(name, tensor.load().float()), dtype)

    def values() -> Tensor:
        weight = _finite(name, tensor.load().float())
        return (weight / fp8_scale(weight, dtype)).to(dtype)

    return [
        (name.removesuffix("weight") + "scale_weight", StoredTensor(torch.Size(()), torch.float32, scale)),
        (name, StoredTensor(tensor.shape, dtype, values)),
    ]


def _finite(name: str, values: Tensor) -> Tensor:
    if not all_finite(values):
        raise LumosXError(
            f"{name!r} has values that are not finite in {str(values.dtype).removeprefix('torch.')}. If the source is "
            f"sound, convert to bf16, which has float32's range."
        )
    return values
