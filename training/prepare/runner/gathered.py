"""Stages that see all items at once: run in this process, their outcomes stored in one file, whole or not at all.

The file names the items that it was made from, by a hash of their list. If that differs, because videos were added or
failed items were retried, the stage is run again over all items.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from lumosx_core.errors import LumosXError
from lumosx_core.files.atomic_file import atomic_file
from lumosx_core.files.file_hash import sha256_of

from ..dataset import Dataset, check_id, outcome_of, read_json
from ..stage import Gathering, Outcome
from .items import FactsOnDisk, read_items

OUTCOMES = "outcomes.jsonl"


def gather(dataset: Dataset, stage: Gathering, after: str) -> bool:
    """Run a stage over all items of a list, unless it has been; returns whether it was run.

    Args:
        after: the name of the list.

    Raises:
        LumosXError: it left out an item, or gave an outcome of another one.
    """
    items = dataset.list_path(after)
    path = dataset.stage_folder(stage.name) / OUTCOMES
    inputs = sha256_of(items)
    if _inputs(path) == inputs:
        return False
    outcomes = stage.gather(FactsOnDisk(items, after))
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_file(path) as file:
        file.write(json.dumps({"inputs": inputs}).encode() + b"\n")
        count = 0
        for item in read_items(items):
            if item.id not in outcomes:
                raise LumosXError(
                    f"Stage {stage.name!r} gave no outcome of item {item.id!r}. It must give one of each."
                )
            file.write(_line(item.id, outcomes[item.id]))
            count += 1
        if count != len(outcomes):
            raise LumosXError(f"Stage {stage.name!r} gave {len(outcomes)} outcomes of {count} items.")
    return True


def read_outcomes(dataset: Dataset, stage: str) -> Iterator[tuple[str, Outcome]]:
    """The outcome of each item, in the order of the list that they were made from; none if the stage was not run."""
    path = dataset.stage_folder(stage) / OUTCOMES
    if not path.exists():
        return
    with path.open("rb") as file:
        file.readline()
        for number, line in enumerate(file, 2):
            try:
                record = read_json(line)
                yield record["id"], outcome_of(record)
            except (ValueError, KeyError, TypeError, RecursionError) as error:
                raise LumosXError(
                    f"{path}, line {number}, is damaged. Remove the file: the next run makes it again."
                ) from error


def is_of(dataset: Dataset, stage: str, after: str) -> bool:
    """Whether there are outcomes of exactly the items of a list."""
    return _inputs(dataset.stage_folder(stage) / OUTCOMES) == sha256_of(dataset.list_path(after))


def _line(item: str, outcome: Outcome) -> bytes:
    children = outcome.children
    for child in children if children is not None else ():
        check_id(child, f"a child of {item!r}")
    record = {"id": item, "rejected": outcome.rejected, "facts": dict(outcome.facts)}
    given = None if children is None else dict(children)
    return (
        json.dumps({**record, "children": given}, ensure_ascii=False, allow_nan=False, sort_keys=True).encode() + b"\n"
    )


def _inputs(path: Path) -> str | None:
    """The hash of the items that a file of outcomes was made from."""
    try:
        with path.open("rb") as file:
            return read_json(file.readline())["inputs"]
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise LumosXError(f"{path} is damaged. Remove it: the next run makes it again.") from error
