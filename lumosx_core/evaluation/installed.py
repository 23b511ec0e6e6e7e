"""The networks of an evaluation that are installed, and what to install where one is missing; nothing is downloaded."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from ..auto_scene.networks.face_detector import FaceDetector
from ..auto_scene.networks.find import find_models, missing_model, models_below
from ..auto_scene.networks.grounding_dino import GroundingDino
from ..auto_scene.networks.hub_folder import read_object
from ..auto_scene.networks.known import Kind
from ..errors import LumosXError, MissingPackageError, shown
from .embedders.arc_face import ARC_FACE_SOURCE, OnnxFaceEmbedder
from .embedders.clip_embedder import CLIP_SOURCE, ClipEmbedder
from .embedders.curricular_face import CURRICULAR_FACE_SOURCE, CurricularFace
from .embedders.dino_embedder import DINO_SOURCE, DinoEmbedder
from .embedders.dlib_face import DLIB_SOURCE, DlibFace
from .embedders.owl_finder import OWL_SOURCE, OwlFinder
from .embedders.raft_flow import RAFT_SOURCE, RaftFlow
from .embedders.video_text import XCLIP_SOURCE, XClipEmbedder
from .measured_video import Networks

FOLDER = "evaluation"  # below `models`: for what no other pack has a folder for
_DLIB = "face_recognition_model-weights_manifest.json"


@dataclass(frozen=True)
class _Part:
    """A network that an evaluation has a use for.

    Args:
        what: it is, for messages.
        source: a sentence that says what to give.
        folders: below `models`.
        load: opens what was found.
        file: the names of single files, the best first.
        model_type: in config.json of a folder in the transformers format.
        kind: of models that photos are read with, which Auto Scene finds.
    """

    what: str
    source: str
    folders: tuple[str, ...]
    load: Callable[[Path, torch.device], Any]
    file: tuple[str, ...] = ()
    model_type: str | None = None
    kind: Kind | None = None


def _open_recogniser(path: Path, device: torch.device) -> OnnxFaceEmbedder | DlibFace:
    return OnnxFaceEmbedder.load(path) if path.suffix.lower() == ".onnx" else DlibFace.load(path)


_PARTS: dict[str, _Part] = {
    "arc": _Part(
        "face embedder",
        f"{ARC_FACE_SOURCE} Or, smaller and free: {DLIB_SOURCE}",
        ("insightface", "ingredients_face_encoder", FOLDER),
        _open_recogniser,
        file=(r"glintr100\.onnx", r"w600k_r50\.onnx", r".*arcface.*\.onnx", r"w600k_.*\.onnx", re.escape(_DLIB)),
    ),
    "cur": _Part(
        "CurricularFace",
        CURRICULAR_FACE_SOURCE,
        (FOLDER, "insightface"),
        lambda path, device: CurricularFace.load(path, device=device),
        file=(r"glint360k_curricular_face_r101_backbone\.\w+", r".*curricular.?face.*\.(bin|pth|pt|safetensors)"),
    ),
    "clip": _Part(
        "CLIP",
        CLIP_SOURCE,
        (FOLDER, "clip", "clip_vision"),
        lambda path, device: ClipEmbedder.load(path, device=device),
        model_type="clip",
    ),
    "dino": _Part(
        "DINOv2",
        DINO_SOURCE,
        (FOLDER,),
        lambda path, device: DinoEmbedder.load(path, device=device),
        model_type="dinov2",
    ),
    "video": _Part(
        "video and text embedder",
        XCLIP_SOURCE,
        (FOLDER,),
        lambda path, device: XClipEmbedder.load(path, device=device),
        model_type="xclip",
    ),
    "things": _Part(
        "OWLv2",
        OWL_SOURCE,
        (FOLDER,),
        lambda path, device: OwlFinder.load(path, device=device),
        model_type="owlv2",
    ),
    "flow": _Part(
        "RAFT",
        RAFT_SOURCE,
        (FOLDER,),
        lambda path, device: RaftFlow.load(path, device=device),
        file=(r"raft_large_C_T_V1.*\.pth", r"raft_large.*\.(pth|pt|safetensors)"),
    ),
    "faces": _Part(
        "face detector",
        "",
        (),
        lambda path, device: FaceDetector.load(path, cuda=device.type == "cuda"),
        kind="faces",
    ),
    "phrases": _Part(
        "Grounding DINO",
        "",
        (),
        lambda path, device: GroundingDino.load(path, device=device),
        kind="phrases",
    ),
}
PARTS = tuple(_PARTS)


def find_network(part: str, folders: Sequence[Path]) -> Path | None:
    """The best network of a part that is installed; None if there is none. See `find_networks`."""
    return next(iter(find_networks(part, folders).values()), None)


def find_networks(part: str, folders: Sequence[Path]) -> dict[str, Path]:
    """Every network of a part that is installed, by the name of its file or folder; the best known first.

    Args:
        part: one of `PARTS`.
        folders: ComfyUI's `models`, and others laid out like it; the hub's cache is looked into after them.
    """
    known = _PARTS[part]
    if known.kind is not None:
        return find_models(known.kind, folders)
    everything = [path for _, path in models_below(folders, known.folders)]
    if "insightface" in known.folders:
        everything += [path for _, path in models_below([Path(os.path.expanduser("~/.insightface"))], ("models",))]
    found: dict[str, Path] = {}
    if known.model_type is not None:
        for path in everything:
            if _type_in(path) == known.model_type:
                found.setdefault(path.name, path)
    for pattern in known.file:
        for path in everything:
            if re.fullmatch(pattern, path.name, re.IGNORECASE) and os.path.isfile(path):
                found.setdefault(path.name, path)
    return found


def what_to_install(part: str, folders: Sequence[Path]) -> str:
    """A sentence about a part that is not installed."""
    known = _PARTS[part]
    if known.kind is not None:
        return str(missing_model(known.kind, folders))
    folder = (Path(folders[0]).absolute() if folders else Path("models")) / known.folders[0]
    damaged = [path for _, path in models_below(folders, known.folders) if known.model_type and _unreadable(path)]
    hint = f" {shown(damaged[0] / 'config.json')} is damaged: if that is it, download it again." if damaged else ""
    return f"No {known.what} is installed.{hint} {known.source} Put it into {folder}."


def open_network(part: str, path: Path, device: torch.device | str = "cpu") -> Any:
    """Open the network of a part.

    Raises:
        LumosXError: it is missing or damaged, or another network.
        MissingPackageError: a package that it needs is not installed.
    """
    return _PARTS[part].load(path, torch.device(device))


def open_networks(
    folders: Sequence[Path],
    *,
    parts: Iterable[str] = PARTS,
    chosen: Mapping[str, str] | None = None,
    device: torch.device | str = "cpu",
) -> tuple[Networks, dict[str, str]]:
    """The networks that are installed, and for each part that is not, a sentence that says what to install.

    Args:
        folders: see `find_network`.
        parts: those wanted.
        chosen: part -> path of its network, instead of the first one found. What is named must be there.

    Raises:
        LumosXError: a network that is chosen is missing, or one that is found or chosen is damaged.
        MissingPackageError: a package that a chosen network needs is not installed.
    """
    opened: dict[str, Any] = {}
    missing: dict[str, str] = {}
    for part in parts:
        named = (chosen or {}).get(part)
        path = find_network(part, folders) if named is None else Path(named).expanduser()
        if path is None:
            missing[part] = what_to_install(part, folders)
            continue
        try:
            opened[part] = open_network(part, path, device)
        except MissingPackageError as error:
            if named is not None:
                raise
            missing[part] = str(error)
    return Networks(**opened), missing


def _type_in(path: Path) -> str | None:
    """`model_type` of a folder that has weights which can be opened; None of all else."""
    if not os.path.isdir(path) or not any(path.glob("*.safetensors")):
        return None
    try:
        found = read_object(path / "config.json").get("model_type")
    except LumosXError:  # `what_to_install` names it
        return None
    return found if isinstance(found, str) else None


def _unreadable(path: Path) -> bool:
    """Whether a folder with weights has a config.json that cannot be read, so that nobody knows what it is."""
    if not os.path.isdir(path) or not any(path.glob("*.safetensors")) or not os.path.lexists(path / "config.json"):
        return False
    try:
        read_object(path / "config.json")
    except LumosXError:
        return True
    return False
