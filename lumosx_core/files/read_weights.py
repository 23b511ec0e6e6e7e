"""Reads files of weights: safetensors, torch `.pt`, and torch distributed checkpoint directories.

What a file is, is decided by its content, never by its name, and nothing in a file can run code: `.pt` and DCP shards
are read with `weights_only=True`, DCP's table of contents by the restricted reader of dcp.py. Which network it is, is
not known here: the caller says by what rule names are unwrapped.
"""

from __future__ import annotations

import codecs
import math
import os
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from ..errors import LumosXError
from .formats.dcp import METADATA, read_dcp
from .formats.quantised import FLOATS_WANTED, dequantised
from .formats.shards import INDEX, SHARD, open_all_shards, open_shards
from .formats.torch_file import open_torch
from .safetensors_file import DTYPES, all_finite, read_header
from .stored_tensor import StoredTensor

LARGEST_CHECKED = 2**28
"""Values of a tensor that is checked for NaN as it loads."""

_EXPECTED = "Expected: a .safetensors file, a .pt file of torch 1.6 or newer, or a DCP directory."
_AGAIN = "Copy or download it again."

Renaming = Callable[[Iterable[str]], Mapping[str, str]]
"""Names that a network uses -> the names that its tensors have in a file; what is not in it is left out."""


def open_weights(path: str | os.PathLike, renaming: Renaming) -> dict[str, StoredTensor]:
    """Name -> tensor, still in the file; quantised weights load as float32, and each is checked for NaN as it loads.

    Raises:
        LumosXError: the file is missing, damaged, of another format, holds code, or holds no tensor.
    """
    tensors = open_tensors(path)
    tensors = dequantised(Path(path), {native: tensors[name] for native, name in renaming(tensors).items()})
    if not tensors:
        raise LumosXError(f"{path} holds no tensor at all. Give the released LumosX checkpoint or a converted one.")
    return {name: _checked(Path(path), name, tensor) for name, tensor in tensors.items()}


def open_tensors(path: str | os.PathLike, *, numbers: bool = False) -> dict[str, StoredTensor]:
    """Name -> tensor of any type, as the file has it.

    Args:
        numbers: of a `.pt` file also plain numbers, as tensors without dimensions.

    Raises:
        LumosXError: see `open_weights`.
    """
    path = Path(path)
    try:
        if not path.exists():
            raise LumosXError(f"{path} does not exist. Check the path. {_EXPECTED}")
        if path.is_dir():
            return _open_directory(path)
        if not path.is_file():
            raise LumosXError(f"{path} is not a file but a pipe or a device. {_EXPECTED}")
        return _open_file(path, numbers)
    except OSError as error:
        raise LumosXError(f"{str(path)[:300]} cannot be read: {error.strerror or error}. Check the path.") from error


def _checked(path: Path, name: str, tensor: StoredTensor) -> StoredTensor:
    """The tensor, which is refused where it has values that are no numbers.

    A table of hundreds of millions of values, of which a prompt needs a few rows, would be read whole by that: whoever
    takes rows of it checks them.
    """
    if math.prod(tensor.shape) > LARGEST_CHECKED:
        return tensor

    def load() -> Tensor:
        values = tensor.load()
        if not all_finite(values):
            raise LumosXError(
                f"{path} is unusable: {name!r} has values that are not finite (NaN or infinity). Get the file again, "
                f"or take an earlier checkpoint of the training that wrote it."
            )
        return values

    return StoredTensor(tensor.shape, tensor.dtype, load)


def _open_directory(path: Path) -> dict[str, StoredTensor]:
    for directory in (path, path / "all", path / "ema", path / "model"):
        if (directory / METADATA).is_file():
            return read_dcp(directory)
    names = sorted(entry.name for entry in path.iterdir())
    if index := next((name for name in names if name.endswith(INDEX)), None):
        return open_shards(path / index, _open_content)
    files = [name for name in names if name.endswith(".safetensors") and not name.startswith(".")]
    if len(files) == 1:
        return _open_file(path / files[0], False)
    if "model_index.json" in names:
        raise LumosXError(
            f"{path} is a whole pipeline of diffusers. Give one network in it, such as the folder transformer or vae."
        )
    raise LumosXError(
        f"{path} is a directory without a checkpoint: neither it nor all, ema or model in it has a file {METADATA!r} "
        f"(found: {', '.join(names[:5]) or 'nothing'}). Give a DCP directory, or the checkpoint file itself."
    )


def _open_file(path: Path, numbers: bool) -> dict[str, StoredTensor]:
    if path.name.endswith(INDEX):
        return open_shards(path, _open_content)
    if shard := SHARD.fullmatch(path.name):
        return open_all_shards(path, shard, _open_content)
    return _open_content(path, numbers)


def _open_content(path: Path, numbers: bool) -> dict[str, StoredTensor]:
    with path.open("rb") as file:
        head = file.read(512)
    if not head:
        raise LumosXError(f"{path} is empty. {_AGAIN}")
    if head.startswith(b"PK\x03\x04"):
        return open_torch(path, numbers=numbers)
    if head[8:9] == b"{" and not head.startswith(b"GGUF"):
        return _open_safetensors(path)
    raise LumosXError(f"{path} is {_what_else(head)} {_EXPECTED}")


def _what_else(head: bytes) -> str:
    """The likely kind of a file that begins with these bytes, and the fix."""
    if head.startswith(b"GGUF"):
        return (
            "a GGUF file, which only ComfyUI's GGUF loaders read: load a network there and put LumosX Apply behind it."
        )
    if head[:1] == b"\x80" and head[1:2] in (b"\x02", b"\x03", b"\x04", b"\x05"):
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
        if "not valid UTF-8" in str(error):  # of its name
            raise LumosXError(
                f"The name of {path} has bytes that are not letters of UTF-8. Rename the file."
            ) from error
        raise LumosXError(f"{path} is a damaged safetensors file ({error}). {_AGAIN}") from error

    def load(name: str) -> Tensor:
        try:
            return file.get_tensor(name)
        except Exception as error:  # the library raises errors of its own and of torch
            raise LumosXError(f"{path} is damaged: {name!r} cannot be read ({error}). {_AGAIN}") from error

    tensors = {}
    for name in names:
        kind = header[name]["dtype"]
        dtype = DTYPES.get(kind)
        if dtype is not None:
            tensors[name] = StoredTensor(torch.Size(header[name]["shape"]), dtype, partial(load, name))
        elif name.endswith((".weight", ".bias")):
            raise LumosXError(f"{path} stores {name!r} as {kind}, which is not read. {FLOATS_WANTED}")
    return tensors
