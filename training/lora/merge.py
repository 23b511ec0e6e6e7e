"""Merges LoRAs into a model's file.

Tensors are read, changed and written one by one, so that memory holds the LoRAs and one of the model's tensors.
"""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

from torch import Tensor

from lumosx_core.errors import LumosXError
from lumosx_core.files.atomic_file import atomic_file
from lumosx_core.files.safetensors_file import Header, all_finite, as_bytes, fp8_scale, header_bytes, read_header
from lumosx_core.models.lumosx.weights.load import open_network
from lumosx_core.models.lumosx.weights.origin import ORIGIN, noted_origin
from lumosx_core.models.wan.names import native_names
from lumosx_core.own_command import own_command

from ..file_hash import sha256_of
from .files import BASE_SHA256, LoraFile, check_destination, read_lora

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
    float32 and rounded once. Scaled fp8 weights get a new scale. The file appears complete or not at all. A warning is
    logged for a LoRA that names the SHA-256 of another base.

    Args:
        base: a safetensors file with a LumosX or Wan2.1 network.
        loras: one or several, of any format of `read_lora`.
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
    added = [(read_lora(path), each) for path, each in zip(paths, strengths, strict=True)]
    for lora, _ in added:
        lora.check(shapes)
    _warn_of_other_bases(base, [lora for lora, _ in added])
    ours = any(key.startswith("lumosx_") for lora, _ in added for key in lora.metadata)
    metadata = {
        "lumosx_merged": json.dumps({Path(p).name: s for p, s in zip(paths, strengths, strict=True)}),
        ORIGIN: "lumosx" if ours else noted_origin(base),
    }
    _rewrite(base, out, _Merge(base, added).changes(), metadata)
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

    def changes(self) -> dict[str, Callable[[], Tensor]]:
        """Name in the base file -> what gives its new value."""
        changes: dict[str, Callable[[], Tensor]] = {}
        for native, name in native_names(self.header).items():
            touched = any(
                native.removesuffix(".weight") in lora.layers or native in lora.differences for lora, _ in self.loras
            )
            if not touched:
                continue
            scale = next((s for s in (name.removesuffix(".weight") + e for e in _SCALES) if s in self.header), None)
            if scale is None:
                changes[name] = partial(self._plain, native, name)
            else:
                changes[name] = partial(self._scaled_weight, native, name, scale)
                changes[scale] = partial(self._scale, native, name, scale)
        return changes

    def _sum(self, native: str, weight: Tensor) -> Tensor:
        """The weight, float32, with the changes of all LoRAs."""
        layer = native.removesuffix(".weight")
        for lora, strength in self.loras:
            if native.endswith(".weight") and layer in lora.layers:
                weight = weight + strength * lora.layers[layer].change().reshape(weight.shape)
            if native in lora.differences:
                weight = weight + strength * lora.differences[native].float()
        return weight

    def _plain(self, native: str, name: str) -> Tensor:
        weight = self._load(name)
        return _finite(native, self._sum(native, weight.float()).to(weight.dtype))

    def _scaled(self, native: str, name: str, scale: str) -> tuple[Tensor, Tensor]:
        """New fp8 values and their scale: the largest value becomes the largest that the dtype has."""
        weight, old = self._load(name), self._load(scale)
        values = _finite(native, self._sum(native, weight.float() * old.float().reshape(())))
        new = fp8_scale(values, weight.dtype)
        return (values / new).to(weight.dtype), new.to(old.dtype).reshape(old.shape)

    def _scaled_weight(self, native: str, name: str, scale: str) -> Tensor:
        return self._scaled(native, name, scale)[0]

    def _scale(self, native: str, name: str, scale: str) -> Tensor:
        return self._scaled(native, name, scale)[1]

    def _load(self, name: str) -> Tensor:
        from safetensors import safe_open

        with safe_open(self.base, framework="pt") as file:
            return file.get_tensor(name)


def _finite(name: str, values: Tensor) -> Tensor:
    if not all_finite(values):
        raise LumosXError(
            f"With the LoRA, {name!r} has values that {str(values.dtype).removeprefix('torch.')} cannot hold. Use a "
            f"smaller strength, or a base model in bf16, which has float32's range."
        )
    return values


def _read_header(path: Path) -> Header:
    try:
        return read_header(path)
    except LumosXError as error:
        raise LumosXError(
            f"{path} is not a safetensors file. Convert it: {own_command('convert', path, 'model.safetensors')}"
        ) from error


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
            for position in range(start, stop, _CHUNK):
                new.write(old.read(min(_CHUNK, stop - position)))
