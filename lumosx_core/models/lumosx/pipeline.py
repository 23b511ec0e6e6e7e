"""LumosX's pipeline: `VideoPipeline` with LumosX's files and the released settings."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from ...files.model_files import ModelFiles, find_model_files
from ...scene.scene import Scene
from ..video_pipeline import Progress, VideoPipeline, VideoSettings
from .config import RelationalOptions
from .lumosx_family import LUMOSX
from .spec import SPEC

# The negative prompt that Wan2.1 was released with. A file of its own: consoles of Windows cannot print source with it.
NEGATIVE_PROMPT = Path(__file__).with_name("negative_prompt.txt").read_text(encoding="utf-8").strip()


@dataclass(frozen=True)
class Settings(VideoSettings):
    """How a LumosX video is made; the defaults are the released ones. See `VideoSettings`."""

    family = LUMOSX

    width: int = SPEC.width
    height: int = SPEC.height
    frames: int = SPEC.frames
    batch: int = 1
    steps: int = SPEC.steps
    shift: float = SPEC.shift
    cfg: float = SPEC.cfg
    seed: int = 0
    negative_prompt: str = NEGATIVE_PROMPT
    negative_references: str = "kept"
    options: RelationalOptions = LUMOSX.options


class LumosXPipeline(VideoPipeline):
    """Makes videos with LumosX; see `VideoPipeline`."""

    def __init__(
        self,
        files: ModelFiles,
        *,
        device: str | torch.device | None = None,
        dtype: torch.dtype | None = None,
    ):
        super().__init__(files, LUMOSX, device=device, dtype=dtype)

    @classmethod
    def load(
        cls,
        model: str | os.PathLike,
        vae: str | os.PathLike | None = None,
        text_encoder: str | os.PathLike | None = None,
        *,
        device: str | torch.device | None = None,
        dtype: torch.dtype | None = None,
    ) -> LumosXPipeline:
        """The pipeline for a file with its VAE and text encoder, or for a directory (see `find_model_files`)."""
        return cls(find_model_files(model, vae, text_encoder), device=device, dtype=dtype)

    def generate(
        self, scene: Scene, prompt: str, settings: VideoSettings | None = None, *, progress: Progress | None = None
    ) -> Tensor:
        """Make videos, with the released settings unless others are given; see `VideoPipeline.generate`."""
        return super().generate(scene, prompt, settings or Settings(), progress=progress)
