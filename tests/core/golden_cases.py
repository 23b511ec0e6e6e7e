"""The recorded forward passes, as calls of the model."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import load_file
from torch import Tensor

from lumosx_core import EncodedScene, ReferenceLayout
from lumosx_core.models.lumosx.csam import attention_ranges, ranged_attention, scaled_dot_product_attention

CASES = (
    "p1_face_only_aligned",
    "p2_two_subjects_bg_obj",
    "p3_three_subjects_aligned",
    "p4_objects_only_small",
    "p5_two_subjects_shuffled",
    "p6_shared_and_missing_phrase",
)


@dataclass(frozen=True)
class GoldenCase:
    """One forward pass of the official code: what went in, and everything that was written down."""

    tensors: dict[str, Tensor]
    activations: dict[str, Tensor]
    facts: dict
    layout: ReferenceLayout

    @property
    def video(self) -> Tensor:
        return self.tensors["in.x"]

    @property
    def frames(self) -> int:
        return self.video.shape[2]

    @property
    def grid(self) -> tuple[int, int]:
        return tuple(self.facts["token_grid"])

    @property
    def picture_tokens(self) -> int:
        return self.grid[0] * self.grid[1]

    @property
    def video_tokens(self) -> int:
        return self.frames * self.picture_tokens

    @property
    def text(self) -> Tensor:
        return self.tensors["in.context"][None]

    @cached_property
    def scene(self) -> EncodedScene:
        """The reference images, as the model takes them."""
        references = self.tensors["in.cond_latents"].transpose(0, 2)
        return EncodedScene(references, self.layout, self.tensors["in.mask_text_emb"])

    @property
    def inputs(self) -> tuple:
        """All arguments of LumosXModel.forward."""
        return self.video, self.tensors["in.t"], self.text, self.scene


def read_golden_case(golden: Path, name: str) -> GoldenCase:
    with safe_open(golden / f"case_{name}.safetensors", "pt") as file:
        facts = json.loads(file.metadata()["case"])
    return GoldenCase(
        load_file(golden / f"case_{name}.safetensors"),
        load_file(golden / f"acts_{name}.safetensors"),
        facts,
        ReferenceLayout(facts["n_nonhuman"], tuple(facts["groups"])),
    )


def largest_difference(ours: Tensor, recorded: Tensor) -> float:
    assert ours.shape == recorded.shape, f"{tuple(ours.shape)} is not the recorded {tuple(recorded.shape)}"
    return (ours.double() - recorded.double()).abs().max().item()


def relative_rms(ours: Tensor, recorded: Tensor) -> float:
    assert ours.shape == recorded.shape
    return ((ours.double() - recorded.double()).square().mean() / recorded.double().square().mean()).sqrt().item()


def relative_norm(ours: Tensor, recorded: Tensor) -> float:
    assert ours.shape == recorded.shape
    return ((ours.double() - recorded.double()).norm() / recorded.double().norm()).item()


def csam(q, k, v, layout, image_tokens, attention=scaled_dot_product_attention):
    """The self-attention of CSAM over the tokens of a video and its images."""
    ranges = attention_ranges(layout, q.shape[2] - layout.pictures * image_tokens, image_tokens)
    return ranged_attention(q, k, v, ranges, attention)


def attended_keys(self_attention, tokens: int) -> Tensor:
    """Which keys each query reaches: (tokens, tokens) bool.

    Equal logits spread attention evenly over the keys a query can see, and values of one-hot rows tell them apart.
    """
    even = torch.zeros(1, 1, tokens, 8)
    return self_attention(even, even, torch.eye(tokens)[None, None])[0, 0] > 0
