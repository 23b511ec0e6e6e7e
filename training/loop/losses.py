"""The loss of a batch, as the trainer computes it."""

from __future__ import annotations

from torch import Tensor, nn

from lumosx_core.sampling.objective import noisy_latents, velocity_loss

from .batches.step_batches import NoisyBatch


def clip_losses(model: nn.Module, noisy: NoisyBatch) -> Tensor:
    """The released loss of each clip: (B,) float32. The network is told the timestep without its fraction."""
    batch = noisy.batch
    latents, target = noisy_latents(batch.video, noisy.noise, noisy.timestep)
    pictures = (batch.references, batch.layout, batch.phrase_mask) if batch.layout.pictures else ()
    return velocity_loss(model(latents, noisy.timestep.long(), batch.text, *pictures), target)
