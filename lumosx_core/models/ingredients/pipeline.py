"""How a video of Ingredients is made: `VideoSettings` with the released values."""

from __future__ import annotations

from dataclasses import dataclass

from ...errors import LumosXError
from ..video_pipeline import VideoSettings
from .ingredients_family import INGREDIENTS
from .model import GUIDANCE
from .spec import SPEC

FACE_CROPS = ("find", "as given")
FACE_DETECTORS = ("released", "given")


@dataclass(frozen=True)
class IngredientsSettings(VideoSettings):
    """How an Ingredients video is made; the defaults are the released ones. See `VideoSettings`.

    Args:
        shift: by which the signal-to-noise ratio of the schedule is divided.
        guidance: whether the negative and the positive pass share the faces' residual of the negative one ("shared",
            as released) or each has its own ("per_branch").
        face_crops: "find": the face is found in each face image and aligned, as released. "as given": the image shows
            a face as an aligned crop does, or is drawn, and is only fitted.
        face_detector: "released": RetinaFace, where it is among the networks of the face encoder. "given": the
            pipeline's `find_faces`.
    """

    family = INGREDIENTS

    width: int = SPEC.width
    height: int = SPEC.height
    frames: int = SPEC.frames
    batch: int = 1
    steps: int = SPEC.steps
    shift: float = SPEC.shift
    cfg: float = SPEC.cfg
    seed: int = 0
    negative_prompt: str = ""
    negative_references: str = "kept"
    options: None = None
    guidance: str = "shared"
    face_crops: str = "find"
    face_detector: str = "released"

    def __post_init__(self):
        super().__post_init__()
        if self.negative_references != "kept":
            raise LumosXError(
                f"negative_references is {self.negative_references!r}, but {SPEC.name} always shows the faces to the "
                f"negative pass, too. Leave it out, or use guidance per_branch."
            )
        choices = (("guidance", GUIDANCE), ("face_crops", FACE_CROPS), ("face_detector", FACE_DETECTORS))
        for name, possible in choices:
            if getattr(self, name) not in possible:
                raise LumosXError(f"{name} is {getattr(self, name)!r}, expected one of {', '.join(possible)}.")
