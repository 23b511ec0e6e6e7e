"""The facts of Wan2.1-T2V-1.3B and LumosX that a pipeline, a node, a cache or a trainer needs."""

from __future__ import annotations

from ..family import ModelSpec
from ..wan.umt5 import MOST_TOKENS
from ..wan.vae_network import LATENT_CHANNELS

SPEC = ModelSpec(
    name="LumosX",
    channels=LATENT_CHANNELS,
    spatial_stride=8,
    temporal_stride=4,
    size_multiple=16,  # the stride of the VAE times a patch of 2
    frames_per_second=16,
    text_len=MOST_TOKENS,
    width=832,
    height=480,
    frames=81,
    steps=50,
    shift=8.0,
    cfg=6.0,
)
