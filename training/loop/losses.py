"""The loss of a batch, as the trainer computes it."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from lumosx_core.models.lumosx.lumosx_training import LUMOSX_TRAINING
from lumosx_core.models.trainable import Note, TrainableFamily

from .batches.step_batches import NoisyBatch


def clip_losses(
    model: nn.Module,
    noisy: NoisyBatch,
    options: Any,
    recipe: TrainableFamily = LUMOSX_TRAINING,
    note: Note = lambda name, value: None,
) -> Tensor:
    """The loss of each clip: (B,) float32; for LumosX the released one.

    Args:
        options: the switches of the network in this step.
        note: receives parts of the loss for the log.
    """
    batch = noisy.batch
    return recipe.losses(model, batch.video, batch.text, batch.scene, noisy.noise, noisy.timestep, options, note)
