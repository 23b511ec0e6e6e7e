"""Shared by tests that train Ingredients (CogVideoX): clips with faces in memory instead of a cache, and configs."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from miniature import TRANSFORMER_CONFIG

from lumosx_core.models.ingredients.training.face_example import FaceExample
from lumosx_core.scene.layout import ReferenceLayout
from lumosx_training.data.items import TrainingItem
from lumosx_training.loop.config import TrainConfig, parse_config

FRAMES, HEIGHT, WIDTH = 3, 8, 10  # of latents
TOKENS = FRAMES * HEIGHT // 2 * WIDTH // 2
TEXT_LEN = 226
SIZES = TRANSFORMER_CONFIG
STAGE_1 = ["local_facial_extractor.*", "perceiver_cross_attention.*"]
STAGE_2 = ["router.*"]


def face_example(seed: int, faces: int = 2) -> FaceExample:
    """One clip whose faces have half of its width each, in all frames."""
    generator = torch.Generator().manual_seed(seed)
    owner = (torch.arange(WIDTH // 2) * faces // (WIDTH // 2)).expand(FRAMES, HEIGHT // 2, -1).flatten()
    share = torch.stack([(owner == face).float() for face in range(faces)])
    share[:, : TOKENS // 4] = 0  # these show nobody
    return FaceExample(
        torch.randn(1, faces, SIZES["LFE_id_dim"], generator=generator),
        torch.randn(1, faces, 5, 7, SIZES["LFE_vit_dim"], generator=generator),
        torch.randn(1, 16, HEIGHT, WIDTH, generator=generator),
        share[None],
        tokens=5,
    )


class FacesCache:
    """Clips of random latents with one or two faces, in the way of a LatentCache."""

    def __init__(self, faces=(2, 2, 2, 2)):
        self.faces = list(faces)
        self.keys = [f"clip{index}" for index in range(len(self.faces))]
        self.empty_text = torch.full((TEXT_LEN, SIZES["text_embed_dim"]), 0.5)

    def __len__(self) -> int:
        return len(self.faces)

    def bucket(self, index: int):
        from fakes import FakeBucket

        return FakeBucket(FRAMES, HEIGHT, WIDTH, ReferenceLayout(0, (1,) * self.faces[index]))

    def variants(self, index: int) -> int:
        return 1

    def item(self, index: int, variant: int = 0) -> TrainingItem:
        generator = torch.Generator().manual_seed(100 + index)
        video = torch.randn(16, FRAMES, HEIGHT, WIDTH, generator=generator)
        text = torch.randn(TEXT_LEN, SIZES["text_embed_dim"], generator=generator)
        return TrainingItem(self.keys[index], video, text, face_example(index, self.faces[index]))


def faces_config(output: Path, **tables: dict) -> TrainConfig:
    """A run of the miniature from nothing; each keyword is a table whose values replace the defaults of the tests."""
    config = output.parent / "miniature.json"
    config.write_text(json.dumps(TRANSFORMER_CONFIG))
    given = {
        "model": {"family": "ingredients", "config": str(config), "text_len": 8},
        "data": {"cache": "in memory", "num_workers": 0},
        "training": {"output": str(output), "steps": 4, "batch_size": 2, "precision": "fp32", "save_every": 100},
        "optimizer": {"learning_rate": 1e-3},
    }
    for name, values in tables.items():
        given[name] = given.get(name, {}) | values
    if "file" in given["model"]:
        del given["model"]["config"]
    return parse_config(given)
