"""A network in several safetensors files, as the hub's libraries save large ones.

NAME.safetensors.index.json             {"weight_map": {tensor: file}}
NAME-00001-of-00002.safetensors         ...
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

from ...errors import LumosXError
from ..safe_names import is_safe_name
from ..stored_tensor import StoredTensor

INDEX = ".safetensors.index.json"
SHARD = re.compile(r"(?P<name>.+)-(?P<number>\d{5})-of-(?P<count>\d{5})\.safetensors")
_AGAIN = "Copy or download the whole folder again."
_LONGEST_INDEX = 2**26

Open = Callable[[Path, bool], dict[str, StoredTensor]]


def open_shards(index: Path, open_file: Open) -> dict[str, StoredTensor]:
    """The tensors that an index lists, from the files beside it.

    Raises:
        LumosXError: the index is damaged, names a file outside its folder, or a file or tensor is missing.
    """
    try:
        if index.stat().st_size > _LONGEST_INDEX:
            raise ValueError("it is too long")
        table = json.loads(index.read_bytes())["weight_map"]
        files = {str(name): file for name, file in table.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise LumosXError(f"{index} is not an index of shards, or damaged ({error}). {_AGAIN}") from error
    if not files:
        raise LumosXError(f"{index} lists no tensor at all. {_AGAIN}")
    for file in files.values():
        if not is_safe_name(file) or not str(file).endswith(".safetensors"):
            raise LumosXError(
                f"{index} is refused: it names the file {str(file)[:100]!r}, which is no shard beside it."
            )
    tensors: dict[str, StoredTensor] = {}
    for file in dict.fromkeys(files.values()):
        tensors |= _open(index.parent / file, open_file)
    if missing := [name for name in files if name not in tensors]:
        raise LumosXError(f"{index.parent} is incomplete: no shard holds {missing[0][:200]!r}. {_AGAIN}")
    return {name: tensors[name] for name in files}


def open_all_shards(path: Path, shard: re.Match, open_file: Open) -> dict[str, StoredTensor]:
    """All tensors of the set that one shard belongs to."""
    count = int(shard["count"])
    if not 1 <= count <= 1000:
        raise LumosXError(f"{path} is called one of {count} shards, which no model has. Give it its true name.")
    tensors: dict[str, StoredTensor] = {}
    for number in range(1, count + 1):
        name = f"{shard['name']}-{number:05d}-of-{shard['count']}.safetensors"
        tensors |= _open(path.with_name(name), open_file)
    return tensors


def _open(path: Path, open_file: Open) -> dict[str, StoredTensor]:
    if not path.is_file():
        raise LumosXError(f"{path} is missing: the network is in several files, and all are needed. {_AGAIN}")
    return open_file(path, False)
