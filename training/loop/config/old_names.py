"""Settings that were renamed: configs and checkpoints that use the old names still work."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from lumosx_core.errors import LumosXError

OLD_NAMES = {
    "model.shuffle_pictures": "model.shuffle_references",
    "data.prefetch": "data.prefetch_factor",
    "data.picture_dropout": "data.single_reference_dropout",
    "training.accumulate": "training.gradient_accumulation_steps",
    "training.recompute_blocks": "training.gradient_checkpointing",
    "training.offload_inputs": "training.offload_activations",
    "training.tensorboard": "training.trackers",
    "optimizer.clip": "optimizer.max_grad_norm",
    "optimizer.warmup": "optimizer.warmup_steps",
    "optimizer.final_share": "optimizer.min_lr_ratio",
}


def with_current_names(tables: Mapping, hint: Callable[[str], None] = lambda line: None) -> dict:
    """The tables of a config with every old name replaced.

    Args:
        hint: receives a line for each old name that was found.

    Raises:
        LumosXError: an old and a new name of one setting are both given.
    """
    renamed = {name: dict(table) if isinstance(table, Mapping) else table for name, table in tables.items()}
    for old, new in OLD_NAMES.items():
        (table_name, old_key), new_key = old.split("."), new.split(".")[1]
        table = renamed.get(table_name)
        if not isinstance(table, dict) or old_key not in table:
            continue
        if new_key in table:
            raise LumosXError(f"{old} is the old name of {new}, and both are given. Remove {old}.")
        value = table.pop(old_key)
        if old == "training.tensorboard" and isinstance(value, bool):
            value = ["tensorboard"] if value else []
        table[new_key] = value
        hint(f"{old} is now called {new}. The old name still works.")
    return renamed
