"""Reads files of weights: safetensors, torch `.pt`, and torch distributed checkpoint directories.

What a file is, is decided by its content, never by its name, and nothing in a file can run code: `.pt` and DCP shards
are read with `weights_only=True`, DCP's table of contents by the restricted reader of dcp.py. Which network it is, is
not known here: the caller says by what rule names are unwrapped.
"""

from __future__ import annotations

import codecs
import math
import os
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from ..errors import LumosXError
from .dcp import METADATA, read_dcp
from .safetensors_file import DTYPES, read_header
from .stored_tensor import StoredTensor
from .torch_file import load_weights_only

FP8 = (torch.float8_e4m3fn, torch.float8_e5m2)
QUANTISATION = (".scale_weight", ".weight_scale", ".scale_input", ".input_scale", ".comfy_quant", "scaled_fp8")
"""Endings of what ComfyUI stores beside quantised weights."""

_EXPECTED = "Expected: a .safetensors file, a .pt file of torch 1.6 or newer, or a DCP directory."
_AGAIN = "Copy or download it again."

Renaming = Callable[[Iterable[str]], Mapping[str, str]]
"""Names that a network uses -> the names that its tensors have in a file; what is not in it is left out."""


def open_weights(path: str | os.PathLike, renaming: Renaming) -> dict[str, StoredTensor]:
    """Name -> tensor, still in the file; scaled fp8 weights load as float32.

    Raises:
        LumosXError: the file is missing, damaged, of another format, holds code, or holds no tensor.
    """
    path = Path(path)
    if not path.exists():
        raise LumosXError(f"{path} does not exist. Check the path. {_EXPECTED}")
    tensors = _open_directory(path) if path.is_dir() else _open_file(path)
    tensors = _dequantised({native: tensors[name] for native, name in renaming(tensors).items()})
    if not tensors:
        raise LumosXError(f"{path} holds no tensor at all. Give the released LumosX checkpoint or a converted one.")
    return tensors


def _open_directory(path: Path) -> dict[str, StoredTensor]:
    for directory in (path, path / "all", path / "ema", path / "model"):
        if (directory / METADATA).is_file():
            return read_dcp(directory)
    names = sorted(entry.name for entry in path.iterdir())
    raise LumosXError(
        f"{path} is a directory without a checkpoint: neither it nor all, ema or model in it has a file {METADATA!r} "
        f"(found: {', '.join(names[:5]) or 'nothing'}). Give a DCP directory, or the checkpoint file itself."
    )


def _open_file(path: Path) -> dict[str, StoredTensor]:
    with path.open("rb") as file:
        head = file.read(512)
    if not head:
        raise LumosXError(f"{path} is empty. {_AGAIN}")
    if head.startswith(b"PK\x03\x04"):
        return _open_torch(path)
    if head[8:9] == b"{" and not head.startswith(b"GGUF"):
        return _open_safetensors(path)
    raise LumosXError(f"{path} is {_what_else(head)} {_EXPECTED}")


def _what_else(head: bytes) -> str:
    """The likely kind of a file that begins with these bytes, and the fix."""
    if head.startswith(b"GGUF"):
        return "a GGUF file. In ComfyUI, load it with a GGUF loader and put LumosX Apply behind it."
    if head[:1] == b"\x80" and 2 <= head[1] <= 5:
        return (
            "a bare pickle (a .pt of torch before 1.6, or not a checkpoint), which is not opened as it could run code. "
            "Ask its author for a safetensors file."
        )
    if head[257:262] == b"ustar":
        return "a tar archive. Unpack it and give the checkpoint in it."
    if head.startswith((b"\x1f\x8b", b"7z\xbc\xaf\x27\x1c", b"Rar!")):
        return "a compressed archive. Unpack it and give the checkpoint in it."
    if head.startswith(b"version https://git-lfs"):
        return "a git-lfs pointer, not the file itself. Run: git lfs pull"
    if head.lstrip().lower().startswith((b"<!doctype", b"<html")):
        return f"a web page: the download did not give the file. {_AGAIN}"
    if _is_text(head):
        return f"a text file (it begins {head[:30].decode(errors='replace')!r})."
    if len(head) < 8:
        return f"only {len(head)} bytes long. {_AGAIN}"
    return f"of an unknown format, or damaged (it begins with the bytes {head[:8].hex(' ')})."


def _is_text(head: bytes) -> bool:
    try:
        # Incremental: the last character may be cut.
        text = codecs.getincrementaldecoder("utf-8")().decode(head)
    except UnicodeDecodeError:
        return False
    return all(character.isprintable() or character.isspace() for character in text)


def _open_safetensors(path: Path) -> dict[str, StoredTensor]:
    from safetensors import SafetensorError, safe_open

    header = read_header(path).entries
    try:
        file = safe_open(path, framework="pt")
        names = list(file.keys())
    except (SafetensorError, OSError) as error:
        raise LumosXError(f"{path} is a damaged safetensors file ({error}). {_AGAIN}") from error
    tensors = {}
    for name in names:
        dtype = DTYPES.get(header[name]["dtype"])
        if dtype is None or not dtype.is_floating_point:
            # Quantisation notes and position tables are whole numbers; weights of another kind are missed later.
            continue
        tensors[name] = StoredTensor(torch.Size(header[name]["shape"]), dtype, partial(file.get_tensor, name))
    return tensors


def _open_torch(path: Path) -> dict[str, StoredTensor]:
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except zipfile.BadZipFile as error:
        raise LumosXError(f"{path} is a truncated or damaged .pt or zip file. {_AGAIN}") from error
    members = {name.rpartition("/")[2] for name in names}
    if "data.pkl" not in members:
        raise LumosXError(f"{path} is a zip archive without a torch checkpoint (found: {names[:3]}). {_EXPECTED}")
    if "constants.pkl" in members:
        raise LumosXError(f"{path} is a TorchScript program, which is code and not opened. Give the plain weights.")
    try:
        content = load_weights_only(path, path=path, mmap=True)
    except LumosXError:
        raise
    except Exception as error:  # a damaged file raises almost anything
        unsafe = _unsafe_globals(path)
        if unsafe:
            raise LumosXError(
                f"{path} is refused: it asks for {', '.join(unsafe[:5])}, which plain weights never need and which "
                f"could run code on this machine. Ask its author for a safetensors file."
            ) from error
        reason = str(error).strip().splitlines() or [type(error).__name__]
        raise LumosXError(f"{path} is a damaged .pt file ({reason[0]}). {_AGAIN}") from error
    return {name: StoredTensor.of(tensor) for name, tensor in _flattened(content)}


def _unsafe_globals(path: Path) -> list[str]:
    """Names in the file's pickle that are not allowed in plain weights; the pickle is read, not run."""
    try:
        return sorted(torch.serialization.get_unsafe_globals_in_checkpoint(path))
    except Exception:  # too damaged to be read; the caller says so
        return []


def _flattened(content: object, prefix: str = "", depth: int = 0) -> Iterator[tuple[str, Tensor]]:
    """Tensors of nested dicts under dotted names, at most four deep (a pickle may contain itself)."""
    if not isinstance(content, Mapping) or depth > 4:
        return
    for name, value in content.items():
        if isinstance(name, str) and isinstance(value, Tensor):
            yield prefix + name, value.detach()
        elif isinstance(name, str):
            yield from _flattened(value, f"{prefix}{name}.", depth + 1)


def _dequantised(tensors: dict[str, StoredTensor]) -> dict[str, StoredTensor]:
    """Scaled fp8 weights as their true values, without the tensors that only describe the quantisation."""
    plain = {}
    for name, tensor in tensors.items():
        if name.endswith(QUANTISATION):
            continue
        layer = name.removesuffix(".weight")
        scale = tensors.get(f"{layer}.scale_weight") or tensors.get(f"{layer}.weight_scale")
        if scale is not None and name.endswith(".weight"):
            if tensor.dtype not in FP8 or math.prod(scale.shape) != 1:
                raise LumosXError(
                    f"{name!r} is quantised in a way that is not read ({tensor.dtype} with scales of shape "
                    f"{tuple(scale.shape)}). Give a bf16, fp16, or scaled fp8 file."
                )
            tensor = StoredTensor(tensor.shape, tensor.dtype, partial(_scaled, tensor, scale))
        plain[name] = tensor
    return plain


def _scaled(weight: StoredTensor, scale: StoredTensor) -> Tensor:
    return weight.load().float() * scale.load().float().reshape(())
