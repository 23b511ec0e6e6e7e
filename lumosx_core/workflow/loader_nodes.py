"""The weight files that a workflow's loaders name, and their paths."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ..errors import LumosXError, shown
from ..files.model_files import ModelFiles, find_model_files
from ..models.lumosx.tiny import TINY_DIRECTORY, tiny_files
from ..own_command import own_command
from .confined_path import path_inside
from .saved.graph import Graph, Node
from .values import Values

# The input of each loader that names its file.
_MODELS = {"LumosXLoadModel": "model_name", "UNETLoader": "unet_name"}
_VAES = {"VAELoader": "vae_name", "LumosXLoadVAE": "vae_name"}
_TEXT_ENCODERS = {"LumosXLoadTextEncoder": "text_encoder_name", "CLIPLoader": "clip_name"}
_LISTS_OF_LORAS = {"Power Lora Loader (rgthree)", "Lora Loader Stack (rgthree)"}
_LORAS = {"LoraLoaderModelOnly": "strength_model", "LoraLoader": "strength_model"}
_TEXT_LORAS = {"LoraLoader": "strength_clip"}
_WATCHERS = {"LumosXRecordAttention"}  # they leave the model as it is
APPLY = "LumosXApply"


@dataclass(frozen=True)
class Weights:
    """The names of a workflow's files, as its loaders write them.

    Args:
        applied: the LumosX Apply with the settings of the model's relational parts; None: they are the released ones.
        notes: sentences about nodes that change nothing and are left out.
    """

    diffusion_model: str
    vae: str
    text_encoder: str
    applied: Node | None = None
    notes: tuple[str, ...] = ()

    def find(
        self,
        model: str | os.PathLike | None = None,
        vae: str | os.PathLike | None = None,
        text_encoder: str | os.PathLike | None = None,
    ) -> ModelFiles:
        """The paths of the files. Those of lumosx-tiny are built in.

        Args:
            model: a directory with diffusion_models, vae and text_encoders, as in ComfyUI; or the diffusion model to
                use instead; or "tiny" for lumosx-tiny instead of everything.
            vae, text_encoder: files to use instead.

        Raises:
            LumosXError: a file is not there.
        """
        if model == "tiny":
            return find_model_files(TINY_DIRECTORY, vae, text_encoder)
        directory = Path(model) if model is not None and (Path(model) / "diffusion_models").is_dir() else None
        given = {"diffusion_models": None if directory else model, "vae": vae, "text_encoders": text_encoder}
        names = {"diffusion_models": self.diffusion_model, "vae": self.vae, "text_encoders": self.text_encoder}
        found = [Path(given[kind] or _place(directory, kind, name)) for kind, name in names.items()]
        network, found_vae, encoder = found
        files = ModelFiles(network, found_vae, encoder)
        files.check()
        return files


def _place(directory: Path | None, kind: str, name: str) -> Path:
    built_in = tiny_files().by_folder[kind]
    if name == built_in.name:
        return built_in
    if directory is None:
        raise LumosXError(
            f"The workflow uses {name}. Say where it is: --model DIR, a folder with diffusion_models, vae and "
            f"text_encoders, such as ComfyUI's models."
        )
    return path_inside(directory / kind, name, "The workflow")


def read_weights(graph: Graph, values: Values, guided: Node, video: Node) -> Weights:
    """Which files the loaders before a sampler and its LumosX Scene To Video name.

    Args:
        guided: the node whose input is the MODEL.
        video: the LumosX Scene To Video, whose inputs are the CLIP and the VAE.

    Raises:
        LumosXError: a loader, or a node behind it, that only ComfyUI can run.
    """
    notes: list[str] = []
    model, applied = _model(graph, values, guided, notes)
    text_encoder = _source(graph, video, "clip")
    while text_encoder.type in _TEXT_LORAS or text_encoder.type in _LISTS_OF_LORAS:
        if text_encoder.type in _LISTS_OF_LORAS:
            _check_list(text_encoder, notes)
        else:
            _check_no_effect(values, text_encoder, _TEXT_LORAS[text_encoder.type], notes)
        text_encoder = _source(graph, text_encoder, "clip")
    return Weights(
        model,
        _file(values, _source(graph, video, "vae"), _VAES, "vae", video),
        _file(values, text_encoder, _TEXT_ENCODERS, "clip", video),
        applied,
        tuple(dict.fromkeys(notes)),
    )


def _model(graph: Graph, values: Values, guided: Node, notes: list[str]) -> tuple[str, Node | None]:
    node, applied = _source(graph, guided, "model"), None
    while node.type in (APPLY, *_WATCHERS, *_LORAS, *_LISTS_OF_LORAS):
        if node.type in _LISTS_OF_LORAS:
            _check_list(node, notes)
        if node.type in _WATCHERS:
            node.asked.update(("steps", "layers"))
            notes.append(f"{_started(node)} records nothing without ComfyUI.")
        if node.type in _LORAS:
            _check_no_effect(values, node, _LORAS[node.type], notes)
        if node.type == APPLY and applied is None:  # of several the last one counts
            applied = node
        node = _source(graph, node, "model")
    if node.type == "UNETLoader" and applied is None:
        raise LumosXError(
            f"The model of {node} has not gone through LumosX Apply, so it would not know who wears what. Put LumosX "
            f"Apply behind it, or use LumosX Load Model."
        )
    dtype = values.text(node, "weight_dtype", "default") if node.type in _MODELS else "default"
    if dtype != "default":
        notes.append(
            f"weight_dtype of {node} is {shown(dtype, 40)!r}, which only ComfyUI applies. The weights are computed "
            f"with as they are in the file, or in what --dtype says."
        )
    return _file(values, node, _MODELS, "model", guided), applied


def _check_no_effect(values: Values, node: Node, strength: str, notes: list[str]) -> None:
    """Note a LoRA of strength 0, which ComfyUI leaves out, too; raise LumosXError for any other."""
    name = values.text(node, "lora_name")
    if values.number(node, strength, 1.0) != 0:
        raise LumosXError(_adds_lora(node, name))
    notes.append(f"The LoRA {shown(name)!r} of {node} has strength 0 and is left out.")


def _adds_lora(node: Node, name: str) -> str:
    return (
        f"{node} adds the LoRA {shown(name)!r}, which only ComfyUI does on the way. Merge it into the model with the "
        f"command below, choose the new file in the loader, and bypass {node}.\n"
        f"{own_command('lora', 'merge', 'MODEL', 'LORA', 'NEW.safetensors')}"
    )


def _check_list(node: Node, notes: list[str]) -> None:
    """The same for a node with a list of LoRAs, of which some are switched off."""
    for name in sorted(node.inputs):
        row = node.get(name)
        if isinstance(row, Mapping) and "lora" in row:  # a row of Power Lora Loader
            lora, on = row["lora"], row.get("on", True)
            strengths = [row.get("strength", 1.0), row.get("strengthTwo")]
        elif name.startswith("lora_") and isinstance(row, str):  # lora_01 and strength_01 of the stack
            lora, on, strengths = row, True, [node.get(name.replace("lora_", "strength_"), 1.0)]
        else:
            continue
        if lora in (None, "", "None") or on is False or all(each in (0, None) for each in strengths):
            if lora not in (None, "", "None"):
                notes.append(f"The LoRA {shown(lora)!r} of {node} is off or has strength 0 and is left out.")
            continue
        raise LumosXError(_adds_lora(node, str(lora)))


def _started(node: Node) -> str:
    return str(node)[:1].upper() + str(node)[1:]


def _file(values: Values, node: Node, loaders: Mapping[str, str], kind: str, of: Node) -> str:
    if node.type not in loaders:
        raise LumosXError(f"{kind} of {of} comes from {node}, which only ComfyUI can run. {_instead(node, loaders)}")
    return values.text(node, loaders[node.type])


_SCHEDULES = {"ModelSamplingSD3", "ModelSamplingFlux", "ModelSamplingAuraFlow"}


def _instead(node: Node, loaders: Mapping[str, str]) -> str:
    if node.type in _SCHEDULES:
        return "Bypass it, and write its shift into LumosX Sigmas, or give --shift."
    if node.type.startswith(("workflow>", "workflow/")) or ("-" in node.type and len(node.type) == 36):
        return node.unreadable
    return f"Bypass it, or use {' or '.join(loaders)} instead."


def _source(graph: Graph, node: Node, name: str) -> Node:
    found = graph.source(node, name)
    if found is None:
        raise LumosXError(f"{name} of {node} is not connected. Connect a loader.")
    return found[0]
