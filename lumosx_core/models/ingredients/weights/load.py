"""Ingredients (CogVideoX) networks from checkpoints: the released folder, or one file."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from ....errors import LumosXError
from ....files.read_weights import open_weights
from ....files.safetensors_file import is_safetensors, read_header
from ....files.text_file import read_text
from ...checkpoint import filled
from ...cogvideox.dpm import CogVideoXSchedule
from ...family import OpenNetwork
from ..config import IngredientsConfig
from ..model import IngredientsModel
from .detect import detect_config, network_shapes, refuse_other_networks
from .names import native_names
from .other_networks import GIVE

CONFIG = "ingredients_config"
"""In the metadata of a single file: the JSON of `IngredientsConfig.to_dict`."""
SCHEDULE = "ingredients_schedule"
"""In the metadata of a single file: the JSON of its `CogVideoXSchedule`, where it was converted from a release."""
CONFIG_FILE = "config.json"
SCHEDULER_FILE = "scheduler/scheduler_config.json"
# What diffusers calls its weights; a config.json beside another file may be of something else.
_DIFFUSERS_FILE = re.compile(r"diffusion_pytorch_model.*")


def load_model(
    path: str | os.PathLike, *, device: str | torch.device = "cpu", dtype: torch.dtype | None = None
) -> IngredientsModel:
    """Build the network that a checkpoint holds, in evaluation mode; see `open_network` and `build_model`."""
    return build_model(open_network(path), device=device, dtype=dtype)


def open_network(path: str | os.PathLike) -> OpenNetwork:
    """Open a checkpoint that must hold an Ingredients (CogVideoX) network; its config is an IngredientsConfig.

    Args:
        path: the released folder, its folder `transformer`, or one file. The sizes are in `config.json`, or in the
            metadata of a file; without either they must be the released ones.

    Raises:
        LumosXError: naming the file and what it holds instead.
    """
    weights = transformer_folder(Path(path))
    tensors = open_weights(weights, native_names)
    try:
        refuse_other_networks(network_shapes(tensors))  # before a config that may be of the other network is read
        config = detect_config(tensors, _config_of(weights))
    except LumosXError as error:
        raise LumosXError(f"{weights} cannot be used. {error}") from error
    return OpenNetwork(path, config, tensors)


def build_model(
    network: OpenNetwork, *, device: str | torch.device = "cpu", dtype: torch.dtype | None = None
) -> IngredientsModel:
    """Build an opened network, in evaluation mode; see `checkpoint.filled`.

    Args:
        dtype: of the parameters; None: as stored (fp8 becomes bfloat16, which the network computes in).
    """
    model = IngredientsModel(network.config, device="meta")
    return filled(model, network.tensors, device=device, dtype=dtype)


def schedule_of(path: str | os.PathLike) -> CogVideoXSchedule | None:
    """The noise schedule that a network was released with; None: its files do not say.

    Args:
        path: what `open_network` reads. In a release the schedule is in `scheduler`, beside `transformer`.

    Raises:
        LumosXError: the schedule is damaged, or needs another solver.
    """
    weights = transformer_folder(Path(path))
    if (text := _metadata(weights).get(SCHEDULE)) is not None:
        return CogVideoXSchedule.from_dict(_json(text, f"The entry {SCHEDULE} of its metadata"))
    folder = weights if os.path.isdir(weights) else weights.parent
    file = folder.parent / SCHEDULER_FILE
    if folder.name != "transformer" or not os.path.isfile(file):
        return None
    config = _json(read_text(file, GIVE), str(file))
    # Upstream sets trailing timesteps whatever the file says.
    return CogVideoXSchedule.from_dict({key: value for key, value in config.items() if key != "timestep_spacing"})


def transformer_folder(path: Path) -> Path:
    """The folder `transformer` of a released folder; any other path as it is."""
    inner = path / "transformer"
    return inner if os.path.isdir(inner) else path


def _config_of(weights: Path) -> IngredientsConfig | None:
    """The config that came with the weights, if any did."""
    if (text := _metadata(weights).get(CONFIG)) is not None:
        return IngredientsConfig.from_dict(_json(text, f"The entry {CONFIG} of its metadata"))
    if os.path.isdir(weights):
        file = weights / CONFIG_FILE
    elif _DIFFUSERS_FILE.fullmatch(weights.name):
        file = weights.with_name(CONFIG_FILE)
    else:
        return None
    return IngredientsConfig.from_dict(_json(read_text(file, GIVE), str(file))) if os.path.isfile(file) else None


def _metadata(weights: Path) -> Mapping[str, str]:
    """The metadata of a safetensors file; none of folders, of other files, and of what is not there."""
    if not os.path.isfile(weights):
        return {}
    try:
        own = is_safetensors(weights)
    except OSError as error:
        raise LumosXError(f"{weights} cannot be read: {error.strerror}. Check the path.") from error
    return read_header(weights).metadata if own else {}


def _json(text: str, where: str) -> dict[str, Any]:
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise LumosXError(f"{where} is not JSON ({error}). {GIVE}") from error
    if not isinstance(content, dict):
        raise LumosXError(f"{where} is not a JSON object. {GIVE}")
    return content
