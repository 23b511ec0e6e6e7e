"""The facts that a checkpoint records about its run, and how a resumed run differs from them.

A run may be continued with other settings on purpose, such as more steps. But a changed schedule, seed or cache no
longer gives what an unbroken run would have given, so it must not go unnoticed.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict

from ..config import TrainConfig
from ..config.old_names import with_current_names

# These change nothing of what is learnt.
HARMLESS = (
    *("data.preload", "data.num_workers", "data.prefetch_factor", "data.pin_memory"),
    *(f"training.{name}" for name in ("output", "save_every", "keep", "trackers")),
    *(f"training.{name}" for name in ("gradient_checkpointing", "offload_blocks", "offload_activations")),
    "samples.",
)


def run_facts(config: TrainConfig, clips: Sequence[str], base_sha256: str | None) -> dict:
    """What a checkpoint's run.json holds beside the step.

    Args:
        clips: keys of what is trained on, in order.
        base_sha256: of the file that a LoRA is for.
    """
    return {
        "config": json.loads(json.dumps(asdict(config))),  # as it comes back: tuples become lists
        "clips": {"count": len(clips), "sha256": hashlib.sha256("\n".join(clips).encode()).hexdigest()},
        "base_sha256": base_sha256,
    }


def changes(before: Mapping, now: Mapping) -> list[str]:
    """How a run differs from the one that wrote a checkpoint, such as "training.steps 100 -> 200".

    Settings that only one of the two programs knows are left out.

    Args:
        before, now: from `run_facts`; an older checkpoint may lack parts of it.
    """
    old, new = dict(_values(with_current_names(before.get("config") or {}))), dict(_values(now["config"]))
    differences = [
        f"{name} {json.dumps(old[name])} -> {json.dumps(value)}"
        for name, value in new.items()
        if name in old and old[name] != value and not name.startswith(HARMLESS)
    ]
    clips = before.get("clips")
    if clips and clips != now["clips"]:
        differences.append(f"the clips ({clips['count']} then, {now['clips']['count']} now)")
    base = before.get("base_sha256")
    if base and base != now["base_sha256"]:
        differences.append("the content of model.file")
    return differences


def _values(tables: Mapping, above: str = "") -> Iterator[tuple[str, object]]:
    """Every value under its full name, such as "training.steps"."""
    for name, value in tables.items():
        if isinstance(value, dict):
            yield from _values(value, f"{above}{name}.")
        else:
            yield f"{above}{name}", value
