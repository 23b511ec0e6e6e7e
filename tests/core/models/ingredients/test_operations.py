"""Layers of a host that cast weights as they are used, in place of PyTorch's."""

from __future__ import annotations

from types import SimpleNamespace

import torch
import torch.nn.functional as F
from small_network import random_inputs, small_network
from torch import nn

NO_LAYER = {"patch_embed.pos_embedding", "local_facial_extractor.latents", "local_facial_extractor.proj_out"}


class CastingLinear(nn.Linear):
    def forward(self, x):
        return F.linear(x, self.weight.to(x), None if self.bias is None else self.bias.to(x))


class CastingLayerNorm(nn.LayerNorm):
    def forward(self, x):
        return F.layer_norm(x, self.normalized_shape, self.weight.to(x), self.bias.to(x), self.eps)


class CastingConv2d(nn.Conv2d):
    def forward(self, x):
        return self._conv_forward(x, self.weight.to(x), self.bias.to(x))


CASTING = SimpleNamespace(Linear=CastingLinear, LayerNorm=CastingLayerNorm, Conv2d=CastingConv2d)


def test_every_weight_belongs_to_a_layer_of_the_host_or_is_known_as_none():
    network = small_network(CASTING)
    names = set()
    for name, module in network.named_modules():
        own = {f"{name}.{parameter}" for parameter, _ in module.named_parameters(recurse=False)}
        if not isinstance(module, CastingLinear | CastingLayerNorm | CastingConv2d):
            names |= own
    assert names == NO_LAYER


def test_weights_are_cast_to_the_dtype_of_the_latents_where_they_are_used():
    """Stored in bfloat16 and computed in float32: the same as float32 weights that were rounded to bfloat16."""
    stored = small_network(CASTING, torch.bfloat16).requires_grad_(False)
    rounded = small_network(dtype=torch.bfloat16).float().requires_grad_(False)
    given = random_inputs(rounded)
    faces = torch.randn(2, 10), torch.randn(2, 5, 7, 24)
    assert stored.encode_faces(*faces).dtype == torch.float32
    assert torch.equal(stored.encode_faces(*faces), rounded.encode_faces(*faces))
    for faces in (given["faces"], rounded.prepare_faces(given["faces"])):
        output = stored(**{**given, "faces": faces})
        assert output.dtype == torch.float32
        assert torch.allclose(output, rounded(**{**given, "faces": faces}), rtol=1e-5, atol=1e-5)


def test_weights_in_float32_follow_latents_in_bfloat16():
    network = small_network(CASTING).requires_grad_(False)
    given = random_inputs(network)
    output = network(**{**given, "latents": given["latents"].bfloat16()})
    assert output.dtype == torch.bfloat16
    assert all(parameter.dtype == torch.float32 for parameter in network.parameters())
