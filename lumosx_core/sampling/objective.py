"""The training objective: velocity matching on the video's frames (the released loss)."""

from __future__ import annotations

from torch import Tensor


def noisy_latents(clean: Tensor, noise: Tensor, timestep: Tensor) -> tuple[Tensor, Tensor]:
    """Mix clean latents with noise on the straight path between them.

    Args:
        clean, noise: (B, ...).
        timestep: (B,), 0 (clean) to 1000 (noise), with its fraction; the network receives `timestep.long()`.

    Returns:
        (noisy latents, velocity target = noise - clean), both (B, ...).
    """
    share = (timestep / 1000).view(-1, *(1,) * (clean.ndim - 1)).to(clean)
    return (1 - share) * clean + share * noise, noise - clean


def velocity_loss(velocity: Tensor, target: Tensor) -> Tensor:
    """Mean squared error of each video over its own frames: (B,) float32. Images carry no loss."""
    return (velocity.float() - target.float()).square().flatten(1).mean(dim=1)
