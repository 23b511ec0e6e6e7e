"""Turns samples into what the cache stores: pixels become latents, captions become token positions and embeddings.

Small clips are encoded many at a time: on their own they would spend most of the time between operations.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from lumosx_core.errors import LumosXError
from lumosx_core.files.model_files import ModelFiles
from lumosx_core.files.safetensors_file import all_finite
from lumosx_core.media.images import fit_on_canvas, to_pil
from lumosx_core.models.encode_scene import PreparedScene, prepare_scene
from lumosx_core.prompt.phrase_mask import clean_prompt
from lumosx_core.scene.encoded import EncodedScene
from lumosx_core.scene.scene import Scene

from ..data.augment import augment, chance_of
from ..data.clips import fit_clip
from ..data.samples import RawSample, check_caption
from .settings import STORED, CacheSettings

BATCH_PIXELS = 2**18  # encoded at once: 42 images of 64 x 96, one of 832 x 480; more no longer fit a CPU's cache
BATCH_TOKENS = {"cpu": 2**9, "cuda": 2**14}  # the released encoder's weights (11 GB) are read once for each batch


@dataclass(frozen=True, eq=False)
class PreparedSample:
    """A sample as the encoders take it.

    Args:
        where: what messages call it.
        video: (F, H, W, 3) in 0..1.
        canvases: (variants * R, H, W, 3) in 0..1.
        scene: with the cleaned caption and the tokens that name each image.
    """

    key: str
    where: str
    video: Tensor
    canvases: Tensor
    scene: PreparedScene


@dataclass(frozen=True, eq=False)
class EncodedSample:
    """A sample as the cache stores it.

    Args:
        prompt: the cleaned caption.
        video: (16, T, h, w).
        variants: the scene with each augmented copy of its images, (1, 16, R, h, w).
    """

    key: str
    where: str
    prompt: str
    video: Tensor
    variants: tuple[EncodedScene, ...]


class SampleEncoder:
    """The VAE and the text encoder of a cache, on one device."""

    def __init__(self, files: ModelFiles, settings: CacheSettings, device: torch.device | str = "cpu"):
        self.settings = settings
        self.dtype = STORED[settings.dtype]
        self.device = torch.device(device)
        self.vae = settings.family.load_vae(files.vae, device=device)
        self.text_encoder = settings.family.load_text_encoder(files.text_encoder, device=device)

    def prepare(self, sample: RawSample) -> PreparedSample:
        """Fit the video and its reference images, and find their words in the caption.

        Raises:
            LumosXError: the sample cannot be used.
        """
        scene = sample.case.scene
        prompt = clean_prompt(sample.case.prompt)
        check_caption(prompt)
        prepared = prepare_scene(scene, prompt, self.text_encoder, text_len=self.settings.family.spec.text_len)
        video = fit_clip(sample.video, self.settings.clip)
        pixels = video.float() / 255 if video.dtype == torch.uint8 else video.float()
        if not all_finite(pixels):
            raise LumosXError("The video has values that are not numbers. Export it again.")
        canvases = self._canvases(sample.key, scene, *pixels.shape[1:3])
        return PreparedSample(sample.key, sample.where, pixels, canvases, prepared)

    def encode(self, samples: Sequence[PreparedSample]) -> list[EncodedSample]:
        """Encode videos and images; the latents are of the stored type, not yet checked for NaN."""
        videos = self._encode([sample.video for sample in samples])
        counts = [len(sample.canvases) for sample in samples]
        images = iter(self._encode([canvas[None] for sample in samples for canvas in sample.canvases]))
        encoded = []
        for sample, video, count in zip(samples, videos, counts, strict=True):
            empty = video.new_zeros(video.shape[0], 0, *video.shape[-2:])
            latents = torch.cat([empty, *(next(images) for _ in range(count))], dim=1)  # (16, variants * R, h, w)
            variants = tuple(
                sample.scene.encoded(references[None]) for references in latents.chunk(self.settings.variants, dim=1)
            )
            if not count:
                variants = (sample.scene.encoded(latents[None]),) * self.settings.variants
            encoded.append(EncodedSample(sample.key, sample.where, sample.scene.prompt, video, variants))
        return encoded

    def encode_texts(self, prompts: Sequence[str]) -> dict[str, Tensor]:
        """The embeddings of cleaned captions, (J, text_dim) of the stored type, each under `text_name` of it."""
        lengths = {prompt: len(self.text_encoder.tokenize(prompt)) for prompt in prompts}
        ordered = sorted(lengths, key=lambda prompt: (lengths[prompt], prompt))
        at_once = BATCH_TOKENS.get(self.device.type, 2**12)
        encoded, chunk = {}, []
        for position, prompt in enumerate(ordered):
            chunk.append(prompt)
            following = ordered[position + 1 : position + 2]
            if not following or (len(chunk) + 1) * lengths[following[0]] > at_once:
                for each, (_, text) in zip(chunk, self.text_encoder.encode_all(chunk), strict=True):
                    encoded[text_name(each)] = text.to("cpu", self.dtype)
                chunk = []
        return encoded

    def _canvases(self, key: str, scene: Scene, height: int, width: int) -> Tensor:
        settings, canvases = self.settings, []
        for variant in range(settings.variants):
            for number, reference in enumerate(scene.references):
                picture = to_pil(reference.image)
                if settings.augment != "none":
                    chance = chance_of(settings.seed, key, number, variant)
                    background = reference is scene.background
                    picture = augment(picture, height, width, chance, background=background, mode=settings.augment)
                canvases.append(fit_on_canvas(picture, height, width))
        return torch.stack(canvases) if canvases else torch.zeros(0, height, width, 3)

    def _encode(self, videos: Sequence[Tensor]) -> list[Tensor]:
        """Latents (16, T, h, w) of videos (F, H, W, 3), those of one shape together."""
        alike = defaultdict(list)
        for position, video in enumerate(videos):
            alike[video.shape].append(position)
        latents: dict[int, Tensor] = {}
        for (frames, height, width, _), positions in alike.items():
            at_once = max(1, BATCH_PIXELS // (frames * height * width))
            for start in range(0, len(positions), at_once):
                chunk = positions[start : start + at_once]
                encoded = self.vae.encode_videos(torch.stack([videos[position] for position in chunk]))
                latents |= zip(chunk, encoded.to("cpu", self.dtype), strict=True)
        return [latents[position] for position in range(len(videos))]


def text_name(prompt: str) -> str:
    """The name under which the cache stores a cleaned caption's embeddings."""
    return hashlib.sha256(prompt.encode("utf-8", "surrogatepass")).hexdigest()
