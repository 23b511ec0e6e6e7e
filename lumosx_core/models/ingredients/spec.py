"""The facts of CogVideoX-5B-I2V and Ingredients that a pipeline, a node, a cache or a trainer needs."""

from __future__ import annotations

from ..family import ModelSpec

SPEC = ModelSpec(
    name="Ingredients (CogVideoX)",
    channels=16,
    spatial_stride=8,
    temporal_stride=4,
    size_multiple=16,  # the stride of the VAE times a patch of 2
    frames_per_second=8,
    text_len=226,
    width=720,
    height=480,
    frames=49,
    steps=50,
    shift=1.0,  # of the signal-to-noise ratio, not of a flow
    cfg=6.0,
)
FACE_ENCODER = "face_encoder"
"""The kind of companion that holds the networks which faces are read with."""
