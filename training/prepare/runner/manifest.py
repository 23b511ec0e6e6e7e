"""manifest.json: the settings a data set was made with, so that results of different settings are never mixed.

A stage's version is what its results depend on: its settings and the hashes of its networks' weights. A run with
another version of a stage than the folder has results of is refused, with the names of the settings that differ. With
`rerun_changed` the results of that stage, and of the stages after it, are removed and made again; those of the stages
before it stay.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lumosx_core.errors import LumosXError, shown
from lumosx_core.files.atomic_file import atomic_file

from ..dataset import Dataset, read_json
from ..stage import Gathering, Stage

FORMAT = 1
_MOST_SHOWN = 10


def settle(
    dataset: Dataset, stages: Sequence[Stage | Gathering], settings: Mapping[str, Any], *, rerun_changed: bool
) -> list[str]:
    """Compare a run with what the data set was made with, and record the run's settings.

    Args:
        stages: those of the run, in order.
        settings: JSON values, to say what differs.
        rerun_changed: remove results of stages that have changed, and of the stages after them.

    Returns:
        The names of the stages whose results were removed.

    Raises:
        LumosXError: a stage has changed and `rerun_changed` is off; the manifest is damaged or of a later version.
    """
    path = dataset.root / "manifest.json"
    old = _read(path)
    versions = {stage.name: stage.version() for stage in stages}
    changed = [name for name, version in versions.items() if old["stages"].get(name, version) != version]
    affected = _with_later(changed, stages)
    if changed and not rerun_changed:
        raise LumosXError(
            f"{dataset.root} was made with other settings: {_differences(old, versions, settings, changed)}. Use these "
            f"again or another --out; or add --rerun-changed, which makes the results of {', '.join(affected)} again."
        )
    for name in reversed(affected):
        dataset.discard(name)
    stages_now = {**{name: version for name, version in old["stages"].items() if name not in affected}, **versions}
    record = {"format": FORMAT, "last": dataset.last, "settings": settings, "stages": stages_now}
    with atomic_file(path) as file:
        file.write(json.dumps(record, ensure_ascii=False, indent=2, sort_keys=True).encode())
    return affected


def _read(path: Path) -> dict[str, Any]:
    try:
        record = read_json(path.read_bytes())
        number, known = record["format"], isinstance(record["stages"], dict) and isinstance(record["settings"], dict)
    except FileNotFoundError:
        return {"stages": {}, "settings": {}}
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise LumosXError(f"{path} is damaged. Restore it, or choose another --out.") from error
    if number != FORMAT or not known:
        raise LumosXError(
            f"{path} has format {shown(number, 40)}, but this version reads {FORMAT}. Update LumosX, or choose another "
            f"--out."
        )
    return record


def _with_later(changed: Sequence[str], stages: Sequence[Stage | Gathering]) -> list[str]:
    """Those stages and all that take items from them."""
    affected = set(changed)
    for stage in stages:  # a stage comes after those that it takes items from
        if stage.after in affected:
            affected.add(stage.name)
    return [stage.name for stage in stages if stage.name in affected]


def _differences(
    old: Mapping[str, Any], versions: Mapping[str, str], settings: Mapping[str, Any], changed: Sequence[str]
) -> str:
    before, now = _flat(old["settings"]), _flat(settings)
    names = [name for name in {**before, **now} if before.get(name) != now.get(name)]
    texts = [f"{name} was {_value(before, name)} and is now {_value(now, name)}" for name in names]
    if not texts:  # weights, or the program
        texts = [
            f"stage {name!r} was {shown(old['stages'][name], 100)} and is now {shown(versions[name], 100)}"
            for name in changed
        ]
    return "; ".join(texts[:_MOST_SHOWN]) + (f"; {len(texts) - _MOST_SHOWN} more" if len(texts) > _MOST_SHOWN else "")


def _value(settings: Mapping[str, Any], name: str) -> str:
    return shown(json.dumps(settings[name], ensure_ascii=False), 60) if name in settings else "not there"


def _flat(settings: Mapping[str, Any], above: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in settings.items():
        if isinstance(value, Mapping):
            flat.update(_flat(value, f"{above}{name}."))
        else:
            flat[above + name] = value
    return flat
