"""A small random network that needs no recorded numbers, and inputs that fit it."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from lumosx_core import IngredientsConfig, IngredientsModel
from lumosx_core.models.cogvideox.positions import rotary_table

SMALL = {
    "transformer": {
        "num_attention_heads": 3,
        "attention_head_dim": 16,
        "in_channels": 6,
        "out_channels": 3,
        "time_embed_dim": 20,
        "text_embed_dim": 12,
        "num_layers": 4,
        "sample_width": 6,
        "sample_height": 4,
        "sample_frames": 9,
        "max_text_seq_length": 5,
    },
    "local_facial_extractor": {
        "dim": 24,
        "vit_in": 24,
        "id_in": 10,
        "depth": 5,
        "dim_head": 6,
        "heads": 2,
        "num_queries": 4,
        "output_dim": 28,
    },
    "perceiver_cross_attention": {"dim_head": 8, "heads": 2},
    "router": {"inner_dim": 18},
}
TOKENS = 3 * 2 * 3


def enliven(network: IngredientsModel) -> IngredientsModel:
    """Random weights with which every parameter leaves its mark on the output, and the router is undecided."""
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            fan_in = parameter[0].numel() if parameter.ndim > 1 and name.endswith("weight") else 10
            parameter.copy_(fan_in**-0.5 * torch.randn(parameter.shape))
            if "norm" in name and name.endswith(".weight") and parameter.ndim == 1:
                parameter.add_(1)
            if name.startswith("router") and "to_q" in name:
                parameter.mul_(0.3)  # its products are not scaled
            if name.startswith("perceiver") and "to_out" in name:
                parameter.mul_(3)
    return network.eval()


def small_network(operations: Any = nn, dtype: torch.dtype = torch.float32) -> IngredientsModel:
    """The same random weights at each call."""
    torch.manual_seed(3)
    return enliven(IngredientsModel(IngredientsConfig.from_dict(SMALL), operations=operations, dtype=dtype))


def random_inputs(network: IngredientsModel, batch: int = 1, faces: int = 2, frames: int = 3) -> dict[str, Any]:
    """Arguments of the network, its face tokens among them."""
    torch.manual_seed(4)
    sizes, extractor = network.config.transformer, network.config.local_facial_extractor
    height, width = sizes.sample_height, sizes.sample_width
    with torch.no_grad():
        tokens = network.encode_faces(torch.randn(faces, extractor.id_in), torch.randn(faces, 5, 7, extractor.vit_in))
    return {
        "latents": torch.randn(batch, frames, sizes.in_channels, height, width),
        "timestep": torch.tensor([637, 12, 988, 400])[:batch],
        "text": torch.randn(batch, sizes.max_text_seq_length, sizes.text_embed_dim),
        "faces": tokens,
        "rope": rotary_table(sizes, frames, height, width),
    }
