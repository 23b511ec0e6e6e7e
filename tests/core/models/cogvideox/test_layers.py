"""Names of the transformer's layers."""

from __future__ import annotations

from torch import nn

from lumosx_core.models.cogvideox.config import CogVideoXConfig
from lumosx_core.models.cogvideox.layers import ATTENTION_LAYERS, FEED_FORWARD_LAYERS
from lumosx_core.models.cogvideox.network import CogVideoXNetwork


def test_the_named_layers_are_the_linear_ones_of_a_block_beside_its_modulation():
    network = CogVideoXNetwork(CogVideoXConfig(num_layers=2), device="meta")
    for block in network.blocks:
        linear = {name for name, module in block.named_modules() if isinstance(module, nn.Linear)}
        assert linear == {*ATTENTION_LAYERS, *FEED_FORWARD_LAYERS, "norm1.linear", "norm2.linear"}


def test_a_position_table_of_any_size_costs_nothing_on_meta():
    """Sizes come from files of strangers, and are compared with the weights on meta."""
    config = CogVideoXConfig(num_layers=1, sample_width=2 * 10**9)
    table = CogVideoXNetwork(config, device="meta").patch_embed.pos_embedding
    assert table.shape == (1, 226 + 13 * 30 * 10**9, 3072)
