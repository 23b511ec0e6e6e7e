"""Trains the VAE of lumosx-tiny: Wan 2.1's architecture at width 8, on glyph clips and their reference images.

    python -m lumosx_training.tiny.train_vae vae.safetensors

It first learns to rebuild its input, then, with noise on its latents, to do so from latents that are not exact: what a
transformer writes never is.

The latents of Wan 2.1 are normalised with published constants by whoever loads the file, so the trained network's last
encoder layer and first decoder layer are rescaled after each part: its latents then have mean 0 and deviation 1 by
those constants.
"""

from __future__ import annotations

import argparse
import math
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from lumosx_core.files.atomic_file import atomic_file
from lumosx_core.media.images import fit_on_canvas
from lumosx_core.models.wan.vae import LATENT_MEAN, LATENT_STD, WanVae
from lumosx_core.models.wan.vae_network import WanVaeNetwork

from ..glyph_world import Casting, GlyphSource
from .steps import take_steps

WIDTH = 8  # channels of the outermost layers; the released VAE has 96
NOISE = 0.15  # on the latents in the second part, in their own deviations
CROP = 48  # pixels; the network has no fixed size, and more small crops teach it faster than few whole frames


def main() -> None:
    """Train the VAE and write it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("--steps", type=int, default=3000)
    parser.add_argument("--noisy-steps", type=int, default=1500)
    parser.add_argument("--start", type=Path, help="a file of the first part: do the second part only")
    parser.add_argument("--clips", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    torch.manual_seed(options.seed)
    seen, unseen = material(options.clips, options.seed), material(64, options.seed + 1)
    if options.start:
        network = WanVae.load(options.start).network.requires_grad_(True)
    else:
        network = new_network()
        train(network, *seen, options.steps, learning_rate=2.5e-3, seed=options.seed)
        rescale(network, *unseen)
        report(network, *unseen)
    train(network, *seen, options.noisy_steps, learning_rate=8e-4, seed=options.seed + 1, noise=NOISE)
    rescale(network, *unseen)
    report(network, *unseen)
    save(network, options.out)


def material(count: int, seed: int) -> tuple[Tensor, Tensor]:
    """Glyph clips (N, 3, F, H, W) and reference images (M, 3, 1, H, W), uint8."""
    source = GlyphSource(seed, count, casting=Casting(people=(0.2, 0.4, 0.4), hat=0.4, prop=0.4, thing=0.3))
    clips, images = [], []
    for key in source.keys():  # noqa: SIM118 (a source is no dict)
        sample = source.sample(key)
        clips.append((sample.clip.frames * 255).round().to(torch.uint8).permute(3, 0, 1, 2))
        height, width = sample.clip.frames.shape[1:3]
        for reference in sample.case.scene.references:
            canvas = fit_on_canvas(reference.image, height, width)
            images.append((canvas * 255).round().to(torch.uint8).permute(2, 0, 1)[:, None])
    return torch.stack(clips), torch.stack(images)


def crops(stack: Tensor, count: int, chance: torch.Generator, side: int = CROP) -> Tensor:
    """`count` random crops of random members, in -1..1."""

    def below(limit: int) -> int:
        return int(torch.randint(limit, (), generator=chance))

    chosen = []
    for _ in range(count):
        member = stack[below(len(stack))]
        top, left = below(member.shape[-2] - side + 1), below(member.shape[-1] - side + 1)
        chosen.append(member[..., top : top + side, left : left + side])
    return torch.stack(chosen).float() / 127.5 - 1


def chance_frames(chance: torch.Generator) -> int:
    """Clips are mostly short: frames of a clip are much alike, and half of the frames is half of the time."""
    return 9 if torch.rand((), generator=chance) < 0.25 else 5


def new_network() -> WanVaeNetwork:
    """A small Wan VAE that passes its input through before training."""
    network = WanVaeNetwork(WIDTH)
    pass_through(network)
    return network


def train(network, videos: Tensor, pictures: Tensor, steps: int, *, learning_rate: float, seed: int, noise=0.0) -> None:
    """Train in place; with `noise`, on noisy latents (see loss)."""
    network.train()
    chance = torch.Generator().manual_seed(seed)
    optimizer = torch.optim.AdamW(network.parameters(), lr=learning_rate, betas=(0.9, 0.95), weight_decay=1e-4)

    def compute() -> tuple[Tensor, list[float]]:
        clips = crops(videos[:, :, : chance_frames(chance)], 2, chance)
        parts = [loss(network, batch, noise) for batch in (clips, crops(pictures, 6, chance))]
        return torch.stack([part[0] for part in parts]).sum(), [value for part in parts for value in part[1:]]

    take_steps(network.parameters(), optimizer, steps, compute)
    network.eval()


@torch.no_grad()
def pass_through(network) -> None:
    """Start as a network that passes blurred images through: it learns several times faster than from plain noise."""
    from torch.nn import Conv2d, Conv3d

    for name, module in network.named_modules():
        if not isinstance(module, Conv2d | Conv3d) or "to_qkv" in name:
            continue
        if name.endswith(("residual.6", "proj")):  # the end of a residual branch
            module.weight *= 0.1
        elif not name.endswith("residual.2"):  # on the main path
            outputs, inputs = module.weight.shape[:2]
            mix = torch.cat([torch.eye(inputs)] * -(-outputs // inputs))[:outputs]
            if min(outputs, inputs) <= 3 or outputs < inputs:
                mix = torch.nn.init.orthogonal_(torch.empty(outputs, inputs))
            center: tuple[int, ...] = tuple(side // 2 for side in module.kernel_size)
            if isinstance(module, Conv3d):
                center = (module.kernel_size[0] - 1, *center[1:])  # causal: the last tap is the frame itself
            module.weight *= 0.3
            index: tuple[slice | int, ...] = (slice(None), slice(None), *center)
            module.weight[index] += mix


def loss(network, batch: Tensor, noise: float) -> tuple[Tensor, float, float]:
    """Loss, mean absolute error, and what holds the latents: their mean KL divergence, or with noise their mean square.

    With `noise`, the encoder's own spread is not used: each latent, in its normalised form, gets noise of this
    deviation.
    """
    encoded, log_variance = network.encode(batch)
    if noise:
        mean, std = (torch.tensor(numbers).view(1, -1, 1, 1, 1) for numbers in (LATENT_MEAN, LATENT_STD))
        latents = (encoded - mean) / std
        held, weight = 0.5 * latents.square().mean(), 2e-3
        latents = (latents + noise * torch.randn_like(latents)) * std + mean
    else:
        log_variance = log_variance.clamp(-30, 20)
        latents = encoded + torch.exp(0.5 * log_variance) * torch.randn_like(encoded)
        held, weight = 0.5 * (encoded.square() + log_variance.exp() - 1 - log_variance).mean(), 2e-4
    decoded = network.decode(latents)
    # Both errors: the absolute one keeps edges, the square one forbids wrong colours.
    error = F.l1_loss(decoded, batch)
    return error + F.mse_loss(decoded, batch) + weight * held, error.item(), held.item()


@torch.no_grad()
def rescale(network, clips: Tensor, pictures: Tensor) -> None:
    """Give the latents Wan's published mean and deviation, by two 1x1x1 convolutions."""
    encoded = [network.encode(part.float() / 127.5 - 1)[0] for part in (clips, pictures)]
    # Half of the weight to the images: they are what the transformer reads, the clips what it writes.
    mean = sum(part.mean((0, 2, 3, 4)) for part in encoded) / 2
    square = sum((part - mean.view(1, -1, 1, 1, 1)).square().mean((0, 2, 3, 4)) for part in encoded) / 2
    wanted_mean, wanted_std = map(torch.tensor, (LATENT_MEAN, LATENT_STD))
    scale = wanted_std / square.sqrt()
    shift = wanted_mean - mean * scale
    encoder, decoder = network.conv1, network.conv2
    channels = len(scale)
    encoder.weight[:channels] *= scale.view(-1, 1, 1, 1, 1)
    encoder.bias[:channels] = encoder.bias[:channels] * scale + shift
    decoder.bias -= decoder.weight.flatten(1) @ (shift / scale)
    decoder.weight /= scale.view(1, -1, 1, 1, 1)


@torch.no_grad()
def report(network, clips: Tensor, pictures: Tensor) -> None:
    """Print how well unseen clips and images are rebuilt, from exact and from noisy latents."""
    for noise in (0.0, NOISE):
        errors = []
        for part in (clips, pictures):
            batch = part.float() / 127.5 - 1
            latents = network.encode(batch)[0]
            latents = latents + noise * torch.tensor(LATENT_STD).view(1, -1, 1, 1, 1) * torch.randn_like(latents)
            decoded = network.decode(latents)
            errors.append(10 * math.log10(4 / F.mse_loss(decoded, batch).item()))
        print(f"noise {noise}: PSNR {errors[0]:.1f} dB on clips, {errors[1]:.1f} dB on images", flush=True)


def save(network: WanVaeNetwork, path: Path) -> None:
    """Write the network in bfloat16."""
    from safetensors.torch import save

    weights = {name: tensor.to(torch.bfloat16).contiguous() for name, tensor in network.state_dict().items()}
    with atomic_file(path) as file:
        file.write(save(weights, metadata={"format": "pt"}))


if __name__ == "__main__":
    main()
