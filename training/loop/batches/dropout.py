"""What a clip is shown without, and in which order, so that the network learns to do without it.

A batch shares one layout, so pictures are left out for a whole batch; text is left out clip by clip.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor

from lumosx_core.scene.layout import ReferenceLayout

from ...data.items import TrainingBatch
from .noise import draw_generator


def without_pictures(batch: TrainingBatch, dropped: Sequence[int]) -> TrainingBatch:
    """The batch without these pictures; a subject that loses all of its own is no group any more."""
    kept = [picture for picture in range(batch.layout.pictures) if picture not in set(dropped)]
    if len(kept) == batch.layout.pictures:
        return batch
    groups = batch.layout.groups
    sizes = [sum(picture in kept for picture in group) for group in groups]
    layout = ReferenceLayout(
        sum(sizes[: batch.layout.standalone]), tuple(size for size in sizes[batch.layout.standalone :] if size)
    )
    return replace(
        batch, references=batch.references[:, :, kept], phrase_mask=batch.phrase_mask[:, kept], layout=layout
    )


def without_text(batch: TrainingBatch, dropped: Sequence[int], empty_text: Tensor) -> TrainingBatch:
    """The batch with the encoding of "" in place of these clips' captions.

    The phrase masks stay: sampling, too, keeps those of the prompt in its negative pass.

    Args:
        empty_text: (J, text_dim).
    """
    if not dropped:
        return batch
    length = max(batch.text.shape[1], empty_text.shape[0])
    text = F.pad(batch.text, (0, 0, 0, length - batch.text.shape[1]))
    empty = F.pad(empty_text.to(text), (0, 0, 0, length - empty_text.shape[0]))
    text[list(dropped)] = empty
    return replace(batch, text=text)


def ungrouped(batch: TrainingBatch, seed: int, positions: Sequence[int] | None = None) -> TrainingBatch:
    """The batch with its pictures one by one, in an order that tells nothing about who owns what (for ablations).

    Args:
        seed, positions: clip i gets the order that belongs to (seed, positions[i]); by default its place in the batch.
    """
    pictures = batch.layout.pictures
    positions = range(len(batch.keys)) if positions is None else positions
    orders = [torch.randperm(pictures, generator=draw_generator("order", seed, position)) for position in positions]
    references = [clip[:, order] for clip, order in zip(batch.references, orders, strict=True)]
    masks = [mask[order] for mask, order in zip(batch.phrase_mask, orders, strict=True)]
    return replace(
        batch,
        references=torch.stack(references),
        phrase_mask=torch.stack(masks),
        layout=ReferenceLayout(pictures),
    )
