"""Weights in the format of face-api and TensorFlow.js: a manifest in JSON, and bytes that 8 bits a value are read from.

A manifest is a list of groups; each has "paths", the files whose bytes follow each other, and "weights", in the order
of the bytes: name, shape, dtype and, where the values are stored in fewer bits, "quantization" with dtype, scale and
min: value = stored * scale + min.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeGuard

import numpy as np
import torch
from torch import Tensor

from ...errors import LumosXError, shown
from ...files.safetensors_file import all_finite

_STORED: dict[str, np.dtype] = {"uint8": np.dtype("<u1"), "uint16": np.dtype("<u2"), "float32": np.dtype("<f4")}
_MANIFEST_BYTES = 2**22
_MOST_BYTES = 2**30
_AGAIN = "Download both files again, as @vladmandic/face-api has them in its folder model."


def read_face_api(manifest: Path) -> dict[str, Tensor]:
    """Name -> float32 tensor of each weight.

    Args:
        manifest: the file NAME-weights_manifest.json; the files of weights are beside it.

    Raises:
        LumosXError: a file is missing, damaged, or of another size than the manifest says.
    """
    weights: dict[str, Tensor] = {}
    for group in _groups(manifest):
        data = b"".join(_bytes(manifest, name) for name in group["paths"])
        place = 0
        for name, shape, stored, scale, least in _entries(group["weights"], manifest):
            size = math.prod(shape) * stored.itemsize
            if place + size > len(data):
                raise _damaged(manifest, f"its weights need more than the {len(data)} bytes that are there")
            values = torch.from_numpy(np.frombuffer(data, stored, math.prod(shape), place).astype(np.float32))
            weights[name] = (values * scale + least).reshape(shape)
            if not all_finite(weights[name]):
                raise _damaged(manifest, f"{shown(name)!r} has values that are not finite")
            place += size
        if place != len(data):
            raise _damaged(manifest, f"its weights take {place} bytes, but there are {len(data)}")
    return weights


def _groups(manifest: Path) -> list[dict]:
    try:
        if manifest.stat().st_size > _MANIFEST_BYTES:
            raise _damaged(manifest, f"it has more than {_MANIFEST_BYTES} bytes")
        content = json.loads(manifest.read_text(encoding="utf-8"))
    except OSError as error:
        raise LumosXError(f"{manifest} cannot be read ({error.strerror or error}). {_AGAIN}") from error
    except (ValueError, RecursionError) as error:
        raise _damaged(manifest, f"it is not JSON ({shown(error, 80)})") from error
    groups = content if isinstance(content, list) else []
    for group in groups:
        if not (isinstance(group, dict) and _names(group.get("paths")) and isinstance(group.get("weights"), list)):
            raise _damaged(manifest, "a group has no paths or no weights")
    if not groups:
        raise _damaged(manifest, "it lists no weights")
    return groups


def _names(paths: Any) -> bool:
    """Whether these are names of files in the manifest's own folder."""
    plain = isinstance(paths, list) and all(isinstance(each, str) and each for each in paths)
    return plain and all(os.path.basename(each) == each and "\\" not in each and "\0" not in each for each in paths)


def _bytes(manifest: Path, name: str) -> bytes:
    path = manifest.parent / name
    try:
        if os.path.getsize(path) > _MOST_BYTES:
            raise _damaged(manifest, f"{shown(name)!r} has more than {_MOST_BYTES} bytes")
        return path.read_bytes()
    except OSError as error:
        raise LumosXError(
            f"The file {path} that {manifest.name} names cannot be read ({error.strerror or error}). {_AGAIN}"
        ) from error


def _entries(weights: list, manifest: Path) -> Iterator[tuple[str, tuple[int, ...], np.dtype, float, float]]:
    for entry in weights:
        entry = entry if isinstance(entry, dict) else {}
        name, shape = entry.get("name"), entry.get("shape")
        packed = entry.get("quantization") or {}
        packed = packed if isinstance(packed, dict) else {"dtype": "unknown"}
        stored = _STORED.get(str(packed.get("dtype", entry.get("dtype"))))
        if not isinstance(name, str) or stored is None or not _is_shape(shape):
            raise _damaged(manifest, f"the entry {shown(entry, 120)} has no name, shape or type that is known")
        scale, least = packed.get("scale", 1.0), packed.get("min", 0.0)
        if not all(isinstance(each, (int, float)) and math.isfinite(each) for each in (scale, least)):
            raise _damaged(manifest, f"{shown(name)!r} has a scale or minimum that is not a number")
        yield name, tuple(shape), stored, float(scale), float(least)


def _is_shape(value: Any) -> TypeGuard[list[int]]:
    return isinstance(value, list) and all(type(each) is int and 0 < each <= _MOST_BYTES for each in value)


def _damaged(manifest: Path, detail: str) -> LumosXError:
    return LumosXError(f"{manifest} is damaged: {detail}. {_AGAIN}")
