"""Trains the VAE of ingredients-tiny: CogVideoX's architecture at width 8, on glyph clips and canvases of faces.

    python -m lumosx_training.tiny.train_cogvideox_vae vae

It first learns to rebuild its input, then, with noise on its latents, to do so from latents that are not exact: what a
transformer writes never is. The latents of CogVideoX are multiplied by a constant, 0.7, so the trained network is
rescaled until they have deviation 1 after that.
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
from pathlib import Path
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lumosx_core.files.atomic_file import atomic_file, atomic_folder

from ..glyph_world import Casting, GlyphSource
from ..glyph_world.casting import GlyphScene
from ..glyph_world.drawing import HEAD, draw_face, sprite
from .steps import take_steps
from .train_vae import NOISE, crops

CLIP_EVERY = 4  # steps; frames of a clip are much alike, and stills cost a fifth
CLIP_CROP, STILL_CROP = 32, 48  # pixels; the network has no fixed size, and more small crops teach it faster

CONFIG: dict[str, Any] = {
    "_class_name": "AutoencoderKLCogVideoX",
    "act_fn": "silu",
    "block_out_channels": [8, 16, 32, 32],
    "down_block_types": ["CogVideoXDownBlock3D"] * 4,
    "up_block_types": ["CogVideoXUpBlock3D"] * 4,
    "in_channels": 3,
    "out_channels": 3,
    "latent_channels": 16,
    "layers_per_block": 1,
    "norm_eps": 1e-6,
    "norm_num_groups": 4,
    "sample_height": 480,
    "sample_width": 720,
    "scaling_factor": 0.7,
    "temporal_compression_ratio": 4,
    "use_post_quant_conv": False,
    "use_quant_conv": False,
}


def main() -> None:
    """Train the VAE and write it as a folder in diffusers' layout."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("--steps", type=int, default=1300)
    parser.add_argument("--noisy-steps", type=int, default=300)
    parser.add_argument("--clips", type=int, default=400)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    torch.manual_seed(options.seed)
    seen, unseen = material(options.clips, options.seed), material(16, options.seed + 1)
    network = new_network()
    train(network, *seen, options.steps, learning_rate=2.5e-3, seed=options.seed)
    rescale(network, *unseen)
    report(network, *unseen)
    save(network, options.out.with_name(options.out.name + "-first"))
    train(network, *seen, options.noisy_steps, learning_rate=8e-4, seed=options.seed + 1, noise=NOISE)
    rescale(network, *unseen)
    report(network, *unseen)
    save(network, options.out)


def material(count: int, seed: int) -> tuple[Tensor, Tensor]:
    """Glyph clips (N, 3, F, H, W) and canvases of their faces (N, 3, 1, H, W), uint8."""
    source = GlyphSource(seed, count, casting=Casting(people=(0.2, 0.6, 0.2), hat=0.15, prop=0.1, thing=0.1))
    clips, canvases = [], []
    for key in source.keys():  # noqa: SIM118 (a source is no dict)
        sample = source.sample(key)
        clips.append(_bytes(sample.clip.frames).permute(3, 0, 1, 2))
        canvases.append(_bytes(_canvas(sample.scene, *sample.clip.frames.shape[1:3])).permute(2, 0, 1)[:, None])
    return torch.stack(clips), torch.stack(canvases)


def _bytes(values: Tensor) -> Tensor:
    return (values * 255).round().to(torch.uint8)


def _canvas(scene: GlyphScene, height: int, width: int) -> Tensor:
    """The first two faces side by side on white, about as the network's image condition has them."""
    canvas = torch.ones(height, width, 3)
    for place, person in enumerate(scene.people[:2]):
        head = torch.from_numpy(sprite(draw_face(person.face, 1)))
        top, left = (height - HEAD[1]) // 2 - 4, round((place + 0.5) * width / 2 - HEAD[0] / 2)
        area = canvas[top : top + HEAD[1], left : left + HEAD[0]]
        area.copy_(area * (1 - head[..., 3:]) + head[..., :3])
    return canvas


def new_network() -> nn.Module:
    """A small CogVideoX VAE that passes a blurred input through before training, so that it learns sooner."""
    from diffusers import AutoencoderKLCogVideoX

    network = AutoencoderKLCogVideoX(**{key: value for key, value in CONFIG.items() if not key.startswith("_")})
    _pass_through(network)
    return network


@torch.no_grad()
def _pass_through(network: Any) -> None:
    for name, module in network.named_modules():
        if not isinstance(module, nn.Conv2d | nn.Conv3d):
            continue
        if name.endswith("conv2.conv"):  # the end of a residual branch
            module.weight *= 0.1
        elif name.endswith(
            "conv_y.conv"
        ):  # the decoder's norms multiply by what they read of the latents: begin with 1
            module.weight *= 0.1
            nn.init.ones_(cast(Tensor, module.bias))
        elif name.endswith("conv_b.conv"):
            module.weight *= 0.1
            nn.init.zeros_(cast(Tensor, module.bias))
        elif not name.endswith("conv1.conv"):  # on the main path
            outputs, inputs = module.weight.shape[:2]
            mix = torch.cat([torch.eye(inputs)] * -(-outputs // inputs))[:outputs]
            if min(outputs, inputs) <= 3 or outputs < inputs:
                mix = nn.init.orthogonal_(torch.empty(outputs, inputs))
            center: tuple[int, ...] = tuple(side // 2 for side in module.kernel_size)
            if isinstance(module, nn.Conv3d):
                center = (module.kernel_size[0] - 1, *center[1:])  # causal: the last tap is the frame itself
            module.weight *= 0.3
            index: tuple[slice | int, ...] = (slice(None), slice(None), *center)
            module.weight[index] += mix
    output = network.encoder.conv_out.conv
    output.weight[16:] *= 0.1
    output.bias[16:] = -6.0  # the logarithm of the latents' variance


def train(
    network: Any,
    videos: Tensor,
    canvases: Tensor,
    steps: int,
    *,
    learning_rate: float,
    seed: int,
    noise: float = 0.0,
) -> None:
    """Train in place; with `noise`, on noisy latents (see loss)."""
    network.train()
    chance = torch.Generator().manual_seed(seed)
    optimizer = torch.optim.AdamW(network.parameters(), lr=learning_rate, betas=(0.9, 0.95), weight_decay=1e-4)
    stills = torch.cat([canvases, videos[:, :, :1], videos[:, :, -1:]])
    done = itertools.count()

    def compute() -> tuple[Tensor, list[float]]:
        stack, count, side = (stills, 4, STILL_CROP) if next(done) % CLIP_EVERY else (videos, 1, CLIP_CROP)
        total, *numbers = loss(network, crops(stack, count, chance, side), noise)
        return total, numbers

    take_steps(network.parameters(), optimizer, steps, compute)
    network.eval()


def loss(network: Any, batch: Tensor, noise: float) -> tuple[Tensor, float, float]:
    """Loss, mean absolute error, and what holds the latents: their mean KL divergence, or with noise their mean square.

    With `noise`, the encoder's own spread is not used: each scaled latent gets noise of this deviation.
    """
    posterior = network.encode(batch).latent_dist
    scale = CONFIG["scaling_factor"]
    if noise:
        held, weight = 0.5 * (posterior.mean * scale).square().mean(), 2e-3
        latents = posterior.mean + noise / scale * torch.randn_like(posterior.mean)
    else:
        divergence = posterior.mean.square() + posterior.var - 1 - posterior.logvar
        held, weight = 0.5 * divergence.mean(), 2e-4
        latents = posterior.sample()
    decoded = network.decode(latents).sample
    # Both errors: the absolute one keeps edges, the square one forbids wrong colours.
    error = F.l1_loss(decoded, batch)
    return error + F.mse_loss(decoded, batch) + weight * held, error.item(), held.item()


@torch.no_grad()
def rescale(network: Any, clips: Tensor, canvases: Tensor) -> None:
    """Give each channel of the scaled latents deviation 1, without changing what the network rebuilds.

    A shift would change what the decoder's zero padding means, so the mean stays as the loss has made it, near 0.
    """
    means = [network.encode(part.float() / 127.5 - 1).latent_dist.mean for part in (clips[:8], canvases)]
    square = sum(part.square().mean((0, 2, 3, 4)) for part in means) / len(means)
    scale = 1 / (CONFIG["scaling_factor"] * square.sqrt())
    output = network.encoder.conv_out.conv
    channels = len(scale)
    output.weight[:channels] *= scale.view(-1, 1, 1, 1, 1)
    output.bias[:channels] *= scale
    output.bias[channels:] += 2 * scale.log()
    for name, module in network.decoder.named_modules():
        if name == "conv_in.conv" or name.endswith(("conv_y.conv", "conv_b.conv")):
            module.weight /= scale.view(1, -1, 1, 1, 1)


@torch.no_grad()
def report(network: Any, clips: Tensor, canvases: Tensor) -> None:
    """Print how well unseen clips and canvases are rebuilt, from exact and from noisy latents."""
    for noise in (0.0, NOISE):
        errors = []
        for part in (clips[:8], canvases):
            batch = part.float() / 127.5 - 1
            latents = network.encode(batch).latent_dist.mean
            latents = latents + noise / CONFIG["scaling_factor"] * torch.randn_like(latents)
            decoded = network.decode(latents).sample
            errors.append(10 * math.log10(4 / F.mse_loss(decoded, batch).item()))
        print(f"noise {noise}: PSNR {errors[0]:.1f} dB on clips, {errors[1]:.1f} dB on canvases", flush=True)


def save(network: Any, folder: Path) -> None:
    """Write the network in half precision, as the folder `vae` of a release."""
    from safetensors.torch import save

    weights = {name: tensor.to(torch.float16).contiguous() for name, tensor in network.state_dict().items()}
    with atomic_folder(folder) as partial:
        (partial / "config.json").write_text(json.dumps(CONFIG, indent=2) + "\n", encoding="utf-8")
        with atomic_file(partial / "diffusion_pytorch_model.safetensors") as file:
            file.write(save(weights, metadata={"format": "pt"}))


if __name__ == "__main__":
    main()
