"""The network's sizes, from our own sections and from the configuration of a release."""

from __future__ import annotations

import pytest
from small_network import SMALL

from lumosx_core import IngredientsConfig, LumosXError

# transformer/config.json of a release, as diffusers writes it.
RELEASED = {
    "_class_name": "ConsisIDTransformer3DModel",
    "_diffusers_version": "0.32.0",
    "LFE_depth": 10,
    "LFE_dim_head": 64,
    "LFE_ff_mult": 4,
    "LFE_id_dim": 1280,
    "LFE_num_heads": 16,
    "LFE_num_id_token": 5,
    "LFE_num_querie": 32,
    "LFE_num_scale": 5,
    "LFE_output_dim": 2048,
    "LFE_vit_dim": 1024,
    "activation_fn": "gelu-approximate",
    "attention_bias": True,
    "attention_head_dim": 64,
    "cross_attn_dim_head": 128,
    "cross_attn_interval": 2,
    "cross_attn_num_heads": 16,
    "dropout": 0.0,
    "flip_sin_to_cos": True,
    "freq_shift": 0,
    "in_channels": 32,
    "is_kps": False,
    "is_train_face": True,
    "local_face_scale": 1.0,
    "max_text_seq_length": 226,
    "norm_elementwise_affine": True,
    "norm_eps": 1e-05,
    "num_attention_heads": 48,
    "num_layers": 42,
    "out_channels": 16,
    "patch_size": 2,
    "sample_frames": 49,
    "sample_height": 60,
    "sample_width": 90,
    "spatial_interpolation_scale": 1.875,
    "temporal_compression_ratio": 4,
    "temporal_interpolation_scale": 1.0,
    "text_embed_dim": 4096,
    "time_embed_dim": 512,
    "timestep_activation_fn": "silu",
    "use_learned_positional_embeddings": True,
    "use_rotary_positional_embeddings": True,
}


def test_the_configuration_of_a_release_is_the_default():
    config = IngredientsConfig.from_dict(RELEASED)
    assert config == IngredientsConfig() == IngredientsConfig.from_dict({"transformer": RELEASED})
    assert config.transformer.width == 3072 and config.transformer.latent_frames == 13 and config.injections == 21


def test_an_empty_configuration_has_the_released_sizes():
    assert IngredientsConfig.from_dict({}) == IngredientsConfig()


def test_sections_are_read_and_written():
    config = IngredientsConfig.from_dict({**SMALL, "data": {"frames": 3}})
    assert config.transformer.width == 48 and config.local_facial_extractor.heads == 2
    assert config.router.dim == 48 and config.router.id_dim == 28 and config.router.id_length == 4  # from the others
    assert config.router.inner_dim == 18 and config.perceiver_cross_attention.dim_head == 8
    assert IngredientsConfig.from_dict(config.to_dict()) == config


def test_recorded_sizes_are_read(recorded_config):
    assert recorded_config.local_facial_extractor.num_queries == 8 and recorded_config.transformer.num_layers == 4


@pytest.mark.parametrize(
    ("section", "change", "message"),
    [
        ("transformer", {"activation_fn": "gelu"}, "activation_fn is 'gelu' .* expected 'gelu-approximate'"),
        ("transformer", {"use_rotary_positional_embeddings": False}, "use_rotary_positional_embeddings is False"),
        ("transformer", {"use_learned_positional_embeddings": False}, "use_learned_positional_embeddings is False"),
        ("transformer", {"is_kps": True}, "is_kps is True"),
        ("transformer", {"is_train_face": False}, "is_train_face is False"),
        ("transformer", {"patch_size_t": 2}, "patch_size_t is 2 .* expected None"),  # CogVideoX 1.5
        ("transformer", {"ofs_embed_dim": 512}, "ofs_embed_dim is 512"),
        ("transformer", {"flip_sin_to_cos": False}, "flip_sin_to_cos is False"),
        ("transformer", {"norm_type": "rms"}, "Unknown key 'norm_type' in the transformer's configuration"),
        ("transformer", {"num_layers": 0}, "num_layers is 0 .* expected a whole number above 0"),
        ("transformer", {"num_layers": 4.5}, "num_layers is 4.5"),
        ("transformer", {"num_layers": "4"}, "num_layers is '4'"),
        ("transformer", {"num_layers": True}, "num_layers is True"),
        ("transformer", {"num_layers": None}, "num_layers is None"),
        ("transformer", {"num_layers": 5}, "num_layers 5 is not a multiple of cross_attn_interval 2"),
        ("transformer", {"cross_attn_interval": 3}, "cross_attn_interval 3"),
        ("transformer", {"norm_eps": float("nan")}, "norm_eps is nan .* expected a number above 0"),
        ("transformer", {"attention_bias": "yes"}, "attention_bias is 'yes' .* expected true or false"),
        ("transformer", {"attention_head_dim": 24}, "attention_head_dim is 24, expected a multiple of 16"),
        ("transformer", {"sample_width": 5}, "sample_width 5 .* multiples of patch_size 2"),
        ("transformer", {"sample_frames": 8}, "sample_frames is 8"),
        ("transformer", {"LFE_depth": 10}, "LFE_depth is 10 .* but depth is 5 in local_facial_extractor"),
        ("transformer", {"LFE_num_scale": 4}, "LFE_num_scale is 4"),
        ("local_facial_extractor", {"depth": 7}, "depth is 7 in local_facial_extractor, expected a multiple of 5"),
        ("local_facial_extractor", {"width": 7}, "Unknown key 'width' in local_facial_extractor"),
        ("local_facial_extractor", {"heads": -1}, "heads is -1 in local_facial_extractor"),
        ("perceiver_cross_attention", {"head_dim": 7}, "Unknown key 'head_dim' in perceiver_cross_attention"),
        ("perceiver_cross_attention", {"kv_dim": 7}, "kv_dim is 7 in perceiver_cross_attention, expected 28"),
        ("router", {"dim": 64}, "dim of router is 64, expected 48: the transformer's width"),
        ("router", {"id_dim": 64}, "id_dim of router is 64, expected 28: output_dim"),
        ("router", {"id_length": 32}, "id_length of router is 32, expected 4: num_queries"),
        ("router", {"temperature": 1}, "Unknown key 'temperature' in router"),
    ],
)
def test_a_configuration_that_means_another_network_is_refused(section, change, message):
    with pytest.raises(LumosXError, match=message):
        IngredientsConfig.from_dict({**SMALL, section: {**SMALL[section], **change}})


@pytest.mark.parametrize("name", ["transformer", "router"])
@pytest.mark.parametrize("value", [None, [1], "sizes"])
def test_a_section_that_has_no_names_is_refused(name, value):
    with pytest.raises(LumosXError, match=f"The section {name} is .* expected names and values"):
        IngredientsConfig.from_dict({**SMALL, name: value})


@pytest.mark.parametrize("value", [None, [], "config.json"])
def test_a_configuration_that_has_no_names_is_refused(value):
    with pytest.raises(LumosXError, match="The configuration is"):
        IngredientsConfig.from_dict(value)
