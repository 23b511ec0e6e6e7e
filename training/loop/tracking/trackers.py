"""Experiment trackers (TensorBoard, wandb) through accelerate, as `training.trackers` names them."""

from __future__ import annotations

import importlib
import secrets
from dataclasses import asdict
from pathlib import Path

from lumosx_core.errors import LumosXError, MissingPackageError

from ..config import TrainConfig

PROJECT = "lumosx"
WANDB_ID = "wandb_run_id.txt"


def need_trackers(config: TrainConfig) -> None:
    """Import the packages of the trackers; accelerate would leave out those that are missing.

    Raises:
        MissingPackageError: one is not installed.
    """
    for name in config.training.trackers:
        try:
            importlib.import_module("torch.utils.tensorboard" if name == "tensorboard" else name)
        except ImportError as error:
            raise MissingPackageError(name, f'training.trackers = ["{name}"]', error) from error


def start_trackers(accelerator, config: TrainConfig, done: int) -> None:
    """Start the trackers of a run that continues after step `done`.

    TensorBoard drops what it has of later steps. wandb continues its run, whose id is kept in OUTPUT/wandb_run_id.txt.

    Raises:
        LumosXError: a tracker does not start, such as wandb without a login.
    """
    output = Path(config.training.output)
    options: dict[str, dict] = {"tensorboard": {"purge_step": done + 1}}
    if accelerator.is_main_process and "wandb" in config.training.trackers:
        options["wandb"] = {
            "dir": str(output),
            "name": output.resolve().name,
            "id": _wandb_id(output / WANDB_ID),
            "resume": "allow",
            "config": asdict(config),
        }
    try:
        accelerator.init_trackers(PROJECT, init_kwargs=options)
    except Exception as error:  # whatever a tracker raises: each has errors of its own
        names = ", ".join(config.training.trackers)
        raise LumosXError(
            f"A tracker of training.trackers ({names}) did not start: {error}. For wandb, run 'wandb login' or set "
            f"WANDB_MODE=offline; or remove it from training.trackers."
        ) from error


def finish_trackers(accelerator) -> None:
    """Close the files and connections of all trackers."""
    for tracker in accelerator.trackers:
        tracker.finish()


def _wandb_id(path: Path) -> str:
    if not path.is_file():
        path.write_text(secrets.token_hex(8), encoding="utf-8")
    return path.read_text(encoding="utf-8").strip()
