"""Pack files: many small tensors in one safetensors file, each with a checksum, and what they are as JSON.

A pack appears complete or not at all, and describes its own contents. So a folder of packs needs no separate index that
a crash could leave inconsistent: opening the folder reads the headers of its packs.
"""

from __future__ import annotations

import json
import secrets
import time
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from lumosx_core.errors import LumosXError
from lumosx_core.files.atomic_file import atomic_file
from lumosx_core.files.safetensors_file import as_bytes, read_header

_DTYPES = {"F16": torch.float16, "BF16": torch.bfloat16, "F32": torch.float32, "U8": torch.uint8}


@dataclass(frozen=True, slots=True)
class StoredSpan:
    """Location of a tensor in its pack: first byte, number of bytes, and their CRC-32."""

    start: int
    size: int
    crc: int
    shape: tuple[int, ...]
    dtype: torch.dtype


@dataclass(frozen=True)
class Pack:
    """The header of a pack file.

    Args:
        records: what the writer stored about its contents.
        spans: location of each tensor.
    """

    path: Path
    records: list[dict]
    spans: dict[str, StoredSpan]


def write_pack(folder: Path, tensors: Mapping[str, Tensor], records: list[dict]) -> Path:
    """Write a pack under a new name; names sort by the time of writing.

    Raises:
        LumosXError: the disk is full, or the folder cannot be written to.
    """
    from safetensors.torch import save

    crcs = {name: zlib.crc32(as_bytes(tensor)) for name, tensor in tensors.items()}
    data = save(dict(tensors), metadata={"records": json.dumps(records), "crc32": json.dumps(crcs)})
    path = folder / f"{time.time_ns():020d}-{secrets.token_hex(4)}.safetensors"
    with atomic_file(path) as file:
        file.write(data)
    return path


def read_pack(path: Path) -> Pack:
    """Read the header of a pack.

    Raises:
        LumosXError: the file is not a pack, or is truncated.
    """
    try:
        header = read_header(path)
        records, crcs = json.loads(header.metadata["records"]), json.loads(header.metadata["crc32"])
        if not isinstance(records, list) or not all(isinstance(record, dict) for record in records):
            raise ValueError("its records are no list of tables")
        shapes: dict[tuple, tuple] = {}  # most are alike: a large cache keeps each once
        spans = {}
        for name, stored in header.entries.items():
            begin, end = stored["data_offsets"]
            shape = tuple(stored["shape"])
            shape = shapes.setdefault(shape, shape)
            spans[name] = StoredSpan(header.start + begin, end - begin, crcs[name], shape, _DTYPES[stored["dtype"]])
        expected = max((span.start + span.size for span in spans.values()), default=header.start)
        actual = path.stat().st_size
        if actual != expected:
            raise ValueError(f"it has {actual} bytes, expected {expected}")
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise LumosXError(
            f"The cache file {path} is damaged or truncated ({error}). Run the command that made the cache again: it "
            f"re-creates what is lost."
        ) from error
    return Pack(path, records, spans)


def packs_of(folder: Path) -> Iterable[Path]:
    """The packs of a folder, in the order of writing."""
    if not folder.is_dir():
        return []
    return sorted(path for path in folder.glob("*.safetensors") if not path.name.startswith("."))


def read_tensors(path: Path, spans: Iterable[StoredSpan], *, verify: bool = True) -> list[Tensor]:
    """Read tensors from a pack.

    They are read, not mapped into memory: a file that is truncated while mapped would end the process.

    Args:
        verify: compare the checksums.

    Raises:
        LumosXError: the file is missing or truncated, or a checksum differs.
    """
    tensors = []
    try:
        with path.open("rb", buffering=0) as file:
            for span in spans:
                data = bytearray(span.size)
                file.seek(span.start)
                if _read_into(file, data) != span.size:
                    raise LumosXError("the file is truncated")
                if verify and zlib.crc32(data) != span.crc:
                    raise LumosXError("a checksum differs")
                flat = torch.frombuffer(data, dtype=span.dtype) if data else torch.empty(0, dtype=span.dtype)
                tensors.append(flat.view(span.shape))
    except (OSError, LumosXError) as error:
        reason = (error.strerror if isinstance(error, OSError) else None) or error
        raise LumosXError(
            f"{path} cannot be read: {reason}. Run the command that made the cache again, with --verify."
        ) from error
    return tensors


def _read_into(file, data: bytearray) -> int:
    """Fill a buffer; one system call need not give all of it."""
    view, done = memoryview(data), 0
    while done < len(data) and (count := file.readinto(view[done:])):
        done += count
    return done
