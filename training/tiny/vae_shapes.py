"""Native names and shapes of a Wan 2.1 VAE of any width."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

Shapes = Iterable[tuple[str, tuple[int, ...]]]


def vae_shapes(width: int, latent_channels: int = 16) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Native names and shapes of a Wan 2.1 VAE whose outermost layers have `width` channels (released: 96)."""
    yield from _convolution("conv1", 2 * latent_channels, 2 * latent_channels, 1, 1, 1)
    yield from _convolution("conv2", latent_channels, latent_channels, 1, 1, 1)
    yield from _vae_encoder(width, 2 * latent_channels)
    yield from _vae_decoder(width, latent_channels)


def _vae_encoder(width: int, outputs: int) -> Shapes:
    yield from _convolution("encoder.conv1", 3, width, 3, 3, 3)
    channels, index = width, 0
    for level, factor in enumerate((1, 2, 4, 4)):
        for _ in range(2):
            yield from _residual(f"encoder.downsamples.{index}", channels, factor * width)
            channels, index = factor * width, index + 1
        if level < 3:
            yield from _convolution(f"encoder.downsamples.{index}.resample.1", channels, channels, 3, 3)
            if level > 0:  # the two deeper ones halve time as well
                yield from _convolution(f"encoder.downsamples.{index}.time_conv", channels, channels, 3, 1, 1)
            index += 1
    yield from _middle_and_head("encoder", channels, channels, outputs)


def _vae_decoder(width: int, latent_channels: int) -> Shapes:
    channels, index = 4 * width, 0
    yield from _convolution("decoder.conv1", latent_channels, channels, 3, 3, 3)
    for level, factor in enumerate((4, 4, 2, 1)):
        for _ in range(3):
            yield from _residual(f"decoder.upsamples.{index}", channels, factor * width)
            channels, index = factor * width, index + 1
        if level < 3:
            yield from _convolution(f"decoder.upsamples.{index}.resample.1", channels, channels // 2, 3, 3)
            if level < 2:  # the two deeper ones double time as well
                yield from _convolution(f"decoder.upsamples.{index}.time_conv", channels, 2 * channels, 3, 1, 1)
            channels, index = channels // 2, index + 1
    yield from _middle_and_head("decoder", 4 * width, channels, 3)


def _middle_and_head(part: str, middle: int, channels: int, outputs: int) -> Shapes:
    yield from _residual(f"{part}.middle.0", middle, middle)
    yield f"{part}.middle.1.norm.gamma", (middle, 1, 1)
    yield from _convolution(f"{part}.middle.1.to_qkv", middle, 3 * middle, 1, 1)
    yield from _convolution(f"{part}.middle.1.proj", middle, middle, 1, 1)
    yield from _residual(f"{part}.middle.2", middle, middle)
    yield f"{part}.head.0.gamma", (channels, 1, 1, 1)
    yield from _convolution(f"{part}.head.2", channels, outputs, 3, 3, 3)


def _residual(name: str, inputs: int, outputs: int) -> Shapes:
    yield f"{name}.residual.0.gamma", (inputs, 1, 1, 1)
    yield from _convolution(f"{name}.residual.2", inputs, outputs, 3, 3, 3)
    yield f"{name}.residual.3.gamma", (outputs, 1, 1, 1)
    yield from _convolution(f"{name}.residual.6", outputs, outputs, 3, 3, 3)
    if inputs != outputs:
        yield from _convolution(f"{name}.shortcut", inputs, outputs, 1, 1, 1)


def _convolution(name: str, inputs: int, outputs: int, *kernel: int) -> Shapes:
    yield f"{name}.weight", (outputs, inputs, *kernel)
    yield f"{name}.bias", (outputs,)
