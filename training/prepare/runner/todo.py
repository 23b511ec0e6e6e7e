"""The items that a run has to work on, as a file that all processes read from."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path

from lumosx_core.files.atomic_file import atomic_file

from .items import Item
from .worker import Entry


class Todo:
    """A file with one line for each entry: how often it has failed, how often it was started, and the item."""

    def __init__(self, path: Path):
        self.path = path

    def write(self, entries: Iterable[Entry]) -> int:
        """Write the file; returns the number of entries."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        number = 0
        with atomic_file(self.path) as file:
            for entry in entries:
                file.write(f"{entry.tries} {entry.starts} ".encode() + entry.item.line())
                number += 1
        return number

    def batches(self, size: int) -> Iterator[list[Entry]]:
        """The entries, `size` at a time, read as they are needed."""
        with self.path.open("rb") as file:
            while lines := list(islice(file, size)):
                yield [_entry(line) for line in lines]

    def offsets(self, size: int) -> Iterator[int]:
        """Where in the file each batch of `size` entries begins."""
        offset = 0
        with self.path.open("rb") as file:
            while lines := list(islice(file, size)):
                yield offset
                offset += sum(map(len, lines))

    def batch_at(self, offset: int, size: int) -> list[Entry]:
        """The batch that begins there."""
        with self.path.open("rb") as file:
            file.seek(offset)
            return [_entry(line) for line in islice(file, size)]


def _entry(line: bytes) -> Entry:
    tries, starts, item = line.split(b" ", 2)
    return Entry(Item.of(item), int(tries), int(starts))
