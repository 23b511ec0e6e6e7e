"""The loss of a batch, as the trainer computes it."""

from __future__ import annotations

from torch import Tensor, nn

from lumosx_core import RelationalOptions
from lumosx_core.sampling.objective import noisy_latents, velocity_loss

from .batches.step_batches import NoisyBatch


def clip_losses(model: nn.Module, noisy: NoisyBatch, options: RelationalOptions) -> Tensor:
    """The released loss of each clip: (B,) float32. The network receives the timestep truncated to an integer."""
    batch = noisy.batch
    latents, target = noisy_latents(batch.video, noisy.noise, noisy.timestep)
    return velocity_loss(model(latents, noisy.timestep, batch.text, batch.scene, options), target)
