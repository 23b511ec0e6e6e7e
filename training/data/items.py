"""What the network is trained on: the latents of one clip with its scene and its text.

Shapes: B clips, T latent frames, R images, h x w latent pixels, J text tokens.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from lumosx_core.errors import LumosXError
from lumosx_core.models.lumosx.lumosx_training import LUMOSX_TRAINING
from lumosx_core.models.trainable import TrainableFamily


@dataclass(frozen=True, eq=False)
class TrainingItem:
    """One clip, ready for the network.

    Args:
        key: which sample it is, for messages.
        video: (16, T, h, w) normalised latents of the clip.
        text: (J, text_dim), the encoded caption without padding.
        scene: its reference images, (1, 16, R, h, w), and the caption's tokens that name each, (R, text_len); of
            another family what that family conditions on.
    """

    key: str
    video: Tensor
    text: Tensor
    scene: Any


@dataclass(frozen=True, eq=False)
class TrainingBatch:
    """Clips of one size and one layout.

    Args:
        video: (B, 16, T, h, w).
        text: (B, J, text_dim), padded with zeros to the longest caption, as the network itself pads.
        scene: the images of each clip, (B, 16, R, h, w); R may be 0. Its phrase mask is (B, R, text_len). Of another
            family what that family conditions on.
    """

    keys: tuple[str, ...]
    video: Tensor
    text: Tensor
    scene: Any

    def to(self, device: torch.device | str) -> TrainingBatch:
        return self.map(lambda tensor: tensor.to(device))

    def map(self, change: Callable[[Tensor], Tensor]) -> TrainingBatch:
        """The batch with `change` applied to each of its tensors."""
        return replace(
            self,
            video=change(self.video),
            text=change(self.text),
            scene=self.scene.map(change),
        )


def collate(items: Sequence[TrainingItem], recipe: TrainableFamily = LUMOSX_TRAINING) -> TrainingBatch:
    """Join items of one bucket.

    Raises:
        LumosXError: the items differ in size or layout.
    """
    layout = items[0].scene.layout
    for item in items[1:]:
        if item.video.shape != items[0].video.shape or item.scene.layout != layout:
            raise LumosXError(
                f"{items[0].key} and {item.key} differ in size or layout and cannot share a batch. Bucket them apart."
            )
    return TrainingBatch(
        tuple(item.key for item in items),
        torch.stack([item.video for item in items]).float(),
        pad_sequence([item.text.float() for item in items], batch_first=True),
        recipe.collate([item.scene for item in items]),
    )
