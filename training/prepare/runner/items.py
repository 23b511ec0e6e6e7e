"""The items of a stage as a file: one line each, written and read in order, never all in memory."""

from __future__ import annotations

import hashlib
import json
from array import array
from collections.abc import ItemsView, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from lumosx_core.errors import LumosXError
from lumosx_core.files.atomic_file import atomic_file

from ..dataset import Dataset, two_of_one_id
from ..stage import Outcome, Task

SOURCE = "source"


@dataclass(frozen=True)
class Item:
    """A source video, or a clip of one, with all that is known of it.

    Args:
        id: of the item.
        facts: stage -> what it said of the item or of its source; "source": of the video.
        ids: stage -> the id under which it finished the item or its source; "source": the id of the video.
    """

    id: str
    facts: Mapping[str, Mapping[str, Any]]
    ids: Mapping[str, str]

    @property
    def source(self) -> str:
        return self.ids[SOURCE]

    def task(self, dataset: Dataset, output: Path) -> Task:
        """The item as a stage gets it."""
        folders = {stage: dataset.item_folder(stage, id) for stage, id in self.ids.items() if stage != SOURCE}
        return Task(self.id, self.facts, folders, output)

    def after(self, stage: str, outcome: Outcome, *, folder: bool = True) -> Iterator[Item]:
        """The items that go on from a stage: none, the item itself, or its children.

        Args:
            folder: whether the stage has a folder for each item.
        """
        if outcome.rejected:
            return
        ids = {**self.ids, stage: self.id} if folder else self.ids
        if outcome.children is None:
            yield Item(self.id, {**self.facts, stage: outcome.facts}, ids)
            return
        for id, facts in outcome.children.items():
            yield Item(id, {**self.facts, stage: facts}, ids)

    def line(self) -> bytes:
        return json.dumps({"id": self.id, "facts": self.facts, "ids": self.ids}, ensure_ascii=False).encode() + b"\n"

    @staticmethod
    def of(line: bytes) -> Item:
        record = json.loads(line)
        return Item(record["id"], record["facts"], record["ids"])


def source_item(id: str, facts: Mapping[str, Any]) -> Item:
    """A source video; `facts` has its path."""
    return Item(id, {SOURCE: facts}, {SOURCE: id})


def write_items(path: Path, items: Iterable[Item]) -> int:
    """Write a list of items; returns their number."""
    path.parent.mkdir(parents=True, exist_ok=True)
    number = 0
    with atomic_file(path) as file:
        for item in items:
            file.write(item.line())
            number += 1
    return number


def read_items(path: Path) -> Iterator[Item]:
    """The items of a list, one at a time.

    Raises:
        LumosXError: a line is damaged.
    """
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            try:
                yield Item.of(line)
            except (ValueError, KeyError, TypeError, RecursionError) as error:
                raise LumosXError(f"{path}, line {number}, is damaged. Remove the file and run again.") from error


class FactsOnDisk(Mapping[str, Mapping[str, Any]]):
    """Item -> what a stage said of it, read from a list of items when it is asked for.

    Looking up single items takes 24 bytes of memory for each item of the list.
    """

    def __init__(self, path: Path, stage: str):
        self._path, self._stage = path, stage
        self._index: tuple[np.ndarray, np.ndarray, np.ndarray] | None = None

    def __iter__(self) -> Iterator[str]:
        return (item.id for item in read_items(self._path))

    def items(self) -> ItemsView[str, Mapping[str, Any]]:
        return _Pairs(self)

    def pairs(self) -> Iterator[tuple[str, Mapping[str, Any]]]:
        """Each item with its facts, in one pass over the file."""
        return ((item.id, item.facts[self._stage]) for item in read_items(self._path))

    def __len__(self) -> int:
        return len(self._lines()[0])

    def __getitem__(self, id: str) -> Mapping[str, Any]:
        return self._find(id)[1].facts[self._stage]

    def position(self, id: str) -> int:
        """The number of the first line of an item, from 0.

        Raises:
            KeyError: there is none.
        """
        return self._find(id)[0]

    def check_unique(self) -> None:
        """Raise LumosXError if two lines have one id.

        Raises:
            LumosXError: the id.
        """
        hashes, order, offsets = self._lines()
        for place in np.flatnonzero(hashes[1:] == hashes[:-1]):
            with self._path.open("rb") as file:
                file.seek(int(offsets[int(order[place])]))
                first = Item.of(file.readline())
                file.seek(int(offsets[int(order[place + 1])]))
                second = Item.of(file.readline())
            if first.id == second.id:
                raise two_of_one_id(self._stage, first.id, first.source, second.source)

    def _find(self, id: str) -> tuple[int, Item]:
        hashes, order, offsets = self._lines()
        wanted = np.uint64(_hash(id))
        with self._path.open("rb") as file:
            for place in range(int(np.searchsorted(hashes, wanted)), len(hashes)):
                if hashes[place] != wanted:
                    break
                number = int(order[place])
                file.seek(int(offsets[number]))
                item = Item.of(file.readline())
                if item.id == id:
                    return number, item
        raise KeyError(id)

    def _lines(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The sorted hashes of ids, the number of the line that each is from, and where each line begins."""
        if self._index is None:
            hashes, offsets, offset = array("Q"), array("Q"), 0
            with self._path.open("rb") as file:
                for line in file:
                    hashes.append(_hash(Item.of(line).id))
                    offsets.append(offset)
                    offset += len(line)
            unsorted = np.frombuffer(hashes, np.uint64)
            order = np.argsort(unsorted, kind="stable").astype(np.uint64)
            self._index = unsorted[order], order, np.frombuffer(offsets, np.uint64)
        return self._index


class _Pairs(ItemsView[str, Mapping[str, Any]]):
    _mapping: FactsOnDisk

    def __iter__(self) -> Iterator[tuple[str, Mapping[str, Any]]]:
        return self._mapping.pairs()


def _hash(id: str) -> int:
    return int.from_bytes(hashlib.blake2b(id.encode(), digest_size=8).digest(), "little")
