"""The networks that read photos: found in ComfyUI's folders, loaded once, and held by its memory management.

Only the face detector is not: onnxruntime keeps its 17 MB on the device.
"""

from __future__ import annotations

import itertools
import math
from importlib.util import find_spec
from pathlib import Path

import comfy.model_management
import comfy.model_patcher
import comfy.utils
import folder_paths
import torch
from comfy_api.latest import io

from ...lumosx_core.auto_scene.networks.face_detector import FaceDetector
from ...lumosx_core.auto_scene.networks.find import choose_model, find_models, usual_folders
from ...lumosx_core.auto_scene.networks.grounding_dino import GroundingDino
from ...lumosx_core.auto_scene.networks.known import INSIGHTFACE, Kind
from ...lumosx_core.auto_scene.networks.sam import load_segmenter
from ...lumosx_core.auto_scene.plan.language_model import NEW_TOKENS, VisionLanguageModel
from ...lumosx_core.auto_scene.settings import Finders
from ...lumosx_core.errors import LumosXError
from ..inputs.host_schema import FOLDED

AUTO = "auto"
_TOOLTIPS: dict[Kind, str] = {
    "faces": f"A detector of InsightFace, such as det_10g.onnx, in models/insightface. {INSIGHTFACE}.",
    "phrases": "GroundingDINO in the transformers format, a folder in models/grounding-dino.",
    "masks": "Segment Anything: a file of SAM 1 or MobileSAM, or a SAM or SAM 2 folder in the transformers format, in "
    "models/sams.",
    "language": "Qwen2.5-VL, or a model with the same interface, as a folder in models/LLM.",
}


def model_input(kind: Kind, tooltip: str | None = None) -> io.Combo.Input:
    """An input that chooses among the models of a kind that were found.

    Args:
        tooltip: instead of the usual one, where "auto" means more than the first one found.
    """
    return io.Combo.Input(
        f"{_NAMES[kind]}_model",
        options=[AUTO, *find_models(kind, model_folders(), own=_registered(kind))],
        default=AUTO,
        tooltip=tooltip
        or f"{_TOOLTIPS[kind]} auto: the first one found. If there is none, the node shows the command that downloads "
        "one.",
        extra_dict=FOLDED,
    )


# Bytes on the device beside the weights: of SAM's global attention, of a prompt with images.
_WORKING: dict[Kind, int] = {"phrases": 2 * 10**9, "masks": 3 * 10**9, "language": 3 * 10**9}
_NAMES: dict[Kind, str] = {"faces": "face", "phrases": "box", "masks": "mask", "language": "language"}


def face_finder(name: str, threshold: float) -> FaceDetector:
    """The face detector of this file name, loaded once."""
    cuda = comfy.model_management.get_torch_device().type == "cuda"
    path = _path("faces", name)
    return once("faces", (path, cuda, threshold), lambda: FaceDetector.load(path, threshold=threshold, cuda=cuda))


def face_finder_if_present() -> FaceDetector | None:
    """The first face detector, where its package and a model are installed.

    Raises:
        LumosXError: the file cannot be used, for example because it is another of InsightFace's networks.
    """
    if find_spec("insightface") is None or not find_models("faces", model_folders(), own=_registered("faces")):
        return None
    return face_finder(AUTO, 0.5)


def phrase_finder(name: str, threshold: float) -> OnDevice:
    """The Grounding DINO of this file name, loaded once; on the device while it is in use."""
    path, dtype = _path("phrases", name), _dtype()
    finder = once(
        "phrases", (path, dtype), lambda: OnDevice(GroundingDino.load(path, dtype=dtype), _WORKING["phrases"])
    )
    finder.network.threshold = threshold
    return finder


def segmenter(name: str, mask_threshold: float = 0.5) -> OnDevice:
    """
    Args:
        mask_threshold: the least probability of a pixel that belongs to a mask, above 0 and below 1.
    """
    path, dtype = _path("masks", name), _dtype()
    held = once("masks", (path, dtype), lambda: OnDevice(load_segmenter(path, dtype=dtype), _WORKING["masks"]))
    held.network.mask_threshold = math.log(mask_threshold / (1 - mask_threshold))
    return held


def language_model(name: str, progress: Progress) -> OnDevice:
    """Loaded each time: it is used once per plan, and is too large to keep.

    Args:
        progress: counts the tokens of its answer, out of the maximum; also handles Interrupt.
    """
    path = _path("language", name)
    device = comfy.model_management.get_torch_device()
    dtype = torch.bfloat16 if comfy.model_management.should_use_bf16(device) else _dtype()
    model = VisionLanguageModel.load(path, dtype=dtype)
    tokens = itertools.count()
    # A second answer, after one that was not a plan, does not move the bar further.
    model.on_token = lambda: progress("plan", min(next(tokens), NEW_TOKENS), NEW_TOKENS)
    size = comfy.model_management.module_size(model.model)
    room = comfy.model_management.get_total_memory(device)
    if size > room:
        raise LumosXError(
            f"The language model {name} takes {size / 1e9:.0f} GB, but {device} has {room / 1e9:.0f} GB. Use a smaller "
            f"one, such as qwen2.5-vl-3b, or type the plan."
        )
    return OnDevice(model, _WORKING["language"])


def finders(face_model: str, box_model: str, mask_model: str, face_threshold: float, box_threshold: float) -> Finders:
    """The three finders by their file names; each is loaded when it is first used."""
    return Finders(
        lambda: face_finder(face_model, face_threshold),
        lambda: phrase_finder(box_model, box_threshold),
        lambda: segmenter(mask_model),
    )


class Progress:
    """ComfyUI's progress bar over stages of unknown length; it also handles Interrupt."""

    def __init__(self, stages: int):
        self._bar = comfy.utils.ProgressBar(stages)
        self._stages = stages
        self._seen: list[str] = []

    def __call__(self, stage: str, done: int, total: int) -> None:
        comfy.model_management.throw_exception_if_processing_interrupted()
        if stage not in self._seen:
            self._seen.append(stage)
        self._bar.update_absolute(len(self._seen) - 1 + done / max(1, total), self._stages)


class OnDevice:
    """A network that ComfyUI moves to the GPU when it is called, and off it when memory is needed.

    Args:
        network: with its torch module as `.model`; it computes wherever its parameters are.
        working: bytes on the device beside the weights.
    """

    def __init__(self, network, working: int):
        self.network = network
        self._working = working
        self._patcher = comfy.model_patcher.ModelPatcher(
            _Wrapped(network.model),
            load_device=comfy.model_management.get_torch_device(),
            offload_device=comfy.model_management.unet_offload_device(),
        )

    def ready(self):
        """The network, on the device."""
        comfy.model_management.throw_exception_if_processing_interrupted()
        # In whole: its layers are not ComfyUI's, so they cannot fetch weights one by one.
        comfy.model_management.load_models_gpu([self._patcher], self._working, force_full_load=True)
        return self.network

    def find(self, image, phrases):
        return self.ready().find(image, phrases)

    @property
    def side(self):
        return self.network.side

    def look_at(self, image):
        look = self.ready().look_at(image)

        def regions(boxes):
            self.ready()
            return look(boxes)

        return regions

    def ask(self, images, messages):
        return self.ready().ask(images, messages)


class _Wrapped(torch.nn.Module):
    """ComfyUI notes the device on the module it manages; that of transformers' modules is read-only."""

    def __init__(self, network: torch.nn.Module):
        super().__init__()
        self.network = network


_held: dict[str, tuple[tuple, object]] = {}


def once(kind: str, key: tuple, load):
    """The model of this kind that was used last, or a new one that replaces it: one of each kind stays in memory."""
    if kind not in _held or _held[kind][0] != key:
        _held.pop(kind, None)  # before the new one takes memory
        _held[kind] = key, load()
    return _held[kind][1]


def _path(kind: Kind, name: str) -> Path:
    return choose_model(kind, None if name == AUTO else name, model_folders(), own=_registered(kind))


def _dtype() -> torch.dtype:
    device = comfy.model_management.get_torch_device()
    return torch.float16 if comfy.model_management.should_use_fp16(device) else torch.float32


def model_folders() -> list[Path]:
    """Where models are looked for."""
    return [Path(folder_paths.models_dir)]


def _registered(kind: Kind) -> list[Path]:
    """Folders that other custom nodes, or the user's extra_model_paths.yaml, have for models of a kind."""
    names = [name for name in usual_folders(kind) if name in folder_paths.folder_names_and_paths]
    return [Path(path) for name in names for path in folder_paths.get_folder_paths(name)]
