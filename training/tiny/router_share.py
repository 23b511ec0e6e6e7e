"""How often the router gives a face token to the right face, on held-out clips of two people.

    python -m lumosx_training.tiny.router_share CACHE MODEL...

Prints for each network the share of face tokens whose most probable face is the right one, and the mean probability of
the right face, in percent, as means over injections and noise levels with 95 % bootstrap intervals over clips.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from lumosx_core.models.ingredients.model import IngredientsModel
from lumosx_core.models.ingredients.router import route
from lumosx_core.models.ingredients.routing_loss import IGNORED
from lumosx_core.models.ingredients.training.ingredients_training import (
    INGREDIENTS_TRAINING,
    IngredientsModelSettings,
    noisy_video,
    predict,
)

from ..cache import LatentCache
from ..data.items import collate
from ..loop.batches.noise import draw_noise

LEVELS = (999, 800, 600, 400, 200)  # timesteps at which the router is asked
AT_ONCE = 16  # clips
DRAWS = 2000  # of the bootstrap


def main() -> None:
    """Print a line for each network."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("cache", type=Path)
    parser.add_argument("models", type=Path, nargs="+", help="model.safetensors, or the folder of a run")
    parser.add_argument("--clips", type=int, default=100)
    parser.add_argument("--text-len", type=int, default=226, help="tokens of the text, as in training")
    parser.add_argument("--label-share", type=float, default=0.5)
    options = parser.parse_args()
    recipe = INGREDIENTS_TRAINING
    cache = LatentCache(options.cache, family=recipe.family, recipe=recipe)
    for path in options.models:
        file = path / "model.safetensors" if (path / "model.safetensors").exists() else path
        model = recipe.network(IngredientsModelSettings(file=str(file), text_len=options.text_len)).eval()
        right, probability = ask(model, cache, options.clips, options.label_share)
        layers = " ".join(f"{100 * value:.1f}" for value in right.mean(dim=1))
        print(
            f"{path}: {right.shape[1]} clips, right {interval(right.mean(dim=0))}, "
            f"probability {interval(probability.mean(dim=0))}, right by injection {layers}",
            flush=True,
        )


@torch.no_grad()
def ask(model: IngredientsModel, cache: LatentCache, clips: int, label_share: float) -> tuple[Tensor, Tensor]:
    """Share of labelled tokens that go to the right face, and its mean probability: each (injections, clips)."""
    chosen = [i for i in range(len(cache)) if len(cache.bucket(i).layout.subjects) == 2][:clips]
    right, probability = [], []
    for start in range(0, len(chosen), AT_ONCE):
        items = [cache.item(i) for i in chosen[start : start + AT_ONCE]]
        length = model.sizes.max_text_seq_length
        batch = collate([replace(item, text=item.text[:length]) for item in items], INGREDIENTS_TRAINING)
        labels = batch.scene.labels(label_share)
        known = labels != IGNORED
        seen = known.any(dim=1)  # clips whose masks label no token say nothing
        sums = [torch.zeros(model.config.injections, len(items)) for _ in range(2)]
        for level in LEVELS:
            step = torch.full((len(items),), level)
            noise = draw_noise(batch.video.shape[1:], 99, level, range(start, start + len(items)))
            logits = predict(model, noisy_video(batch.video, noise, step)[0], step, batch.text, batch.scene)[1]
            own = labels.clamp_min(0)[None, ..., None].expand(*logits.shape[:-1], 1)
            answers = (logits.argmax(dim=-1) == labels) & known, route(logits).gather(-1, own)[..., 0] * known
            for total, answer in zip(sums, answers, strict=True):
                total += answer.float().sum(dim=-1) / known.sum(dim=-1).clamp_min(1) / len(LEVELS)
        right.append(sums[0][:, seen])
        probability.append(sums[1][:, seen])
    return torch.cat(right, dim=1), torch.cat(probability, dim=1)


def interval(values: Tensor) -> str:
    """Mean and 95 % interval in percent."""
    random = torch.Generator().manual_seed(0)
    drawn = torch.randint(len(values), (DRAWS, len(values)), generator=random)
    means = values[drawn].mean(dim=1)
    low, high = (100 * means.quantile(q).item() for q in (0.025, 0.975))
    return f"{100 * values.mean().item():.1f} % [{low:.1f}, {high:.1f}]"


if __name__ == "__main__":
    main()
