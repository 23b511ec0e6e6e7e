"""table.parquet: one row for each sample, made of the finished folders.

path, text, duration, height, width     as in the research format: the video below the table's folder, its caption,
                                        seconds and pixels, as far as the last stage's facts have them
id, source                              of the sample, and of the video that it comes from
facts                                   what each stage said, as JSON
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from lumosx_core.errors import LumosXError, MissingPackageError, shown
from lumosx_core.files.atomic_file import atomic_path

from ..dataset import DONE
from .items import Item

_ROWS = 4096  # held in memory at once
VIDEO = "video.mp4"
_KINDS: dict[str, Any] = {"text": str, "duration": int | float, "height": int, "width": int}


def write_table(path: Path, samples: Iterable[Item], last: str) -> int:
    """Write the table of all samples; returns their number.

    Args:
        last: the name of the stage that made them.

    Raises:
        MissingPackageError: pyarrow is not installed.
    """
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError as error:
        raise MissingPackageError("pyarrow", "The table of a data set", error) from error
    text, number = pyarrow.string(), pyarrow.int64()
    columns = {"path": text, "text": text, "duration": pyarrow.float64(), "height": number, "width": number}
    schema = pyarrow.schema({**columns, "id": text, "source": text, "facts": text}.items())
    count = 0
    with atomic_path(path) as partial, parquet.ParquetWriter(partial, schema) as writer:
        for rows in _batches(_row(item, last) for item in samples):
            writer.write_table(pyarrow.Table.from_pylist(rows, schema))
            count += len(rows)
    return count


def _row(item: Item, last: str) -> dict[str, Any]:
    own = item.facts[last]
    row = {name: own.get(name) for name in _KINDS}
    for name, kind in _KINDS.items():
        if not isinstance(row[name], kind | None) or isinstance(row[name], bool):
            raise LumosXError(
                f"The {name} of sample {item.id} is {shown(repr(row[name]), 60)}, but the table has "
                f"{'a text' if kind is str else 'a number'} there. If its {DONE} is damaged, remove "
                f"the sample's folder and run the same command again."
            )
    facts = json.dumps(item.facts, ensure_ascii=False, sort_keys=True)
    return {"path": f"samples/{item.id}/{VIDEO}", **row, "id": item.id, "source": item.source, "facts": facts}


def _batches(rows: Iterator[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    while batch := list(islice(rows, _ROWS)):
        yield batch
