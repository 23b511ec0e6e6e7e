"""Writes a checkpoint as one safetensors file that ComfyUI's stock loader takes."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Literal, get_args

import torch
from torch import Tensor

from ....errors import LumosXError, MissingPackageError
from ....files.atomic_file import atomic_file
from ....files.new_file import check_new_file
from ....files.safetensors_file import all_finite, data_size, fp8_scale, write_safetensors
from ....files.stored_tensor import StoredTensor
from ...family import OpenNetwork
from ..model import LumosXModel
from .load import open_network
from .origin import ORIGIN, noted_origin

Precision = Literal["bf16", "fp16", "fp8_e4m3fn"]

_PLAIN = {"bf16": torch.bfloat16, "fp16": torch.float16}
# The large matrices: 97 % of the values. Everything else is small and sensitive and stays bfloat16.
_QUANTISED = re.compile(r"blocks\.\d+\.(self_attn|cross_attn)\.[qkvo]\.weight|blocks\.\d+\.ffn\.[02]\.weight")


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

    tensors = _converted(open_network(source), dtype)
    facts = {"lumosx_source": source.resolve().name, "lumosx_dtype": dtype, ORIGIN: origin or noted_origin(source)}
    size = data_size(dict(tensors))
    free = shutil.disk_usage(destination.parent).free
    if size > free:
        raise LumosXError(
            f"{destination} needs {size / 1e9:.2f} GB, but its disk has {free / 1e9:.2f} GB free. Free some space, or "
            f"choose another folder."
        )
    with atomic_file(destination) as file:
        write_safetensors(file, tensors, facts, progress=progress)
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
        if bar is None:  # not before: where the conversion is refused, no bar is shown above the reason
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
        if destination.is_file() and not overwrite:
            raise LumosXError(f"{destination} exists already. Choose another name, or overwrite it with --overwrite.")
    check_new_file(destination)


def _converted(network: OpenNetwork, dtype: Precision) -> list[tuple[str, StoredTensor]]:
    names = LumosXModel(network.config, device="meta").state_dict()
    tensors: list[tuple[str, StoredTensor]] = []
    if dtype == "fp8_e4m3fn":
        # ComfyUI knows scaled fp8 by this marker; two values in it ask for products in full precision.
        tensors.append(("scaled_fp8", StoredTensor.of(torch.zeros(2).to(torch.float8_e4m3fn))))
    for name in names:
        tensor = network.tensors[name]
        if dtype == "fp8_e4m3fn" and _QUANTISED.fullmatch(name):
            tensors += _quantised(name, tensor)
        else:
            target = _PLAIN.get(dtype, torch.bfloat16)
            tensors.append((name, StoredTensor(tensor.shape, target, partial(_plain, name, tensor, target))))
    # Wide numbers first, so that every tensor begins at a multiple of its width.
    return sorted(tensors, key=lambda item: -item[1].dtype.itemsize)


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
