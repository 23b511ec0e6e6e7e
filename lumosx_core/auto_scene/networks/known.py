"""The table of models that read photos: where the hub has them, how large they are, under which licence."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Literal

from ...errors import LumosXError
from ...files.hub import size_text

Kind = Literal["faces", "phrases", "masks", "language"]

MODEL_TYPES: dict[Kind, tuple[str, ...]] = {
    "faces": (),
    "phrases": ("grounding-dino", "mm-grounding-dino"),
    # The hub's SAM 2 files are those of the video model, of which the image model is a part.
    "masks": ("sam", "sam2", "sam2_video"),
    "language": ("qwen2_vl", "qwen2_5_vl", "qwen3_vl"),
}
"""`model_type` in the config.json of a folder as transformers reads it."""


@dataclass(frozen=True)
class PhotoModel:
    """A model that photos are read with.

    Args:
        kind: what it does: finds "faces", finds "phrases", cuts "masks", or is a vision-"language" model.
        name: what the command line calls it.
        repository: on the hub.
        files: their names in the repository; * stands for any part of a name.
        size: of all files together in bytes, approximately.
        licence: of the weights.
        folder: below ComfyUI's `models`; a model of several files has a folder of its own.
    """

    kind: Kind
    name: str
    repository: str
    files: tuple[str, ...]
    size: int
    licence: str
    folder: str

    @property
    def in_folder(self) -> bool:
        """Whether it is a folder as transformers reads it, not a single file."""
        return "config.json" in self.files

    @property
    def shown_name(self) -> str:
        """The name of its file or folder."""
        return PurePosixPath(self.folder if self.in_folder else self.files[0]).name

    def path_in(self, models: Path) -> Path:
        """Its file or folder below a folder like ComfyUI's `models`."""
        return models / self.folder if self.in_folder else models / self.folder / self.shown_name

    def __str__(self) -> str:
        return f"{self.name} ({size_text(self.size)}, {self.licence})"


APACHE = "Apache-2.0"
INSIGHTFACE = "InsightFace's models are for non-commercial research only"
QWEN_RESEARCH = "Qwen Research License, non-commercial"

# Not in buffalo_l or antelopev2: a pack that wants all of buffalo_l finds its folder there and fetches no more of it.
_FACES = "insightface/models/face_detection"
_DINO = ("config.json", "model.safetensors", "*.json", "vocab.txt")
_SAM2 = ("config.json", "model.safetensors", "*.json")
_QWEN = ("config.json", "*.safetensors", "*.json", "*.txt")
_SAM_REPOSITORY = "ybelkada/segment-anything"

PHOTO_MODELS = (
    # The best of each kind first: it is fetched where nothing else is asked for, and taken where several are there. Of
    # masks that is SAM 1, with which the paper cut its images.
    PhotoModel(
        *("faces", "det_10g", "public-data/insightface", ("models/buffalo_l/det_10g.onnx",), 16_923_827),
        *(INSIGHTFACE, _FACES),
    ),
    PhotoModel(
        *("faces", "scrfd_10g_bnkps", "DIAMONIK7777/antelopev2", ("scrfd_10g_bnkps.onnx",), 16_923_827),
        *(INSIGHTFACE, _FACES),
    ),
    PhotoModel(
        *("phrases", "grounding-dino-base", "IDEA-Research/grounding-dino-base", _DINO, 934_400_000),
        *(APACHE, "grounding-dino/grounding-dino-base"),
    ),
    PhotoModel(
        *("phrases", "grounding-dino-tiny", "IDEA-Research/grounding-dino-tiny", _DINO, 690_300_000),
        *(APACHE, "grounding-dino/grounding-dino-tiny"),
    ),
    PhotoModel(
        *("masks", "sam_vit_h", _SAM_REPOSITORY, ("checkpoints/sam_vit_h_4b8939.pth",), 2_564_550_879),
        *(APACHE, "sams"),
    ),
    PhotoModel(
        *("masks", "sam2.1-hiera-large", "facebook/sam2.1-hiera-large", _SAM2, 898_000_000),
        *(APACHE, "sams/sam2.1-hiera-large"),
    ),
    PhotoModel(
        *("masks", "sam2.1-hiera-base-plus", "facebook/sam2.1-hiera-base-plus", _SAM2, 323_500_000),
        *(APACHE, "sams/sam2.1-hiera-base-plus"),
    ),
    PhotoModel(
        *("masks", "sam_vit_l", _SAM_REPOSITORY, ("checkpoints/sam_vit_l_0b3195.pth",), 1_249_524_607),
        *(APACHE, "sams"),
    ),
    PhotoModel(
        *("masks", "sam2.1-hiera-small", "facebook/sam2.1-hiera-small", _SAM2, 184_400_000),
        *(APACHE, "sams/sam2.1-hiera-small"),
    ),
    PhotoModel(
        *("masks", "sam_vit_b", _SAM_REPOSITORY, ("checkpoints/sam_vit_b_01ec64.pth",), 375_042_383),
        *(APACHE, "sams"),
    ),
    PhotoModel(
        *("masks", "sam2.1-hiera-tiny", "facebook/sam2.1-hiera-tiny", _SAM2, 155_900_000),
        *(APACHE, "sams/sam2.1-hiera-tiny"),
    ),
    PhotoModel(
        *("masks", "mobile_sam", "dhkim2810/MobileSAM", ("mobile_sam.pt",), 40_728_226),
        *(APACHE, "sams"),
    ),
    PhotoModel(
        *("language", "qwen2.5-vl-7b", "Qwen/Qwen2.5-VL-7B-Instruct", _QWEN, 16_600_000_000),
        *(APACHE, "LLM/Qwen2.5-VL-7B-Instruct"),
    ),
    PhotoModel(
        *("language", "qwen2.5-vl-3b", "Qwen/Qwen2.5-VL-3B-Instruct", _QWEN, 7_520_000_000),
        *(QWEN_RESEARCH, "LLM/Qwen2.5-VL-3B-Instruct"),
    ),
)


def models_of(kind: Kind) -> list[PhotoModel]:
    """The known models of a kind, best first."""
    return [model for model in PHOTO_MODELS if model.kind == kind]


# What a scene is made with; the vision-language model is an extra, as plans can be typed.
DEFAULTS = tuple(models_of(kind)[0].name for kind in ("faces", "phrases", "masks"))


def photo_model(name: str) -> PhotoModel:
    """The model of this name in the table.

    Raises:
        LumosXError: there is none of this name.
    """
    for model in PHOTO_MODELS:
        if model.name == name:
            return model
    names = ", ".join(model.name for model in PHOTO_MODELS)
    raise LumosXError(f"No model for photos is called {name!r}. Use one of: {names}.")
