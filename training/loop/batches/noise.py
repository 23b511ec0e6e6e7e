"""Random draws of training, each a pure function of (seed, step, position in the batch).

So no generator's state has to be saved, a resumed run draws what an unbroken one would have drawn, and the number of
processes that share a batch changes nothing.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence

import torch
from torch import Tensor

from ..config import TimestepSettings


def draw_seed(purpose: str, *key: int) -> int:
    """64 bits that look random, the same for the same purpose and key on every machine."""
    text = f"{purpose}:{':'.join(map(str, key))}"
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big")


def draw_fraction(purpose: str, *key: int) -> float:
    """A number from 0 to below 1, uniform in 53 bits."""
    return (draw_seed(purpose, *key) >> 11) / 2**53


def draw_generator(purpose: str, *key: int) -> torch.Generator:
    """A generator that depends on purpose and key only."""
    return torch.Generator().manual_seed(draw_seed(purpose, *key))


def draw_timestep(settings: TimestepSettings, *key: int) -> float:
    """A timestep, 0 (clean) to 1000 (noise).

    uniform is the released sampling; logit_normal is the sigmoid of a normal number (arXiv 2403.03206); a shift then
    moves it as in the sampler's schedule.
    """
    fraction = draw_fraction("timestep", *key)
    if settings.sampling == "logit_normal":
        # Two uniform numbers make a normal one (Box and Muller); 1 - fraction is never 0.
        angle = 2 * math.pi * draw_fraction("timestep angle", *key)
        normal = math.sqrt(-2 * math.log(1 - fraction)) * math.cos(angle)
        fraction = 1 / (1 + math.exp(-(settings.mean + settings.std * normal)))
    fraction = settings.shift * fraction / (1 + (settings.shift - 1) * fraction)
    return 1000 * fraction


def draw_timesteps(settings: TimestepSettings, seed: int, step: int, positions: Sequence[int]) -> Tensor:
    """One timestep for each clip: (B,) float32."""
    return torch.tensor([draw_timestep(settings, seed, step, position) for position in positions])


def draw_noise(shape: Sequence[int], seed: int, step: int, positions: Sequence[int]) -> Tensor:
    """Normal noise for each clip, drawn on the CPU so that every device sees the same.

    Args:
        shape: of one clip.

    Returns:
        (B, *shape) float32.
    """
    noise = [torch.randn(*shape, generator=draw_generator("noise", seed, step, position)) for position in positions]
    return torch.stack(noise)
