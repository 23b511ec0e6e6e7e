"""The network of the Wan 2.1 VAE under its native names, as the released file has them.

Videos pass in pieces: the first frame alone, then four frames (one latent frame) at a time. Every causal convolution
keeps the last frames it saw in a `Memory`, so that the pieces give what the whole video would.

Shapes: B videos of T frames with H x W pixels, C channels. Formulas: the Wan2.1 release (wan/modules/vae.py); the tests
hold it equal, bit for bit, to the one in diffusers.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

LATENT_CHANNELS = 16
FRAMES_PER_LATENT = 4
_WIDTHS = (1, 2, 4, 4)  # of the stages from the outermost to the innermost, in units of the base width
_TIME_HALVED = (False, True, True)  # behind each stage but the innermost, whose sides are halved as well

Memory = dict[nn.Module, Tensor]
"""The last input frames of each convolution over time."""


class WanVaeNetwork(nn.Module):
    """Encoder and decoder.

    Args:
        width: channels of the outermost layers; 96 in the released file.
    """

    def __init__(self, width: int):
        super().__init__()
        self.encoder = Encoder(width)
        self.conv1 = CausalConv3d(2 * LATENT_CHANNELS, 2 * LATENT_CHANNELS, 1)
        self.conv2 = CausalConv3d(LATENT_CHANNELS, LATENT_CHANNELS, 1)
        self.decoder = Decoder(width)

    def encode(self, video: Tensor) -> tuple[Tensor, Tensor]:
        """(B, 3, 4n + 1, H, W) in -1..1 -> mean and log variance, each (B, 16, n + 1, H / 8, W / 8)."""
        memory: Memory = {}
        starts = range(1, video.shape[2], FRAMES_PER_LATENT)
        pieces = [video[:, :, :1], *(video[:, :, start : start + FRAMES_PER_LATENT] for start in starts)]
        encoded = torch.cat([self.encoder(piece, memory) for piece in pieces], dim=2)
        mean, log_variance = self.conv1(encoded).chunk(2, dim=1)
        return mean, log_variance

    def decode(self, latents: Tensor) -> Tensor:
        """(B, 16, n + 1, h, w) -> (B, 3, 4n + 1, 8 h, 8 w) in -1..1."""
        memory: Memory = {}
        latents = self.conv2(latents)
        return torch.cat([self.decoder(frame, memory) for frame in latents.split(1, dim=2)], dim=2).clamp(-1, 1)


class Encoder(nn.Module):
    """Pixels to the moments of latents, before the last 1x1x1 convolution."""

    def __init__(self, width: int):
        super().__init__()
        self.conv1 = CausalConv3d(3, width, 3)
        layers: list[nn.Module] = []
        inputs = width
        for stage, factor in enumerate(_WIDTHS):
            outputs = factor * width
            layers += [ResidualBlock(inputs, outputs), ResidualBlock(outputs, outputs)]
            if stage < len(_TIME_HALVED):
                layers.append(Downsample(outputs, time=_TIME_HALVED[stage]))
            inputs = outputs
        self.downsamples = nn.ModuleList(layers)
        self.middle = _middle(inputs)
        self.head = _head(inputs, 2 * LATENT_CHANNELS)

    def forward(self, x: Tensor, memory: Memory) -> Tensor:
        x = self.conv1.next(x, memory)
        for layer in (*self.downsamples, *self.middle):
            x = layer(x, memory)
        return _run(self.head, x, memory)


class Decoder(nn.Module):
    """Latents, after the first 1x1x1 convolution, to pixels."""

    def __init__(self, width: int):
        super().__init__()
        inputs = _WIDTHS[-1] * width
        self.conv1 = CausalConv3d(LATENT_CHANNELS, inputs, 3)
        self.middle = _middle(inputs)
        layers: list[nn.Module] = []
        for stage, factor in enumerate(reversed(_WIDTHS)):
            outputs = factor * width
            layers += [ResidualBlock(inputs, outputs), ResidualBlock(outputs, outputs), ResidualBlock(outputs, outputs)]
            inputs = outputs
            if stage < len(_TIME_HALVED):
                layers.append(Upsample(outputs, time=_TIME_HALVED[-1 - stage]))
                inputs = outputs // 2
        self.upsamples = nn.ModuleList(layers)
        self.head = _head(inputs, 3)

    def forward(self, x: Tensor, memory: Memory) -> Tensor:
        x = self.conv1.next(x, memory)
        for layer in (*self.middle, *self.upsamples):
            x = layer(x, memory)
        return _run(self.head, x, memory)


class CausalConv3d(nn.Conv3d):
    """A convolution over time and space whose output frame sees its own and earlier input frames alone.

    Args:
        inputs, outputs: channels.
        kernel: one side, or (time, height, width); its sides are odd.
        time_stride: with a stride over time no frames are added before the first.
    """

    def __init__(self, inputs: int, outputs: int, kernel: int | tuple[int, int, int], *, time_stride: int = 1):
        super().__init__(inputs, outputs, kernel, stride=(time_stride, 1, 1))
        taps, height, width = self.kernel_size
        self.earlier = taps - 1 if time_stride == 1 else 0
        """Frames that an output frame sees before its own."""
        self.border = (height // 2, width // 2)

    def forward(self, x: Tensor, before: Tensor | None = None) -> Tensor:
        """(B, C, T, H, W), after the frames `before` it; what is missing of those is zeros."""
        missing = self.earlier
        if before is not None:
            x = torch.cat([before, x], dim=2)
            missing -= before.shape[2]
        height, width = self.border
        return super().forward(F.pad(x, (width, width, height, height, missing, 0)))

    def next(self, x: Tensor, memory: Memory) -> Tensor:
        """The next frames of a video, after those in `memory`, which then holds the last of these."""
        before = memory.get(self)
        kept = x[:, :, -self.earlier :].clone()
        if before is not None and kept.shape[2] < self.earlier:
            kept = torch.cat([before[:, :, -1:], kept], dim=2)
        memory[self] = kept
        return self(x, before)


class RMSNorm(nn.Module):
    """Divide each pixel by the root mean square over its channels, dimension 1; half precision is normed in float32.

    Args:
        channels: C.
        dimensions: of a pixel's place: 3 with time, 2 without.
    """

    def __init__(self, channels: int, dimensions: int = 3):
        super().__init__()
        self.scale = channels**0.5
        self.gamma = nn.Parameter(torch.ones(channels, *[1] * dimensions))

    def forward(self, x: Tensor) -> Tensor:
        half = x.dtype in (torch.float16, torch.bfloat16)
        return F.normalize(x.float() if half else x, dim=1).to(x.dtype) * self.scale * self.gamma


class ResidualBlock(nn.Module):
    """Two causal convolutions beside a shortcut."""

    def __init__(self, inputs: int, outputs: int):
        super().__init__()
        self.residual = nn.Sequential(
            RMSNorm(inputs),
            nn.SiLU(),
            CausalConv3d(inputs, outputs, 3),
            RMSNorm(outputs),
            nn.SiLU(),
            nn.Dropout(0.0),  # keeps the released numbering of what follows
            CausalConv3d(outputs, outputs, 3),
        )
        self.shortcut = CausalConv3d(inputs, outputs, 1) if inputs != outputs else nn.Identity()

    def forward(self, x: Tensor, memory: Memory) -> Tensor:
        return _run(self.residual, x, memory) + self.shortcut(x)


class SpatialAttention(nn.Module):
    """Self-attention with one head among the pixels of each frame."""

    def __init__(self, channels: int):
        super().__init__()
        self.norm = RMSNorm(channels, dimensions=2)
        self.to_qkv = nn.Conv2d(channels, 3 * channels, 1)
        self.proj = nn.Conv2d(channels, channels, 1)

    def forward(self, x: Tensor, memory: Memory) -> Tensor:
        batch, _, _, height, width = x.shape
        frames = x.transpose(1, 2).flatten(0, 1)
        qkv = self.to_qkv(self.norm(frames)).flatten(2)[:, None]  # (B T, 1, 3 C, H W)
        q, k, v = qkv.transpose(2, 3).contiguous().chunk(3, dim=-1)
        seen = F.scaled_dot_product_attention(q, k, v).squeeze(1).transpose(1, 2)
        seen = self.proj(seen.unflatten(2, (height, width)))
        return seen.unflatten(0, (batch, -1)).transpose(1, 2) + x


class Downsample(nn.Module):
    """Halve the sides and, with `time`, the frames; the first frame of a video stays one."""

    def __init__(self, channels: int, *, time: bool):
        super().__init__()
        self.resample = nn.Sequential(nn.ZeroPad2d((0, 1, 0, 1)), nn.Conv2d(channels, channels, 3, stride=2))
        self.time_conv = CausalConv3d(channels, channels, (3, 1, 1), time_stride=2) if time else None

    def forward(self, x: Tensor, memory: Memory) -> Tensor:
        x = _frame_by_frame(self.resample, x)
        if self.time_conv is None:
            return x
        before = memory.get(self.time_conv)
        memory[self.time_conv] = x[:, :, -1:].clone()
        return x if before is None else self.time_conv(torch.cat([before, x], dim=2))


class Upsample(nn.Module):
    """Double the sides, halve the channels and, with `time`, double the frames; a video's first frame stays one."""

    def __init__(self, channels: int, *, time: bool):
        super().__init__()
        self.resample = nn.Sequential(
            nn.Upsample(scale_factor=(2.0, 2.0), mode="nearest-exact"), nn.Conv2d(channels, channels // 2, 3, padding=1)
        )
        self.time_conv = CausalConv3d(channels, 2 * channels, (3, 1, 1)) if time else None

    def forward(self, x: Tensor, memory: Memory) -> Tensor:
        if self.time_conv is not None:
            x = self._double_frames(self.time_conv, x, memory)
        return _frame_by_frame(self.resample, x)

    def _double_frames(self, time_conv: CausalConv3d, x: Tensor, memory: Memory) -> Tensor:
        before = memory.get(time_conv)
        if before is None:  # the first frame: passed on as it is, and unseen by those that follow
            memory[time_conv] = x[:, :, :0]
            return x
        if before.shape[2] == 0:
            doubled = time_conv(x)
            memory[time_conv] = torch.cat([torch.zeros_like(x), x], dim=2)[:, :, -time_conv.earlier :].clone()
        else:
            doubled = time_conv.next(x, memory)
        return doubled.unflatten(1, (2, -1)).movedim(1, 3).flatten(2, 3)  # (B, 2 C, T, ...) -> (B, C, 2 T, ...)


def _middle(channels: int) -> nn.ModuleList:
    return nn.ModuleList(
        [ResidualBlock(channels, channels), SpatialAttention(channels), ResidualBlock(channels, channels)]
    )


def _head(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(RMSNorm(inputs), nn.SiLU(), CausalConv3d(inputs, outputs, 3))


def _run(layers: nn.Sequential, x: Tensor, memory: Memory) -> Tensor:
    for layer in layers:
        x = layer.next(x, memory) if isinstance(layer, CausalConv3d) else layer(x)
    return x


def _frame_by_frame(layers: nn.Module, x: Tensor) -> Tensor:
    batch = x.shape[0]
    return layers(x.transpose(1, 2).flatten(0, 1)).unflatten(0, (batch, -1)).transpose(1, 2)
