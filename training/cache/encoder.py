"""Turns samples into what the cache stores: pixels become latents, captions become token positions and embeddings.

Small clips are encoded many at a time: on their own they would spend most of the time between operations.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from lumosx_core.errors import LumosXError
from lumosx_core.files.model_files import ModelFiles
from lumosx_core.files.safetensors_file import all_finite
from lumosx_core.models.trainable import ClipParts, PartsEncoder
from lumosx_core.prompt.phrase_mask import clean_prompt

from ..data.clips import fit_clip
from ..data.masks import fit_masks
from ..data.samples import RawSample, check_caption
from .references import ReferenceEncoder
from .settings import STORED, CacheSettings

BATCH_PIXELS = 2**18  # encoded at once: 42 images of 64 x 96, one of 832 x 480; more no longer fit a CPU's cache
BATCH_TOKENS = {"cpu": 2**9, "cuda": 2**14}  # the released encoder's weights (11 GB) are read once for each batch


@dataclass(frozen=True, eq=False)
class PreparedSample:
    """A sample as the encoders take it.

    Args:
        where: what messages call it.
        prompt: the cleaned caption.
        video: (F, H, W, 3) in 0..1.
        scene: what the family makes of the scene; for LumosX `PreparedReferences`.
    """

    key: str
    where: str
    prompt: str
    video: Tensor
    scene: Any


@dataclass(frozen=True, eq=False)
class EncodedSample:
    """A sample as the cache stores it.

    Args:
        prompt: the cleaned caption.
        video: (C, T, h, w).
        parts: of the scene.
    """

    key: str
    where: str
    prompt: str
    video: Tensor
    parts: ClipParts


class SampleEncoder:
    """The VAE and the text encoder of a cache, on one device."""

    def __init__(self, files: ModelFiles, settings: CacheSettings, device: torch.device | str = "cpu"):
        self.settings = settings
        self.dtype = STORED[settings.dtype]
        self.device = torch.device(device)
        self.vae = settings.family.load_vae(files.vae, device=device)
        self.text_encoder = settings.family.load_text_encoder(files.text_encoder, device=device)
        own = settings.recipe.parts_encoder(files, self.vae, self.text_encoder, self.device)
        self.parts: PartsEncoder = own or ReferenceEncoder(settings, self.text_encoder, self.encode_videos)

    def prepare(self, sample: RawSample) -> PreparedSample:
        """Fit the video and its reference images, and find their words in the caption.

        Raises:
            LumosXError: the sample cannot be used.
        """
        prompt = clean_prompt(sample.case.prompt)
        check_caption(prompt)
        video = fit_clip(sample.video, self.settings.clip)
        pixels = video.float() / 255 if video.dtype == torch.uint8 else video.float()
        if not all_finite(pixels):
            raise LumosXError("The video has values that are not numbers. Export it again.")
        masks = None if sample.masks is None else fit_masks(sample.masks, self.settings.clip)
        prepared = self.parts.prepare(replace(sample.case, name=sample.key), prompt, pixels, masks)
        return PreparedSample(sample.key, sample.where, prompt, pixels, prepared)

    def encode(self, samples: Sequence[PreparedSample]) -> list[EncodedSample]:
        """Encode videos and scenes; the latents are of the stored type, not yet checked for NaN."""
        videos = self.encode_videos([sample.video for sample in samples])
        parts = self.parts.encode([sample.scene for sample in samples])
        return [
            EncodedSample(sample.key, sample.where, sample.prompt, video, self._stored(each))
            for sample, video, each in zip(samples, videos, parts, strict=True)
        ]

    def _stored(self, parts: ClipParts) -> ClipParts:
        tensors = {
            name: tensor.to("cpu", self.dtype) if tensor.is_floating_point() else tensor
            for name, tensor in parts.tensors.items()
        }
        return replace(parts, tensors=tensors)

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

    def encode_videos(self, videos: Sequence[Tensor]) -> list[Tensor]:
        """Latents (C, T, h, w), as they are stored, of videos (F, H, W, 3), those of one shape together."""
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
