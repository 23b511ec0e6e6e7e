"""Weights stored in few bits: those with one scale for each tensor or each row are read, others are named."""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from ...errors import LumosXError
from ..stored_tensor import StoredTensor

FP8 = (torch.float8_e4m3fn, torch.float8_e5m2)
QUANTISATION = (".scale_weight", ".weight_scale", ".scale_input", ".input_scale", ".comfy_quant", "scaled_fp8")
"""Endings of what ComfyUI stores beside quantised weights."""

FLOATS_WANTED = "Give a bf16, fp16, fp32 or scaled fp8 file of the same model."
_SCALES = (".scale_weight", ".weight_scale")
# What only this kind of file has beside its weights -> what it is called.
_OTHER_KINDS = {
    ".absmax": "bitsandbytes",
    ".quant_map": "bitsandbytes",
    ".qweight": "GPTQ, AWQ or SVDQuant",
    ".wscales": "SVDQuant",
    ".weight_scale_2": "NVFP4",
    ".weight_scale_inv": "fp8 in blocks",
    ".weight_zero_point": "integers with a zero point",
}


def dequantised(path: Path, tensors: Mapping[str, StoredTensor]) -> dict[str, StoredTensor]:
    """Weights as their true values, without the tensors that only describe how they are quantised.

    fp8 and int8 matrices with one scale, or one for each row, load as float32. Whole numbers that are not weights
    (position tables, counters) are left out.

    Raises:
        LumosXError: weights are quantised in another way.
    """
    for name in tensors:
        if kind := next((kind for ending, kind in _OTHER_KINDS.items() if name.endswith(ending)), None):
            raise LumosXError(f"{path} is quantised as {kind} ({name!r}), which is not read. {FLOATS_WANTED}")
    plain = {}
    for name, tensor in tensors.items():
        if name.endswith(QUANTISATION):
            continue
        scale = None
        if name.endswith(".weight"):
            layer = name.removesuffix(".weight")
            scale = next((tensors[layer + ending] for ending in _SCALES if layer + ending in tensors), None)
        if scale is not None:
            if not _is_read(tensor, scale):
                raise LumosXError(
                    f"{path}: {name!r} is quantised in a way that is not read ({_name(tensor.dtype)} with scales of "
                    f"shape {tuple(scale.shape)}, {_name(scale.dtype)}). {FLOATS_WANTED}"
                )
            # A matrix of whole numbers is none of them once it is scaled.
            dtype = tensor.dtype if tensor.dtype.is_floating_point else torch.float32
            tensor = StoredTensor(tensor.shape, dtype, partial(_scaled, tensor, scale))
        elif not tensor.dtype.is_floating_point:
            if name.endswith(".weight"):
                raise LumosXError(
                    f"{path} is quantised in a way that is not read: {name!r} is {_name(tensor.dtype)}, and there is "
                    f"no scale for it. {FLOATS_WANTED}"
                )
            continue
        plain[name] = tensor
    return plain


def _is_read(weight: StoredTensor, scale: StoredTensor) -> bool:
    rows = weight.shape[0] if len(weight.shape) >= 2 else 0
    by_row = tuple(scale.shape) in ((rows,), (rows, *[1] * (len(weight.shape) - 1)))
    return (
        (weight.dtype in FP8 or weight.dtype == torch.int8)
        and scale.dtype.is_floating_point
        and scale.dtype.itemsize > 1
        and (math.prod(scale.shape) == 1 or by_row)
    )


def _scaled(weight: StoredTensor, scale: StoredTensor) -> Tensor:
    factor = scale.load().float()
    return weight.load().float() * factor.reshape(-1, *[1] * (len(weight.shape) - 1) if factor.numel() > 1 else [1])


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
