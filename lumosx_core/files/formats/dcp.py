"""Reads a torch distributed checkpoint (DCP) directory without running anything that is in it.

A DCP directory holds `.metadata`, a pickle that says which tensor lies where, and shards `__<rank>_<i>.distcp`, each a
row of small `torch.save` files. torch's own reader opens `.metadata` with plain `pickle.load`, which runs whatever the
file asks for. Here the pickle is read by an unpickler that knows a closed list of names and replaces every class by an
inert record, and the shards are read with `weights_only=True`.
"""

from __future__ import annotations

import collections
import io
import math
import pickle
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ...errors import LumosXError
from ..safe_names import is_safe_name
from ..stored_tensor import StoredTensor
from .torch_file import check_pickle, check_plain, load_weights_only

METADATA = ".metadata"

_TORCH_METADATA = "torch.distributed.checkpoint.metadata"
_RECORDS = {
    (_TORCH_METADATA, "Metadata"),
    (_TORCH_METADATA, "MetadataIndex"),
    (_TORCH_METADATA, "TensorStorageMetadata"),
    (_TORCH_METADATA, "BytesStorageMetadata"),
    (_TORCH_METADATA, "ChunkStorageMetadata"),
    (_TORCH_METADATA, "TensorProperties"),
    (_TORCH_METADATA, "StorageMeta"),
    (_TORCH_METADATA, "_MEM_FORMAT_ENCODING"),
    ("torch.distributed.checkpoint.filesystem", "_StorageInfo"),
    ("torch.distributed.checkpoint.filesystem", "_StoragePrefix"),
    ("torch.serialization", "_get_layout"),
    # Where the checkpoint was saved; a path of another system could not even be built here.
    *(("pathlib", name) for name in ("Path", "PosixPath", "WindowsPath", "PurePosixPath", "PureWindowsPath")),
    *(("pathlib._local", name) for name in ("Path", "PosixPath", "WindowsPath", "PurePosixPath", "PureWindowsPath")),
}
_CONTAINERS = {
    ("collections", "OrderedDict"): collections.OrderedDict,
    ("builtins", "set"): set,
    ("builtins", "frozenset"): frozenset,
    ("__builtin__", "set"): set,
    ("__builtin__", "frozenset"): frozenset,
}


def _record_class(name: str) -> type:
    """A class that keeps what the pickle gives it in `fields` (a dict, or a tuple) and does nothing else."""

    class Record:
        def __init__(self, *arguments):
            self.fields = arguments

        def __setstate__(self, state):
            # Some torch versions pickle a dataclass as (None, {slots}), most as a plain dict.
            self.fields = state[1] if isinstance(state, tuple) and len(state) == 2 and state[0] is None else state

        def __hash__(self):
            return id(self)

    Record.__name__ = Record.__qualname__ = name
    return Record


class _Size(tuple):
    """A tensor's size, as torch.Size writes it: one tuple of whole numbers."""

    def __setstate__(self, state):
        raise pickle.UnpicklingError("a size with extra state")


class _RestrictedUnpickler(pickle.Unpickler):
    """Knows the names a DCP `.metadata` needs; every other name is refused before anything is imported."""

    def __init__(self, file, path: Path):
        super().__init__(file)
        self.path = path
        # Fresh classes for each file: one file cannot leave anything behind for the next.
        self.classes = {key: _record_class(key[1]) for key in _RECORDS}

    def find_class(self, module: str, name: str) -> Any:
        """Return the stand-in for an allowed name; raise LumosXError naming any other."""
        key = (module, name)
        if key in self.classes:
            return self.classes[key]
        if key in _CONTAINERS:
            return _CONTAINERS[key]
        if key == ("torch", "Size"):
            return _Size
        if module == "torch" and name.isidentifier() and isinstance(getattr(torch, name, None), torch.dtype):
            return getattr(torch, name)
        raise LumosXError(
            f"{self.path} is refused: it asks for {module}.{name}, which a checkpoint's table of contents never needs "
            f"and which could run code on this machine. Get the checkpoint from its author again, and do not open this "
            f"one with other tools."
        )

    def persistent_load(self, pid):
        """Persistent ids have no meaning in a `.metadata` file."""
        raise pickle.UnpicklingError("a persistent id")


def _field(record: Any, name: str, kind: type | tuple[type, ...]) -> Any:
    """The field of a record, when it has the type it must have."""
    fields = getattr(record, "fields", None)
    if not isinstance(fields, dict) or not isinstance(fields.get(name), kind):
        raise KeyError(f"no usable {name!r}")
    return fields[name]


def _size(record: Any, name: str) -> torch.Size:
    values = _field(record, name, tuple)
    if not all(isinstance(value, int) and value >= 0 for value in values):
        raise KeyError(f"no usable {name!r}")
    return torch.Size(values)


def _dtype(properties: Any) -> torch.dtype:
    """dtype of a TensorProperties record; its state is a tuple that starts with the dtype."""
    fields = getattr(properties, "fields", None)
    dtype = fields[0] if isinstance(fields, tuple) and fields else fields.get("dtype") if fields else None
    if not isinstance(dtype, torch.dtype):
        raise KeyError("no usable 'dtype'")
    return dtype


def read_dcp(directory: str | Path) -> dict[str, StoredTensor]:
    """Read a DCP directory's table of contents; the tensors are read from the shards when they are loaded.

    Entries that are no tensors (step counters, optimizer settings) are left out: reading them would mean unpickling.

    Raises:
        LumosXError: `.metadata` is missing, damaged, or asks for a name that is not on the list; a shard is missing,
            or its path leaves the directory.
    """
    directory = Path(directory)
    path = directory / METADATA
    if not path.is_file():
        raise LumosXError(f"{directory} has no file {METADATA!r}, so it is no torch distributed checkpoint (DCP).")
    try:
        data = path.read_bytes()
        check_pickle(data, path)
        metadata = _RestrictedUnpickler(io.BytesIO(data), path).load()
        return _tensors(directory, metadata)
    except LumosXError:
        raise
    except Exception as error:  # a damaged pickle raises almost anything
        raise LumosXError(
            f"{path} is damaged or no DCP table of contents ({type(error).__name__}: {error}). Copy or download the "
            f"checkpoint directory again."
        ) from error


def _tensors(directory: Path, metadata: Any) -> dict[str, StoredTensor]:
    storage: dict[tuple[str, tuple[int, ...]], tuple[Path, int, int]] = {}
    for index, info in _field(metadata, "storage_data", dict).items():
        offset = index.fields.get("offset")
        if offset is None:
            continue  # not a tensor
        if info.fields.get("transform_descriptors"):
            raise LumosXError(
                f"{directory} was saved with the stream transforms {info.fields['transform_descriptors']!r}, which are "
                f"not supported. Save it again without an extension."
            )
        key = (_field(index, "fqn", str), _size(index, "offset"))
        if key in storage:
            raise LumosXError(
                f"{directory / METADATA} is refused: it lists the part of {key[0][:200]!r} at {tuple(key[1])} twice, "
                f"so that it is unknown which is right. Save the checkpoint again, or get it from its author."
            )
        shard = _shard(directory, _field(info, "relative_path", str))
        storage[key] = (shard, _field(info, "offset", int), _field(info, "length", int))

    tensors = {}
    for name, entry in _field(metadata, "state_dict_metadata", dict).items():
        if type(entry).__name__ != "TensorStorageMetadata":
            continue
        shape, dtype = _size(entry, "size"), _dtype(_field(entry, "properties", object))
        chunks = []
        for chunk in _field(entry, "chunks", list):
            offsets, sizes = _size(chunk, "offsets"), _size(chunk, "sizes")
            if (name, offsets) not in storage:
                raise KeyError(f"no shard for {name!r} at {tuple(offsets)}")
            chunks.append((offsets, sizes, *storage[name, offsets]))
        _check_chunks(directory, name, shape, dtype, chunks)
        tensors[name] = StoredTensor(shape, dtype, partial(_load, name, shape, dtype, chunks))
    return tensors


def _shard(directory: Path, relative: str) -> Path:
    """The shard's path; a path that leaves the directory, on whichever system, is refused."""
    if not is_safe_name(relative):
        raise LumosXError(
            f"{directory / METADATA} is refused: it names the shard {relative[:200]!r}, which is not a plain name of a "
            f"file or lies outside the checkpoint's directory. Get the checkpoint from its author again."
        )
    path = directory / relative
    if not path.is_file():
        raise LumosXError(f"{directory} is incomplete: the shard {relative!r} is missing. Copy or download it again.")
    return path


def _check_chunks(directory: Path, name: str, shape: torch.Size, dtype: torch.dtype, chunks: list) -> None:
    """The chunks must fill the tensor and lie inside their shards: sizes in a file are not to be trusted."""
    for offsets, sizes, shard, start, length in chunks:
        fits = len(offsets) == len(sizes) == len(shape) and all(
            offset + size <= full for offset, size, full in zip(offsets, sizes, shape, strict=True)
        )
        if not fits or start < 0 or math.prod(sizes) * dtype.itemsize > length:
            raise KeyError(f"a chunk of {name!r} that does not fit the tensor")
        if start + length > shard.stat().st_size:
            raise LumosXError(
                f"{shard} is cut short: {name!r} should end at byte {start + length}, but the file has "
                f"{shard.stat().st_size}. Copy or download the checkpoint directory {directory} again."
            )
    if sum(math.prod(sizes) for _, sizes, *_ in chunks) != math.prod(shape):
        raise KeyError(f"chunks that do not fill {name!r}")
    if _overlap([(offsets, sizes) for offsets, sizes, *_ in chunks]):
        raise LumosXError(
            f"{directory / METADATA} is refused: it lists parts of {name[:200]!r} that overlap, so that others are "
            f"missing. Save the checkpoint again, or get it from its author."
        )


def _overlap(chunks: list[tuple[torch.Size, torch.Size]]) -> bool:
    """Whether two of the boxes share an element."""
    if len(chunks) < 2 or not chunks[0][0]:
        return len(chunks) > 1
    starts = torch.tensor([list(offsets) for offsets, _ in chunks])
    ends = starts + torch.tensor([list(sizes) for _, sizes in chunks])
    for i in range(len(chunks) - 1):  # one row at a time: a checkpoint may come from thousands of processes
        shared = torch.minimum(ends[i], ends[i + 1 :]) - torch.maximum(starts[i], starts[i + 1 :])
        if (shared > 0).all(dim=1).any():
            return True
    return False


def _load(name: str, shape: torch.Size, dtype: torch.dtype, chunks: list) -> Tensor:
    pieces = [(offsets, _load_chunk(name, sizes, dtype, *where)) for offsets, sizes, *where in chunks]
    if len(pieces) == 1:
        return pieces[0][1]
    tensor = torch.zeros(shape, dtype=dtype)
    for offsets, piece in pieces:
        tensor[tuple(slice(o, o + s) for o, s in zip(offsets, piece.shape, strict=True))] = piece
    return tensor


def _load_chunk(name: str, sizes: torch.Size, dtype: torch.dtype, shard: Path, start: int, length: int) -> Tensor:
    with shard.open("rb") as file:
        file.seek(start)
        data = io.BytesIO(file.read(length))
    try:
        tensor = load_weights_only(data, path=shard)
    except LumosXError:
        raise
    except Exception as error:
        raise LumosXError(
            f"{shard} is refused: at byte {start}, where {name!r} should lie, there is no plain tensor "
            f"({type(error).__name__}: {str(error).splitlines()[0]}). Copy or download the checkpoint again."
        ) from error
    if isinstance(tensor, Tensor):
        check_plain(tensor, f"{shard}: {name[:200]!r}", length)
    if not isinstance(tensor, Tensor) or tensor.shape != sizes or tensor.dtype != dtype:
        found = f"{tensor.dtype} {tuple(tensor.shape)}" if isinstance(tensor, Tensor) else type(tensor).__name__
        raise LumosXError(
            f"{shard} does not fit its table of contents: {name!r} should be {dtype} {tuple(sizes)} but is {found}. "
            f"Copy or download the checkpoint again."
        )
    return tensor.detach()
