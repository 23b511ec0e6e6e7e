"""A scene after encoding: reference latents, layout, phrase mask and strengths, all that a model reads of a scene."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from ..errors import LumosXError
from .layout import ReferenceLayout
from .strength import Strengths


@dataclass(frozen=True, eq=False)
class EncodedScene:
    """R reference images as a model reads them, in the order of the layout. Checked once, when it is made.

    Compared by identity: two scenes are the same only if they are the same object.

    Args:
        references: (1 or B, C, R, H, W), clean latents of the images; C is 16 for Wan2.1.
        layout: how the R images are divided into groups.
        phrase_mask: (R, text_len) or (B, R, text_len) bool, the text tokens that name each image; None: no image has
            words.
        strengths: R numbers of 0 or more, or `Strengths` with the part of the schedule in which each image is seen;
            None: all are 1 from start to end, as released.
        labels: the phrase of each image, for reports; empty or R of them.

    Raises:
        LumosXError: the parts do not describe the same images.
    """

    references: Tensor
    layout: ReferenceLayout
    phrase_mask: Tensor | None
    strengths: Strengths | Sequence[float] | None = None
    labels: Sequence[str] = ()
    _selections: dict[tuple[float, ...], EncodedScene] = field(default_factory=dict, init=False, repr=False)

    def __post_init__(self):
        if self.references.ndim != 5:
            raise LumosXError(
                f"references have shape {tuple(self.references.shape)}, expected (1 or batch, channels, images, "
                f"height, width). Encode the scene's images with the model's VAE."
            )
        images = self.layout.pictures
        self.layout.check(self.references.shape[2])
        self._check_phrase_mask(images)
        strengths = self.strengths
        if strengths is not None and not isinstance(strengths, Strengths):
            object.__setattr__(self, "strengths", Strengths.constant(strengths))
        if isinstance(self.strengths, Strengths) and len(self.strengths.values) != images:
            raise LumosXError(
                f"strengths are {list(self.strengths.values)}, expected {images} numbers, one for each reference image."
            )
        object.__setattr__(self, "labels", tuple(self.labels))
        if self.labels and len(self.labels) != images:
            raise LumosXError(f"{len(self.labels)} labels were given for {images} reference images. Give one for each.")

    def _check_phrase_mask(self, images: int) -> None:
        mask = self.phrase_mask
        if mask is None:
            return
        batch = self.references.shape[0]
        rows_fit = mask.ndim in (2, 3) and mask.shape[-2] == images
        batch_fits = mask.ndim != 3 or batch == 1 or mask.shape[0] == batch
        if mask.dtype != torch.bool or not rows_fit or not batch_fits:
            raise LumosXError(
                f"phrase_mask has shape {tuple(mask.shape)} and dtype {mask.dtype}, expected ({images}, text_len) and "
                f"torch.bool, or (batch, {images}, text_len) for one a video."
            )

    @property
    def words(self) -> Tensor:
        """The phrase mask.

        Raises:
            LumosXError: the scene has none.
        """
        if self.phrase_mask is None:
            raise LumosXError("The scene was encoded without phrases. Encode it with its prompt.")
        return self.phrase_mask

    def only(self, images: Sequence[int]) -> EncodedScene:
        """The scene without all but these images, indices into 0..R-1 in rising order."""
        kept = list(images)
        strengths = self.strengths
        return EncodedScene(
            self.references[:, :, kept],
            self.layout.only(kept),
            None if self.phrase_mask is None else self.phrase_mask[..., kept, :],
            strengths.only(kept) if isinstance(strengths, Strengths) else None,
            [self.labels[image] for image in kept] if self.labels else (),
        )

    def zeroed(self) -> EncodedScene:
        """The scene with zeros for its latents, of which Phantom's negative pass has as many as there are images."""
        return replace(self, references=torch.zeros_like(self.references))

    def to(self, device: torch.device | str) -> EncodedScene:
        """The scene with its tensors on a device."""
        return self.map(lambda tensor: tensor.to(device))

    def map(self, change: Callable[[Tensor], Tensor]) -> EncodedScene:
        """The scene with `change` applied to each of its tensors."""
        mask = self.phrase_mask
        return replace(self, references=change(self.references), phrase_mask=None if mask is None else change(mask))

    def visible(self, sigma: float, level: Callable[[float], float]) -> tuple[int, ...]:
        """Indices of the images that are seen at a noise level; see `at`."""
        if not isinstance(self.strengths, Strengths):
            return tuple(range(self.layout.pictures))
        return tuple(i for i, strength in enumerate(self.strengths.at(sigma, level)) if strength > 0)

    def at(self, sigma: float, level: Callable[[float], float]) -> EncodedScene:
        """The scene that a model is given at a noise level: without the images of strength 0 and those out of time.

        The same object for the same strengths, so that what a model computes of it need not be computed again.

        Args:
            sigma: 1 (noise) to 0 (clean).
            level: the noise level at a fraction of the schedule.
        """
        if not isinstance(self.strengths, Strengths):
            return self
        strengths = self.strengths.at(sigma, level)
        if strengths not in self._selections:
            seen = [image for image, strength in enumerate(strengths) if strength > 0]
            constant = None if all(strengths[image] == 1 for image in seen) else [strengths[image] for image in seen]
            scene = self.only(seen) if len(seen) < len(strengths) else self
            self._selections[strengths] = replace(scene, strengths=constant)
        return self._selections[strengths]

    @property
    def constant_strengths(self) -> tuple[float, ...] | None:
        """R numbers above 0, or None if all are 1.

        Raises:
            LumosXError: an image has strength 0 or is seen for a part of the schedule only.
        """
        if not isinstance(self.strengths, Strengths):
            return None
        if not self.strengths.is_constant:
            raise LumosXError(
                f"strengths are {list(self.strengths.values)} over {list(self.strengths.spans)} of the schedule, but a "
                f"forward pass takes constant numbers above 0. Give it what EncodedScene.at returns for its noise "
                f"level, or leave images out with EncodedScene.only."
            )
        return None if all(value == 1 for value in self.strengths.values) else self.strengths.values
