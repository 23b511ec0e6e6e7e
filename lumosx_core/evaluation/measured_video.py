"""What is measured, by which networks, under which rules."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields
from enum import Enum

import torch
from torch import Tensor

from ..auto_scene.detectors import FaceFinder, PhraseFinder
from ..errors import LumosXError, shown
from ..files.safetensors_file import all_finite
from ..scene.case_folder import Case
from .networks import FeatureExtractor, ImageEmbedder, NetworkNote, OpticalFlow, TextImageEmbedder, VideoEmbedder


class Protocol(str, Enum):
    """How what the released evaluation does by accident is treated: CLEAN does what its definitions mean, REFERENCE
    repeats it, for numbers that are compared with the paper's.
    """

    CLEAN = "clean"
    REFERENCE = "reference"


@dataclass(frozen=True, eq=False)
class Video:
    """Frames of a video.

    Args:
        frames: (F, H, W, 3) float, 0..1.
        fps: frames per second.

    Raises:
        LumosXError: another shape or dtype, no frame, values that are not numbers, a rate that is not positive.
    """

    frames: Tensor
    fps: float
    name: str = "The video"

    def __post_init__(self):
        name = shown(self.name)
        if self.frames.ndim != 4 or self.frames.shape[-1] != 3 or 0 in self.frames.shape:
            raise LumosXError(
                f"{name} has shape {tuple(self.frames.shape)}, expected (frames, height, width, 3). Give RGB frames."
            )
        if not self.frames.is_floating_point():
            raise LumosXError(
                f"{name} has dtype {self.frames.dtype}, expected float in 0..1. Divide frames of bytes by 255."
            )
        if not all_finite(self.frames):
            raise LumosXError(f"{name} has values that are not numbers (NaN or infinite). Generate it again.")
        if not 0 < self.fps < float("inf"):
            raise LumosXError(f"{name} has {self.fps} frames per second, expected more than 0. State its frame rate.")

    def __len__(self) -> int:
        return len(self.frames)

    def even_frames(self, count: int) -> list[int]:
        """Indices of so many frames, evenly from the first to the last; all of them if there are fewer."""
        if len(self) <= count:
            return list(range(len(self)))
        return [int(index) for index in torch.linspace(0, len(self) - 1, count, dtype=torch.float64).round()]


@dataclass(frozen=True, eq=False)
class MeasuredVideo:
    """A generated video and what it should show.

    Args:
        name: of the case.
        file: name of the generated video's file; `reference` groups by it.
        truth: the video from which the references were taken; None: not known.
    """

    name: str
    file: str
    case: Case
    generated: Video
    truth: Video | None = None


@dataclass(frozen=True)
class Networks:
    """The networks of an evaluation; a metric whose networks are missing is skipped and says so.

    Args:
        faces: finds faces.
        phrases: finds subjects ("man with denim jacket"), best first.
        things: finds attributes in a subject's crop, and objects (OWLv2), best first.
        arc, cur: embed crops of faces (ArcFace, CurricularFace).
        clip, dino: embed crops of things and of people.
        video: embeds videos and captions.
        flow: optical flow.
        inception: features for the distance of faces in Ingredients.
    """

    faces: FaceFinder | None = None
    phrases: PhraseFinder | None = None
    things: PhraseFinder | None = None
    arc: ImageEmbedder | None = None
    cur: ImageEmbedder | None = None
    clip: TextImageEmbedder | None = None
    dino: ImageEmbedder | None = None
    video: VideoEmbedder | None = None
    flow: OpticalFlow | None = None
    inception: FeatureExtractor | None = None

    def missing(self, *names: str) -> list[str]:
        """Which of these are missing."""
        return [name for name in names if getattr(self, name) is None]

    def notes(self) -> Iterator[tuple[str, NetworkNote]]:
        """Name of the part and what a report says about its network, for those that state it."""
        for each in fields(self):
            network = getattr(self, each.name)
            if isinstance(note := getattr(network, "note", None), NetworkNote):
                yield each.name, note
