"""Encodes the scenes of families that see reference images as latents: phrase masks and augmented images."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from lumosx_core.media.images import fit_on_canvas, to_pil
from lumosx_core.models.encode_scene import PreparedScene, prepare_scene
from lumosx_core.models.family import Tokenizer
from lumosx_core.models.trainable import ClipParts
from lumosx_core.scene.case_folder import Case
from lumosx_core.scene.scene import Scene

from ..data.augment import augment, chance_of
from .settings import STORED, CacheSettings


@dataclass(frozen=True, eq=False)
class PreparedReferences:
    """A scene before its images are encoded.

    Args:
        scene: with the tokens that name each image.
        canvases: (variants * R, H, W, 3) in 0..1.
        latent: (C, h, w), the shape of the latents of an image.
    """

    scene: PreparedScene
    canvases: Tensor
    latent: tuple[int, int, int]


class ReferenceEncoder:
    """See `PartsEncoder`; variants of a scene differ in the augmentation of its images.

    Args:
        encode: videos (F, H, W, 3) in 0..1 -> latents (C, T, h, w) as they are stored.
    """

    def __init__(
        self, settings: CacheSettings, tokenizer: Tokenizer, encode: Callable[[Sequence[Tensor]], list[Tensor]]
    ):
        self.settings, self.tokenizer, self.encode_videos = settings, tokenizer, encode

    def prepare(self, case: Case, prompt: str, video: Tensor, masks: Tensor | None) -> PreparedReferences:
        """See `PartsEncoder.prepare`; the name of the case is the key of its sample."""
        spec = self.settings.family.spec
        scene = prepare_scene(case.scene, prompt, self.tokenizer, text_len=spec.text_len)
        height, width = video.shape[1:3]
        canvases = self._canvases(case.name or "", case.scene, height, width)
        return PreparedReferences(scene, canvases, (spec.channels, *spec.latent_shape(1, 1, height, width)[3:]))

    def encode(self, prepared: Sequence[PreparedReferences]) -> list[ClipParts]:
        """See `PartsEncoder.encode`."""
        images = iter(self.encode_videos([canvas[None] for each in prepared for canvas in each.canvases]))
        return [self._parts(each, [next(images) for _ in each.canvases]) for each in prepared]

    def _parts(self, prepared: PreparedReferences, images: list[Tensor]) -> ClipParts:
        variants = self.settings.variants
        channels, *size = prepared.latent
        copies = torch.cat(images, dim=1).chunk(variants, dim=1) if images else ()  # (C, R, h, w) each
        scene = prepared.scene.encoded((copies[0] if images else torch.zeros(channels, 0, *size))[None])
        stored = copies or (scene.references[0].to(STORED[self.settings.dtype]),) * variants
        references = {f"references.{variant}": each.contiguous() for variant, each in enumerate(stored)}
        mask = torch.from_numpy(np.packbits(scene.words.numpy(), axis=1))
        return ClipParts({"phrase_mask": mask, **references}, scene.layout, variants=variants)

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
