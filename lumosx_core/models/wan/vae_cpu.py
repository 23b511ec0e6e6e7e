"""The Wan VAE's layers arranged for a CPU: the same sums in another order, two to four times as fast on small videos.

A causal convolution over time and space is done as one over space alone, of which the frames it looks at are further
channels: CPU libraries are best at that, with the channels of a pixel side by side in memory. Where all earlier frames
are missing, as for a single image, their zeros are not multiplied at all.

Shapes: B videos of T frames, H x W pixels, C channels in, O out; k frames are looked at.
"""

from __future__ import annotations

from types import MethodType
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .vae_network import CausalConv3d, RMSNorm

LARGEST = 2**26  # values gathered for one convolution (256 MB); larger ones are efficient as they are


def arrange_for_cpu(network: nn.Module) -> None:
    """Give the causal convolutions and norms over time and space, with loaded weights, another `forward`."""
    for module in network.modules():
        layer: Any = module  # gets attributes of its own
        if isinstance(module, CausalConv3d):
            taps = module.weight.transpose(1, 2).flatten(1, 2)  # (O, k * C, height, width)
            layer.flat_weights = [  # with fewer and fewer frames before the last
                taps[:, skipped * module.in_channels :].contiguous(memory_format=torch.channels_last)
                for skipped in range(module.kernel_size[0])
            ]
            layer.forward = MethodType(_convolve, layer)
        elif isinstance(module, RMSNorm):
            layer.flat_gamma = (module.gamma * module.scale).flatten()
            layer.ones = torch.ones_like(layer.flat_gamma)
            layer.forward = MethodType(_normalise, layer)


def _convolve(self: Any, x: Tensor, before: Tensor | None = None) -> Tensor:
    """(B, C, T, H, W), after the frames `before` it if there are any, to (B, O, t, h, w)."""
    missing = self.earlier
    taps, stride = self.kernel_size[0], self.stride[0]
    if x.numel() * taps > LARGEST:
        return type(self).forward(self, x, before)
    x = x.movedim(1, -1)
    if before is not None:
        x = torch.cat([before.movedim(1, -1), x], dim=1)
        missing -= before.shape[2]
    only_one = x.shape[1] + missing == taps
    skipped = missing if only_one else 0
    if missing and not only_one:
        x = F.pad(x, (0, 0, 0, 0, 0, 0, missing, 0))
    count = (x.shape[1] - (taps - skipped)) // stride + 1
    seen = [x[:, first : first + stride * (count - 1) + 1 : stride] for first in range(taps - skipped)]
    x = torch.cat(seen, dim=-1).flatten(0, 1).permute(0, 3, 1, 2)
    x = F.conv2d(x, self.flat_weights[skipped], self.bias, self.stride[1:], self.border)
    return x.permute(0, 2, 3, 1).unflatten(0, (-1, count)).movedim(-1, 1)


def _normalise(self: Any, x: Tensor) -> Tensor:
    """Divide by the root mean square over the channels, dimension 1."""
    x = x.movedim(1, -1)
    squares = torch.mv(x.square().flatten(0, -2), self.ones)  # many times as fast as summing
    scale = squares.clamp_min(1e-24).rsqrt_().view(*x.shape[:-1], 1)
    return (x * scale).mul_(self.flat_gamma).movedim(-1, 1)
