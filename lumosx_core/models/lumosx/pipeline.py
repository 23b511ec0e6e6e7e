"""From a scene and a prompt to a video, without ComfyUI.

The networks come one after the other, so that memory holds one of the large ones at a time: the text encoder reads the
prompts, the VAE the pictures, the LumosX network makes latents out of noise, and the VAE a video out of the latents.
"""

from __future__ import annotations

import gc
import math
import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from ...errors import LumosXError
from ...files.model_files import ModelFiles, find_model_files
from ...media.images import fit_on_canvas
from ...media.video_size import check_video_size
from ...prompt.phrase_mask import check_prompt_length, clean_prompt, phrase_mask
from ...sampling.guidance import sample_guided
from ...sampling.schedule import flow_sigmas
from ...scene.layout import ReferenceLayout
from ...scene.scene import Scene
from ...scene.strength import NEGATIVE_REFERENCES, Influence, SeenPictures
from ..wan.umt5 import TextEncoder
from ..wan.vae import WanVae
from .weights import load_model, open_network

# The negative prompt that Wan2.1 was released with. A file of its own: consoles of Windows cannot print source with it.
NEGATIVE_PROMPT = Path(__file__).with_name("negative_prompt.txt").read_text(encoding="utf-8").strip()

Progress = Callable[[str, int, int], None]
"""Called as (stage, done, total): "text", "pictures", "sampling" (total: steps) and "decoding" (total: videos)."""


@dataclass(frozen=True)
class Settings:
    """How a video is made; the defaults are the released ones.

    Args:
        width, height: pixels, multiples of 16.
        frames: 4n + 1, at 16 a second.
        batch: number of videos of the same scene and prompt, from different noise.
        steps, shift: of the noise schedule.
        cfg: guidance, how far to move from the negative prompt to the prompt; 1 does without the negative prompt.
        seed: 0 to 2**64 - 1; the noise is the one ComfyUI makes of it.
        negative_references: whether the negative pass sees the pictures, too: "kept", as released, or "dropped", which
            makes guidance push towards them as it does towards the prompt.
        mcam_ratio, r2pe, csam: the network's relational parts, as in `LumosXConfig`.

    Raises:
        LumosXError: a value that is not possible, with the nearest one that is.
    """

    width: int = 832
    height: int = 480
    frames: int = 81
    batch: int = 1
    steps: int = 50
    shift: float = 8.0
    cfg: float = 6.0
    seed: int = 0
    negative_prompt: str = NEGATIVE_PROMPT
    negative_references: str = "kept"
    mcam_ratio: float = 0.5
    r2pe: bool = True
    csam: bool = True

    def __post_init__(self):
        check_video_size(self.width, self.height, self.frames)
        flow_sigmas(self.steps, self.shift)
        if self.batch < 1:
            raise LumosXError(f"batch is {self.batch}, expected the number of videos, 1 or more. Use 1.")
        if not 0 <= self.seed < 2**64:
            nearest = 0 if self.seed < 0 else 2**64 - 1
            raise LumosXError(f"seed is {self.seed}, expected a whole number from 0 to 2**64 - 1. Use {nearest}.")
        if not math.isfinite(self.cfg):
            raise LumosXError(f"cfg is {self.cfg}, expected a finite number. The released model uses 6.")
        if self.negative_references not in NEGATIVE_REFERENCES:
            raise LumosXError(
                f"negative_references is {self.negative_references!r}, expected one of "
                f"{', '.join(NEGATIVE_REFERENCES)}. The released model has them kept."
            )


@dataclass(frozen=True, eq=False)
class Conditions:
    """What the network is told beside the noise.

    n text tokens, R pictures of h x w latent pixels.

    Args:
        text, negative_text: (1, n, text_dim).
        references: (1, 16, R, h, w).
        phrase_mask: (R, text_len), positions of the positive prompt; used for the negative pass too, as released.
        influence: how strongly and when each picture is looked at; None: as released.
    """

    text: Tensor
    negative_text: Tensor
    references: Tensor
    layout: ReferenceLayout
    phrase_mask: Tensor
    influence: Influence | None = None


class LumosXPipeline:
    """Makes videos with one set of weight files.

    Args:
        files: the LumosX network, the Wan VAE and the UMT5 text encoder.
        device: "cpu", "cuda" or "mps"; None: the best there is.
        dtype: of the LumosX network; None: bfloat16 on CUDA, float16 on MPS and on CUDA devices without bfloat16,
            float32 on the CPU. VAE and text encoder compute in float32.

    Raises:
        LumosXError: a file is missing or no LumosX network, or there is no such device.
    """

    def __init__(
        self,
        files: ModelFiles,
        *,
        device: str | torch.device | None = None,
        dtype: torch.dtype | None = None,
    ):
        files.check()
        open_network(files.diffusion_model)  # a wrong file shows now, not after minutes of work
        self.files = files
        self.device = choose_device(device)
        self.dtype = choose_dtype(self.device) if dtype is None else dtype

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

    @torch.no_grad()
    def generate(
        self, scene: Scene, prompt: str, settings: Settings | None = None, *, progress: Progress | None = None
    ) -> Tensor:
        """Make videos; the same ones for the same input on the same machine.

        Returns:
            (batch, frames, height, width, 3) uint8 on the CPU.

        Raises:
            LumosXError: an empty scene, a phrase that does not occur in the prompt, or a prompt that is too long.
        """
        settings = settings or Settings()
        progress = progress or (lambda stage, done, total: None)
        vae = WanVae.load(self.files.vae, device=self.device)
        conditions = self.prepare(scene, prompt, settings, vae, progress=progress)
        latents = self.sample(conditions, settings, progress=progress)
        _free_memory()
        videos = []
        for video in latents.split(1):
            progress("decoding", len(videos), settings.batch)
            videos.append((vae.decode_frames(video) * 255).round().to("cpu", torch.uint8))
        progress("decoding", settings.batch, settings.batch)
        return torch.stack(videos)

    @torch.no_grad()
    def prepare(
        self, scene: Scene, prompt: str, settings: Settings, vae: WanVae, *, progress: Progress | None = None
    ) -> Conditions:
        """Read the prompts and the pictures."""
        progress = progress or (lambda stage, done, total: None)
        scene.check()
        prompt, negative_prompt = clean_prompt(prompt), clean_prompt(settings.negative_prompt)

        progress("text", 0, 1)
        encoder = TextEncoder(self.files.text_encoder, device=self.device)
        prompt_ids = encoder.tokenize(prompt)
        mask = phrase_mask(prompt_ids, scene, encoder.tokenize, pieces=encoder.pieces, prompt=prompt)
        check_prompt_length(encoder.tokenize(negative_prompt), negative=True)
        (_, text), (_, negative_text) = encoder.encode_all([prompt, negative_prompt])
        del encoder
        _free_memory()
        progress("text", 1, 1)

        references = scene.references
        progress("pictures", 0, len(references))
        canvases = [fit_on_canvas(reference.image, settings.height, settings.width) for reference in references]
        latents = vae.encode_pictures(torch.stack(canvases))
        progress("pictures", len(references), len(references))
        return Conditions(text[None], negative_text[None], latents, scene.layout, mask, scene.influence)

    @torch.no_grad()
    def sample(self, conditions: Conditions, settings: Settings, *, progress: Progress | None = None) -> Tensor:
        """Turn noise into the latents of videos.

        Returns:
            (batch, 16, T, H/8, W/8) float32, normalised, with T = (frames - 1) / 4 + 1.
        """
        progress = progress or (lambda stage, done, total: None)
        progress("sampling", 0, settings.steps)
        model = load_model(self.files.diffusion_model, device=self.device, dtype=self.dtype)
        model.config = replace(model.config, mcam_ratio=settings.mcam_ratio, r2pe=settings.r2pe, csam=settings.csam)
        texts = {False: conditions.text, True: conditions.negative_text}

        references, phrase_mask = conditions.references.to(self.device), conditions.phrase_mask.to(self.device)
        pictures = conditions.layout.pictures
        influence = conditions.influence or Influence.released(pictures)

        def velocity(latents: Tensor, sigma: float, timestep: Tensor, negative: bool) -> Tensor:
            dropped = negative and settings.negative_references == "dropped"
            strengths = (0.0,) * pictures if dropped else influence.at(sigma)
            seen = SeenPictures.choose(conditions.layout, phrase_mask, references, strengths)
            text = texts[negative].to(self.device).expand(settings.batch, -1, -1)
            return model(
                latents, timestep, text, seen.references, seen.layout, seen.phrase_mask, strengths=seen.strengths
            )

        return sample_guided(
            velocity,
            start_noise(settings).to(self.device),
            steps=settings.steps,
            shift=settings.shift,
            cfg=settings.cfg,
            callback=lambda step, clean, latents: progress("sampling", step + 1, settings.steps),
        )


def start_noise(settings: Settings) -> Tensor:
    """The noise that ComfyUI makes of the seed: drawn on the CPU for the whole batch at once.

    Returns:
        (batch, 16, T, H/8, W/8) float32.
    """
    shape = (settings.batch, 16, (settings.frames - 1) // 4 + 1, settings.height // 8, settings.width // 8)
    return torch.randn(shape, generator=torch.Generator().manual_seed(settings.seed), dtype=torch.float32)


def choose_device(device: str | torch.device | None = None) -> torch.device:
    """The device asked for, or the best there is.

    Raises:
        LumosXError: there is no such device here.
    """
    there_is = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if device is None:
        return torch.device(next(kind for kind, present in there_is.items() if present))
    try:
        chosen = torch.device(device)
    except RuntimeError:
        chosen = None
    missing = chosen is None or not there_is.get(chosen.type)
    if missing or (chosen.type == "cuda" and (chosen.index or 0) >= torch.cuda.device_count()):
        usable = ", ".join(kind for kind, present in there_is.items() if present)
        raise LumosXError(f"There is no device {str(device)!r} here. Use one of: {usable}.")
    return chosen


def choose_dtype(device: torch.device) -> torch.dtype:
    """What the LumosX network computes in where nothing else is asked for."""
    if device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False):
        return torch.bfloat16
    return torch.float32 if device.type == "cpu" else torch.float16


def _free_memory() -> None:
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
