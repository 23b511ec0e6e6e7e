"""Merges LoRAs into a model's file.

Tensors are read, changed and written one by one, so that memory holds the LoRAs and one of the model's tensors.
"""

from __future__ import annotations

import json
import logging
import math
import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from lumosx_core.errors import LumosXError
from lumosx_core.files.atomic_file import atomic_file
from lumosx_core.files.file_hash import sha256_of
from lumosx_core.files.formats.quantised import FP8
from lumosx_core.files.safetensors_file import (
    DTYPES,
    Header,
    all_finite,
    as_bytes,
    fp8_scale,
    header_bytes,
    is_safetensors,
    read_header,
)
from lumosx_core.models.lumosx.weights.load import open_network
from lumosx_core.models.lumosx.weights.origin import ORIGIN, noted_origin
from lumosx_core.models.wan.names import native_names
from lumosx_core.own_command import own_command

from .files import BASE_SHA256, LoraFile, check_destination
from .read import read_any_lora
from .rounding import KeptChange, round_by_chance

log = logging.getLogger(__name__)
_SCALES = (".scale_weight", ".weight_scale")
_CHUNK = 2**24  # bytes


def merge_lora(
    base: str | Path,
    loras: str | Path | Sequence[str | Path],
    out: str | Path,
    strength: float | Sequence[float] = 1.0,
    *,
    overwrite: bool = False,
) -> Path:
    """Write the base model with the LoRAs added to its weights.

    Everything the LoRAs do not change is copied byte by byte, and what they change keeps its dtype: the sum is made in
    float32 and rounded once. In fp8 it is rounded by chance, which keeps small changes on average, and how much was
    kept is logged; scaled weights get a new scale where the old one is too small. The file appears complete or not at
    all. A warning is logged for a LoRA that names the SHA-256 of another base.

    Args:
        base: a safetensors file with a LumosX or Wan2.1 network.
        loras: one or several, of any format of `read_any_lora`.
        out: a path ending in .safetensors.
        strength: one for all LoRAs, or one for each.
        overwrite: replace a file at `out`.

    Returns:
        `out`.

    Raises:
        LumosXError: the base is no such file, a LoRA does not fit it, a value does not fit into the base's dtype, or
            the file cannot be written.
    """
    base, out = Path(base), check_destination(out, overwrite=overwrite)
    paths = [loras] if isinstance(loras, str | Path) else list(loras)
    strengths = [strength] * len(paths) if isinstance(strength, int | float) else list(strength)
    if not paths or len(strengths) != len(paths):
        raise LumosXError(f"{len(strengths)} strengths for {len(paths)} LoRAs. Give one strength, or one for each.")
    for path in (base, *paths):
        if out.exists() and Path(path).exists() and out.samefile(path):
            raise LumosXError(f"{out} is itself one of the files to merge. Choose another name for the result.")

    shapes = {name: tensor.shape for name, tensor in open_network(base).tensors.items()}
    added = [(read_any_lora(path), each) for path, each in zip(paths, strengths, strict=True)]
    for lora, _ in added:
        lora.check(shapes)
    _warn_of_other_bases(base, [lora for lora, _ in added])
    ours = any(key.startswith("lumosx_") for lora, _ in added for key in lora.metadata)
    metadata = {
        "lumosx_merged": json.dumps({Path(p).name: s for p, s in zip(paths, strengths, strict=True)}),
        ORIGIN: "lumosx" if ours else noted_origin(base),
    }
    merge = _Merge(base, added)
    _rewrite(base, out, merge.changes(), metadata)
    if merge.in_fp8.tensors:
        log.warning(
            "%s is fp8, whose steps are larger than many changes: %.0f %% of the change of %d matrices is in the "
            "result, with rounding noise of %.1f times the change. To keep all of it, merge into a bf16 file.",
            base,
            100 * merge.in_fp8.kept,
            merge.in_fp8.tensors,
            merge.in_fp8.noise,
        )
    return out


def _warn_of_other_bases(base: Path, loras: Sequence[LoraFile]) -> None:
    """Log which LoRAs were trained on another file."""
    made_for = {lora.source: lora.metadata[BASE_SHA256] for lora in loras if BASE_SHA256 in lora.metadata}
    own = sha256_of(base) if made_for else None
    for source, sha256 in made_for.items():
        if sha256 != own:
            log.warning(
                "%s was trained on another file than %s (SHA-256 %s...). Unless that is the same model in another "
                "precision or format, or with another LoRA in it, merge it into the one it was trained on.",
                source,
                base,
                sha256[:12],
            )


class _Merge:
    """The changed tensors of a base file, made when their turn comes."""

    def __init__(self, base: Path, loras: Sequence[tuple[LoraFile, float]]):
        self.loras = loras
        self.header = _read_header(base).entries
        self.base = base
        self.in_fp8 = KeptChange()

    def changes(self) -> dict[str, Callable[[], Tensor]]:
        """Name in the base file -> what gives its new value."""
        changes: dict[str, Callable[[], Tensor]] = {}
        for native, name in native_names(self.header).items():
            touched = any(
                native.removesuffix(".weight") in lora.changes or native in lora.differences for lora, _ in self.loras
            )
            if not touched:
                continue
            scale = next((s for s in (name.removesuffix(".weight") + e for e in _SCALES) if s in self.header), None)
            if scale is not None:
                self._check_scale(name, scale)
            if scale is None:
                changes[name] = partial(self._plain, native, name)
            else:
                changes[name] = partial(self._scaled_weight, native, name, scale)
                changes[scale] = partial(self._scale, native, name, scale)
        return changes

    def _check_scale(self, name: str, scale: str) -> None:
        """Raise LumosXError for quantised weights that are read, but not written again."""
        if DTYPES.get(self.header[name]["dtype"]) not in FP8 or math.prod(self.header[scale]["shape"]) != 1:
            raise LumosXError(
                f"{self.base} stores {name!r} as {self.header[name]['dtype']} with scales of shape "
                f"{tuple(self.header[scale]['shape'])}, into which nothing is merged. Convert it first: "
                f"{own_command('convert', self.base, 'model.safetensors')}"
            )

    def _sum(self, native: str, weight: Tensor) -> Tensor:
        """The weight, float32, with the changes of all LoRAs."""
        layer = native.removesuffix(".weight")
        for lora, strength in self.loras:
            if native.endswith(".weight") and layer in lora.changes:
                weight = weight + strength * lora.changes[layer].change().reshape(weight.shape)
            if native in lora.differences:
                weight = weight + strength * lora.differences[native].float()
        return weight

    def _plain(self, native: str, name: str) -> Tensor:
        weight = self._load(name)
        before = weight.float()
        values = self._sum(native, before)
        if weight.dtype not in FP8:
            return _finite(native, values.to(weight.dtype))
        if values.numel() and values.abs().max() > torch.finfo(weight.dtype).max:
            raise _too_large(native, weight.dtype)
        rounded = round_by_chance(_finite(native, values), weight.dtype, native)
        self.in_fp8.add(before, values, rounded.float())
        return rounded

    def _scaled(self, native: str, name: str, scale: str) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Values before, as they should be, and as they are, in fp8; and their scale.

        The scale stays where the largest value still fits: then unchanged values stay what they are.
        """
        weight, old = self._load(name), self._load(scale)
        factor = old.float().reshape(())
        before = weight.float() * factor
        values = _finite(native, self._sum(native, before))
        if (values.abs() > factor.abs() * torch.finfo(weight.dtype).max).any():
            factor = fp8_scale(values, weight.dtype).to(old.dtype).float()
        if not factor:
            return before, values, weight, old
        limit = torch.finfo(weight.dtype).max
        rounded = round_by_chance((values / factor).clamp(-limit, limit), weight.dtype, native)
        return before, values, rounded, factor.to(old.dtype).reshape(old.shape)

    def _scaled_weight(self, native: str, name: str, scale: str) -> Tensor:
        before, values, rounded, factor = self._scaled(native, name, scale)
        self.in_fp8.add(before, values, rounded.float() * factor.float().reshape(()))
        return rounded

    def _scale(self, native: str, name: str, scale: str) -> Tensor:
        return self._scaled(native, name, scale)[3]

    def _load(self, name: str) -> Tensor:
        from safetensors import safe_open

        with safe_open(self.base, framework="pt") as file:
            return file.get_tensor(name)


def _finite(name: str, values: Tensor) -> Tensor:
    if not all_finite(values):
        raise _too_large(name, values.dtype)
    return values


def _too_large(name: str, dtype: torch.dtype) -> LumosXError:
    return LumosXError(
        f"With the LoRA, {name!r} has values that {str(dtype).removeprefix('torch.')} cannot hold. Use a smaller "
        f"strength, or a base model in bf16, which has float32's range."
    )


def _read_header(path: Path) -> Header:
    if not os.path.isfile(path) or not is_safetensors(path):
        raise LumosXError(
            f"{path} is not one safetensors file. Convert it: {own_command('convert', path, 'model.safetensors')}"
        )
    return read_header(path)


def _rewrite(source: Path, out: Path, changes: Mapping[str, Callable[[], Tensor]], metadata: Mapping[str, str]) -> None:
    """Copy a safetensors file, with other values in some tensors of the same shape and dtype."""
    header = _read_header(source)
    table = header.entries
    free, size = shutil.disk_usage(out.parent).free, source.stat().st_size
    if size > free:
        raise LumosXError(
            f"{out} needs {size / 1e9:.2f} GB, but its disk has {free / 1e9:.2f} GB free. Free some space, or choose "
            f"another folder."
        )
    with source.open("rb") as old, atomic_file(out) as new:
        new.write(header_bytes(table, {**header.metadata, **metadata}))
        for name, entry in sorted(table.items(), key=lambda item: item[1]["data_offsets"]):
            start, stop = entry["data_offsets"]
            if name in changes:
                new.write(as_bytes(changes[name]()))
                continue
            old.seek(header.start + start)
            dtype = DTYPES.get(entry["dtype"])
            for position in range(start, stop, _CHUNK):
                data = bytearray(old.read(min(_CHUNK, stop - position)))
                if (
                    dtype is not None
                    and dtype.is_floating_point
                    and not all_finite(torch.frombuffer(data, dtype=dtype))
                ):
                    raise LumosXError(f"{source} has values in {name!r} that are not finite. Get the file again.")
                new.write(data)
