"""Dropout of captions and reference images, so that the network learns to work without them.

A batch shares one layout, so reference images are left out for a whole batch; text is left out clip by clip.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor

from lumosx_core.scene.encoded import EncodedScene
from lumosx_core.scene.layout import ReferenceLayout

from ...data.items import TrainingBatch
from .noise import draw_generator


def without_pictures(batch: TrainingBatch, dropped: Sequence[int]) -> TrainingBatch:
    """The batch without these images; a subject that loses all of its own is no longer a group."""
    images = batch.scene.layout.pictures
    remaining = [image for image in range(images) if image not in set(dropped)]
    return batch if len(remaining) == images else replace(batch, scene=batch.scene.only(remaining))


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
    """The batch with its images as separate groups in random order, which hides who owns what (for ablations).

    Args:
        seed, positions: clip i gets the order that belongs to (seed, positions[i]); by default its place in the batch.
    """
    images = batch.scene.layout.pictures
    positions = range(len(batch.keys)) if positions is None else positions
    orders = [torch.randperm(images, generator=draw_generator("order", seed, position)) for position in positions]
    references = [clip[:, order] for clip, order in zip(batch.scene.references, orders, strict=True)]
    masks = [mask[order] for mask, order in zip(batch.scene.words, orders, strict=True)]
    scene = EncodedScene(torch.stack(references), ReferenceLayout(images), torch.stack(masks))
    return replace(batch, scene=scene)
