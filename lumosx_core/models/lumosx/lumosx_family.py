"""LumosX as a model family: Wan2.1-T2V-1.3B with relational attention, Wan's VAE and UMT5."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from ...scene.encoded import EncodedScene
from ..family import OpenNetwork
from ..flow_family import FlowFamily
from ..wan.umt5 import TextEncoder
from ..wan.vae import WanVae
from .config import LumosXConfig, RelationalOptions
from .model import LumosXModel
from .spec import SPEC
from .weights.detect import detect_config
from .weights.load import build_model, open_network

ATTENTION = tuple(f"{attention}.{layer}" for attention in ("self_attn", "cross_attn") for layer in "qkvo")
FEED_FORWARD = ("ffn.0", "ffn.2")


class LumosXFamily(FlowFamily):
    """The LumosX entry of the families; see `ModelFamily`."""

    spec = SPEC
    options = RelationalOptions()
    lora_targets = (*ATTENTION, *FEED_FORWARD)

    def detect(self, tensors: Mapping[str, Any]) -> LumosXConfig:
        return detect_config(tensors)

    def open(self, path: str | os.PathLike) -> OpenNetwork:
        return open_network(path)

    def build(
        self, network: OpenNetwork, *, device: torch.device | str = "cpu", dtype: torch.dtype | None = None
    ) -> LumosXModel:
        return build_model(network, device=device, dtype=dtype)

    def load_vae(self, path: str | os.PathLike, *, device: torch.device | str = "cpu") -> WanVae:
        return WanVae.load(path, device=device)

    def load_text_encoder(self, path: str | os.PathLike, *, device: torch.device | str = "cpu") -> TextEncoder:
        return TextEncoder(path, device=device)

    def velocity(
        self,
        model: nn.Module,
        latents: Tensor,
        timestep: Tensor,
        text: Tensor,
        scene: EncodedScene | None,
        options: RelationalOptions,
    ) -> Tensor:
        return model(latents, timestep, text, scene, options)


LUMOSX = LumosXFamily()
