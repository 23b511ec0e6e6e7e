"""From a scene and a prompt to a video, without ComfyUI, for any model family.

The networks come one after the other, so that memory holds one of the large ones at a time: the text encoder reads the
prompts, the VAE the images, the video network makes latents out of noise, and the VAE a video out of the latents.
"""

from __future__ import annotations

import gc
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, NoReturn

import torch
from torch import Tensor

from ..errors import LumosXError
from ..files.model_files import ModelFiles
from ..files.safetensors_file import all_finite
from ..prompt.phrase_mask import check_prompt_length, clean_prompt
from ..scene.scene import Scene
from ..scene.strength import NEGATIVE_REFERENCES
from .family import FaceSearch, ModelFamily, SceneConditions, VideoAutoencoder

Progress = Callable[[str, int, int], None]
"""Called as (stage, done, total): "text", "images", "sampling" (total: steps) and "decoding" (total: videos)."""

MOST_PIXELS = 2**33
"""Of all frames of all videos of a run, which are in memory at the end, with 3 bytes each: 265 released videos."""
LARGEST_CFG = 1000.0
MOST_VIDEOS = 4096  # of a run, as in the node


@dataclass(frozen=True)
class VideoSettings:
    """How a video is made. Each family has a subclass with its released values as defaults and its `family`.

    Args:
        width, height, frames: of the video; which sizes fit says the family's spec.
        batch: number of videos of the same scene and prompt, from different noise.
        steps, shift: of the noise schedule.
        cfg: guidance, how far to move from the negative prompt to the prompt; 1 does without the negative prompt.
        seed: 0 to 2**64 - 1; the noise is the one ComfyUI makes of it.
        negative_references: whether the negative pass sees the images, too: "kept", as released, or "dropped", which
            makes guidance push towards them as it does towards the prompt, or "zeroed", the same with zeros for their
            latents, as Phantom was trained.
        options: the network's own switches.

    Raises:
        LumosXError: a value that is not possible, with the nearest one that is.
    """

    family: ClassVar[ModelFamily]

    width: int
    height: int
    frames: int
    batch: int
    steps: int
    shift: float
    cfg: float
    seed: int
    negative_prompt: str
    negative_references: str
    options: Any

    def __post_init__(self):
        spec = self.family.spec
        spec.check_size(self.width, self.height, self.frames)
        spec.check_schedule(self.steps, self.shift)
        if self.batch < 1:
            raise LumosXError(f"batch is {self.batch}, expected the number of videos, 1 or more. Use 1.")
        if self.batch > MOST_VIDEOS:
            raise LumosXError(f"batch is {self.batch}, expected at most {MOST_VIDEOS} videos. Run it several times.")
        pixels = self.width * self.height * self.frames * self.batch
        if pixels > MOST_PIXELS:
            raise LumosXError(
                f"{self.batch} x {self.frames} frames of {self.width}x{self.height} are {pixels / 1e9:.1f} billion "
                f"pixels, but one run makes at most {MOST_PIXELS / 1e9:.1f} billion. Make fewer videos at a time, or "
                f"shorter or smaller ones."
            )
        if not 0 <= self.seed < 2**64:
            nearest = 0 if self.seed < 0 else 2**64 - 1
            raise LumosXError(f"seed is {self.seed}, expected a whole number from 0 to 2**64 - 1. Use {nearest}.")
        if not math.isfinite(self.cfg) or abs(self.cfg) > LARGEST_CFG:
            raise LumosXError(
                f"cfg is {self.cfg:g}, expected a finite number of at most {LARGEST_CFG:g}. The released model uses "
                f"{spec.cfg:g}."
            )
        if self.negative_references not in NEGATIVE_REFERENCES:
            raise LumosXError(
                f"negative_references is {self.negative_references!r}, expected one of "
                f"{', '.join(NEGATIVE_REFERENCES)}. The released model has them kept."
            )


@dataclass(frozen=True, eq=False)
class Conditions:
    """What the network is given beside the noise.

    Args:
        text, negative_text: (1, n, text_dim).
        scene: what the family encodes of the scene, such as reference images, or faces. It is used for the negative
            pass, too, as released.
    """

    text: Tensor
    negative_text: Tensor
    scene: SceneConditions


class VideoPipeline:
    """Makes videos with one set of weight files.

    Args:
        files: the video network, its VAE and its text encoder.
        family: the model family that the files belong to.
        device: "cpu", "cuda" or "mps"; None: the best there is.
        dtype: of the video network; None: bfloat16 on CUDA, float16 on MPS and on CUDA devices without bfloat16,
            float32 on the CPU. VAE and text encoder compute in float32.
        find_faces: finds faces in photos, for families that crop them; None: such a family refuses photos.

    Raises:
        LumosXError: a file is missing or holds another model, or there is no such device.
    """

    def __init__(
        self,
        files: ModelFiles,
        family: ModelFamily,
        *,
        device: str | torch.device | None = None,
        dtype: torch.dtype | None = None,
        find_faces: FaceSearch | None = None,
    ):
        files.check()
        self.family = family
        self.find_faces = find_faces or _no_face_detector
        self.files = files
        self.network = family.open(files.diffusion_model)  # a wrong file shows now, not after minutes of work
        self.device = choose_device(device)
        self.dtype = choose_dtype(self.device) if dtype is None else dtype

    @torch.no_grad()
    def generate(
        self, scene: Scene, prompt: str, settings: VideoSettings, *, progress: Progress | None = None
    ) -> Tensor:
        """Make videos; the same ones for the same input on the same machine.

        Returns:
            (batch, frames, height, width, 3) uint8 on the CPU.

        Raises:
            LumosXError: an empty scene, a phrase that does not occur in the prompt, or a prompt that is too long.
        """
        progress = progress or (lambda stage, done, total: None)
        self.family.check_settings(self.network, settings)
        vae = self.family.load_vae(self.files.vae, device=self.device)
        conditions = self.prepare(scene, prompt, settings, vae, progress=progress)
        latents = self.sample(conditions, settings, progress=progress)
        free_memory()
        return self.decode(latents, vae, progress=progress)

    @torch.no_grad()
    def decode(self, latents: Tensor, vae: VideoAutoencoder, *, progress: Progress | None = None) -> Tensor:
        """Turn latents, (B, C, T, h, w), into videos.

        Returns:
            (B, frames, height, width, 3) uint8 on the CPU.

        Raises:
            LumosXError: latents that are no numbers.
        """
        progress = progress or (lambda stage, done, total: None)
        if not all_finite(latents):
            raise LumosXError(
                f"The network gave values that are no numbers (NaN) in {str(self.dtype).removeprefix('torch.')}. Use "
                f"--dtype bfloat16 or float32; if it stays, the weights are damaged."
            )
        videos: list[Tensor] = []
        for video in latents.split(1):
            progress("decoding", len(videos), len(latents))
            videos.append((vae.decode_frames(video) * 255).round().to("cpu", torch.uint8))
        progress("decoding", len(latents), len(latents))
        return torch.stack(videos)

    @torch.no_grad()
    def prepare(
        self,
        scene: Scene,
        prompt: str,
        settings: VideoSettings,
        vae: VideoAutoencoder,
        *,
        progress: Progress | None = None,
    ) -> Conditions:
        """Encode the prompts and the images."""
        progress = progress or (lambda stage, done, total: None)
        scene.check()
        text_len = self.family.spec.text_len
        negative_prompt = clean_prompt(settings.negative_prompt)

        progress("text", 0, 1)
        encoder = self.family.load_text_encoder(self.files.text_encoder, device=self.device)
        prepared = self.family.prepare_scene(scene, prompt, encoder)
        check_prompt_length(encoder.tokenize_prompt(negative_prompt), text_len, negative=True)
        (_, text), (_, negative_text) = encoder.encode_all([prepared.prompt, negative_prompt])
        del encoder
        free_memory()
        progress("text", 1, 1)

        images = len(scene.references)
        progress("images", 0, images)
        encoded = self.family.encode_scene(prepared, vae, settings, self.files, self.device, self.find_faces)
        progress("images", images, images)
        return Conditions(text[None], negative_text[None], encoded)

    @torch.no_grad()
    def sample(self, conditions: Conditions, settings: VideoSettings, *, progress: Progress | None = None) -> Tensor:
        """Turn noise into the latents of videos.

        Returns:
            (batch, C, T, h, w) float32, normalised.
        """
        progress = progress or (lambda stage, done, total: None)
        progress("sampling", 0, settings.steps)
        model = self.family.build(self.network, device=self.device, dtype=self.dtype)

        return self.family.sample(
            model,
            start_noise(settings).to(self.device),
            conditions.text.to(self.device),
            conditions.negative_text.to(self.device),
            conditions.scene.to(self.device),
            settings,
            lambda step, clean, latents: progress("sampling", step + 1, settings.steps),
        )


def _no_face_detector(photo: Tensor) -> NoReturn:
    raise LumosXError("No face detector was given to find faces in photos with. Give one as `find_faces`.")


def start_noise(settings: VideoSettings) -> Tensor:
    """The noise that ComfyUI makes of the seed: drawn on the CPU for the whole batch at once.

    Returns:
        (batch, C, T, h, w) float32.
    """
    shape = settings.family.spec.latent_shape(settings.batch, settings.frames, settings.height, settings.width)
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
        if there_is.get(chosen.type) and (chosen.type != "cuda" or (chosen.index or 0) < torch.cuda.device_count()):
            return chosen
    except RuntimeError:
        pass  # a name that torch does not know
    usable = ", ".join(kind for kind, present in there_is.items() if present)
    raise LumosXError(f"There is no device {str(device)!r} here. Use one of: {usable}.")


def choose_dtype(device: torch.device) -> torch.dtype:
    """The dtype of the video network where none is asked for."""
    if device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False):
        return torch.bfloat16
    return torch.float32 if device.type == "cpu" else torch.float16


def free_memory() -> None:
    """Give back the memory of networks that nothing refers to any more."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
