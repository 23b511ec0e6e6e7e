"""What the network is trained on: the latents of one clip with its pictures and its words.

Shapes: B clips, T latent frames, R pictures, h x w latent pixels, J text tokens.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from lumosx_core.errors import LumosXError
from lumosx_core.scene.layout import ReferenceLayout


@dataclass(frozen=True, eq=False)
class TrainingItem:
    """One clip, ready for the network.

    Args:
        key: which sample it is, for messages.
        video: (16, T, h, w) normalised latents of the clip.
        references: (16, R, h, w) normalised latents of the pictures, in the order of the layout.
        text: (J, text_dim), the encoded caption without padding.
        layout: how the R pictures are divided into groups.
        phrase_mask: (R, text_len) bool, the caption's tokens that name each picture.
    """

    key: str
    video: Tensor
    references: Tensor
    text: Tensor
    layout: ReferenceLayout
    phrase_mask: Tensor


@dataclass(frozen=True, eq=False)
class TrainingBatch:
    """Clips of one size and one layout.

    Args:
        video: (B, 16, T, h, w).
        references: (B, 16, R, h, w); R may be 0.
        text: (B, J, text_dim), padded with zeros to the longest caption, as the network itself pads.
        phrase_mask: (B, R, text_len) bool.
    """

    keys: tuple[str, ...]
    video: Tensor
    references: Tensor
    text: Tensor
    layout: ReferenceLayout
    phrase_mask: Tensor

    def to(self, device: torch.device | str) -> TrainingBatch:
        return self.map(lambda tensor: tensor.to(device))

    def map(self, change: Callable[[Tensor], Tensor]) -> TrainingBatch:
        """The batch with `change` applied to each of its tensors."""
        return replace(
            self,
            video=change(self.video),
            references=change(self.references),
            text=change(self.text),
            phrase_mask=change(self.phrase_mask),
        )


def collate(items: Sequence[TrainingItem]) -> TrainingBatch:
    """Join items of one bucket.

    Raises:
        LumosXError: the items differ in size or layout.
    """
    for item in items[1:]:
        if item.video.shape != items[0].video.shape or item.layout != items[0].layout:
            raise LumosXError(
                f"{items[0].key} and {item.key} differ in size or layout and cannot share a batch. Bucket them apart."
            )
    return TrainingBatch(
        tuple(item.key for item in items),
        torch.stack([item.video for item in items]).float(),
        torch.stack([item.references for item in items]).float(),
        pad_sequence([item.text.float() for item in items], batch_first=True),
        items[0].layout,
        torch.stack([item.phrase_mask for item in items]),
    )
