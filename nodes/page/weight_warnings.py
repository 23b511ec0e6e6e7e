"""Warnings about weights that were not trained for LumosX, in the page before a long run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import folder_paths
from comfy_api.latest import io

from ...lumosx_core.models.lumosx.config import RELEASED_PRESET
from ...lumosx_core.models.lumosx.weights.origin import CERTAIN, LARGE_DIM, origin_of, origin_warning
from .notices import notice

# Where loaders of MODELs look: ComfyUI's own, and those of custom nodes for GGUF files.
_FOLDERS = ("diffusion_models", "unet_gguf", "checkpoints")
_WARNS_ITSELF = "LumosXLoadModel"
_said: set[tuple[str, str]] = set()  # uncertain cases are reported once per file


def warn_of_file(cls: type[io.ComfyNode], name: str, path: str, dim: int, preset: str = RELEASED_PRESET) -> None:
    """Warn in the page about a model file, unless it was trained for the preset that it is run with.

    Args:
        name: of the file, as the artist chose it.
        dim: width of the network.
        preset: see `preset_options`.
    """
    origin = origin_of(path)
    warning = origin_warning(name, origin, dim, folder_paths.base_path, preset)
    if warning is None:
        return
    if dim != LARGE_DIM and origin not in (*CERTAIN, "wan by name", "phantom by name"):
        if (origin, path) in _said:
            return
        _said.add((origin, path))
    notice(cls, warning)


def warn_of_model(cls: type[io.ComfyNode], dim: int, preset: str) -> None:
    """The same for the MODEL that is connected to a running node, through LoRAs and whatever else is between.

    A loader that names no file in ComfyUI's folders causes no warning.
    """
    for name, path in weights_before(cls.hidden.prompt or {}, str(cls.hidden.unique_id)):
        warn_of_file(cls, name, path, dim, preset)


def weights_before(prompt: Mapping[str, Any], node: str) -> Iterator[tuple[str, str]]:
    """Name and path of each model file that reaches the input `model` of a node of a running prompt.

    Links named "model..." are followed to their first node; of a node without such links, such as another custom node's
    switch, all links. LumosX Load Model is left out.
    """
    waiting, seen = [node], set()
    while waiting:
        each = waiting.pop()
        entry = prompt.get(each)
        if each in seen or entry is None or entry.get("class_type") == _WARNS_ITSELF:
            continue
        seen.add(each)
        inputs = entry.get("inputs", {})
        links = {name: str(value[0]) for name, value in inputs.items() if isinstance(value, list) and len(value) == 2}
        models = [source for name, source in links.items() if name.startswith("model")]
        if each != node and not models:
            if files := list(_files(inputs)):
                yield from files
                continue
            models = list(links.values())
        waiting += models


def _files(inputs: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for value in inputs.values():
        if not isinstance(value, str) or not Path(value).suffix:
            continue
        for folder in _FOLDERS:
            if folder in folder_paths.folder_names_and_paths and (path := folder_paths.get_full_path(folder, value)):
                yield value, path
                break
