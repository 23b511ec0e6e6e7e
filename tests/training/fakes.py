"""Shared by trainer tests: clips in memory instead of a cache, and configs of tiny networks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from lumosx_core.scene.encoded import EncodedScene
from lumosx_core.scene.layout import ReferenceLayout
from lumosx_training.data.items import TrainingItem
from lumosx_training.data.samples import BadSample
from lumosx_training.loop.config import TrainConfig, parse_config

TEXT_DIM, TEXT_LEN = 16, 12
SIZES = {"dim": 128, "ffn_dim": 64, "num_heads": 1, "num_layers": 1, "text_dim": TEXT_DIM, "freq_dim": 16}


@dataclass(frozen=True)
class FakeBucket:
    frames: int
    height: int
    width: int
    layout: ReferenceLayout


class FakeCache:
    """Clips of random latents, in the way of a LatentCache.

    Args:
        layouts: of each clip.
        damaged: indices that raise BadSample.
    """

    def __init__(self, layouts: Sequence[ReferenceLayout], *, size=(2, 2, 2), damaged: Sequence[int] = (), seed=0):
        self.layouts, self.size, self.damaged = list(layouts), size, set(damaged)
        self.keys = [f"clip{index}" for index in range(len(self.layouts))]
        self.empty_text = torch.full((1, TEXT_DIM), 0.5)
        self.seed = seed
        self.reads: list[tuple[int, int]] = []

    def __len__(self) -> int:
        return len(self.layouts)

    def bucket(self, index: int) -> FakeBucket:
        return FakeBucket(*self.size, self.layouts[index])

    def variants(self, index: int) -> int:
        return 1

    def item(self, index: int, variant: int = 0) -> TrainingItem:
        self.reads.append((index, variant))
        if index in self.damaged:
            raise BadSample(f"cache/{self.keys[index]}", "It holds NaN.")
        generator = torch.Generator().manual_seed(1000 * self.seed + index)
        frames, height, width = self.size
        pictures = self.layouts[index].pictures
        words = 3 + index % 4
        mask = torch.zeros(pictures, TEXT_LEN, dtype=torch.bool)
        for picture in range(pictures):
            mask[picture, picture % words] = True
        video = torch.randn(16, frames, height, width, generator=generator)
        references = torch.randn(16, pictures, height, width, generator=generator)
        return TrainingItem(
            self.keys[index],
            video,
            torch.randn(words, TEXT_DIM, generator=generator),
            EncodedScene(references[None], self.layouts[index], mask),
        )


def tiny_config(output: Path | str, **tables: dict) -> TrainConfig:
    """A run of a very small network; each keyword is a table whose values replace the defaults of the tests."""
    given = {
        "model": {"sizes": SIZES, "text_len": TEXT_LEN},
        "data": {"cache": "in memory", "num_workers": 0},
        "training": {"output": str(output), "steps": 4, "batch_size": 2, "precision": "fp32", "save_every": 2},
        "optimizer": {"learning_rate": 1e-3},
    }
    for name, values in tables.items():
        given[name] = given.get(name, {}) | values
    if "file" in given["model"]:
        del given["model"]["sizes"]
    return parse_config(given)
