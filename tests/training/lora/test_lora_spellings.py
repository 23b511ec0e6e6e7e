"""LoRAs as other programs write them: every spelling of an unambiguous layer, alpha wherever it is, other kinds."""

from __future__ import annotations

import json
import math

import pytest
import torch
from safetensors.torch import load_file, save_file

from lumosx_core import LumosXConfig, LumosXError, LumosXModel
from lumosx_training.lora.files import LoraFile
from lumosx_training.lora.merge import merge_lora
from lumosx_training.lora.names import native_layer, read_key
from lumosx_training.lora.read import parse_lora, read_any_lora, read_lora
from lumosx_training.lora.rounding import KeptChange, round_by_chance

Q = "blocks.0.self_attn.q"
DOWN, UP = torch.randn(4, 128), torch.randn(128, 4)

SPELLINGS = {
    "diffusion_model.blocks.0.self_attn.q.lora_A.weight": Q,
    "blocks.0.self_attn.q.lora_A.weight": Q,
    "model.diffusion_model.blocks.0.self_attn.q.lora_A.weight": Q,
    "lora_unet_blocks_0_self_attn_q.lora_down.weight": Q,
    "lora_unet__blocks_0_self_attn_q.lora_down.weight": Q,
    "lora_unet_blocks_0.self_attn.q.lora_down.weight": Q,
    "lora_unet_blocks.0.self_attn_q.lora_down.weight": Q,
    "lora_unet_blocks_0_attn1_to_q.lora_down.weight": Q,
    "lora_transformer_blocks_0_attn1_to_q.lora_down.weight": Q,
    "lora_dit_blocks_0_self_attn_q.lora_down.weight": Q,
    "lora_unet_diffusion_model_blocks_0_self_attn_q.lora_down.weight": Q,
    "lora_blocks_0_self_attn_q.lora_down.weight": Q,
    "lycoris_blocks_0_self_attn_q.lora_down.weight": Q,
    "transformer.blocks.0.attn1.to_q.lora_A.weight": Q,
    "transformer.blocks.0.attn1.to_q.lora.down.weight": Q,
    "transformer.blocks.0.attn1.processor.to_q_lora.down.weight": Q,
    "transformer.blocks.0.attn1.to_q.lora_linear_layer.down.weight": Q,
    "unet.blocks.0.attn1.to_q.lora.down.weight": Q,
    "pipe.dit.blocks.0.self_attn.q.lora_A.default.weight": Q,
    "dit.blocks.0.self_attn.q.lora_A.weight": Q,
    "base_model.model.blocks.0.self_attn.q.lora_A.weight": Q,
    "base_model.model.diffusion_model.blocks.0.self_attn.q.lora_A.subject.weight": Q,
    "base_model.model.model.blocks.0.self_attn.q.lora_A.my-lora_2.weight": Q,
    "diffusion_model._orig_mod.blocks.0.self_attn.q.lora_A.weight": Q,
    "_orig_mod.blocks.0._orig_mod.self_attn.q.lora_A.weight": Q,
    "module.blocks.0.self_attn.q.lora_A.weight": Q,
    "module.module._fsdp_wrapped_module.blocks.0._checkpoint_wrapped_module.self_attn.q.lora_A.weight": Q,
    "generator.model.blocks.0.self_attn.q.lora_A.weight": Q,
    "state_dict.blocks.0.self_attn.q.lora_A.weight": Q,
    "blocks.0.self_attn.q.lora_A": Q,
    "blocks.0.self_attn.q.lora_down": Q,
    "blocks.0.self_attn.q.lora_a.weight": Q,
    "blocks.11.attn1.to_out.0.lora_A.weight": "blocks.11.self_attn.o",
    "blocks.11.attn2.to_out.lora_A.weight": "blocks.11.cross_attn.o",
    "transformer.blocks.2.attn2.to_k.lora_A.weight": "blocks.2.cross_attn.k",
    "transformer.blocks.2.ffn.net.0.proj.lora_A.weight": "blocks.2.ffn.0",
    "transformer.blocks.2.ffn.net.2.lora_A.weight": "blocks.2.ffn.2",
    "lora_unet_blocks_2_ffn_net_0_proj.lora_down.weight": "blocks.2.ffn.0",
    "lora_unet_blocks_2_ffn_2.lora_down.weight": "blocks.2.ffn.2",
    "transformer.condition_embedder.time_embedder.linear_1.lora_A.weight": "time_embedding.0",
    "transformer.condition_embedder.time_embedder.linear_2.lora_A.weight": "time_embedding.2",
    "transformer.condition_embedder.text_embedder.linear_1.lora_A.weight": "text_embedding.0",
    "condition_embedder.text_embedder.linear_2.lora_A.weight": "text_embedding.2",
    "lora_unet_condition_embedder_time_proj.lora_down.weight": "time_projection.1",
    "transformer.proj_out.lora_A.weight": "head.head",
    "lora_unet_head_head.lora_down.weight": "head.head",
    "lora_unet_patch_embedding.lora_down.weight": "patch_embedding",
    "diffusion_model.text_embedding.2.lora_A.weight": "text_embedding.2",
    "lora_unet_time_projection_1.lora_down.weight": "time_projection.1",
}
OTHER_PARTS = {
    "diffusion_model.blocks.3.diff_m": ("blocks.3.modulation", "weight"),
    "lora_unet_blocks_3.diff_m": ("blocks.3.modulation", "weight"),
    "diffusion_model.head.diff_m": ("head.modulation", "weight"),
    "diffusion_model.blocks.3.modulation.diff": ("blocks.3.modulation", "weight"),
    "blocks.3.modulation.diff_m": ("blocks.3.modulation", "weight"),
    "transformer.blocks.3.scale_shift_table.diff": ("blocks.3.modulation", "weight"),
    "transformer.scale_shift_table.diff": ("head.modulation", "weight"),
    "diffusion_model.blocks.3.self_attn.norm_q.diff": ("blocks.3.self_attn.norm_q", "weight"),
    "blocks.3.norm3.diff_b": ("blocks.3.norm3", "bias"),
    "transformer.blocks.3.norm2.diff": ("blocks.3.norm3", "weight"),
    "diffusion_model.patch_embedding.diff": ("patch_embedding", "weight"),
    "lora_unet_blocks_0_self_attn_q.alpha": (Q, "alpha"),
    "blocks.0.self_attn.q.lora_alpha": (Q, "alpha"),
    "blocks.0.self_attn.q.lora_B.default.bias": (Q, "up bias"),
    "lycoris_blocks_0_self_attn_q.lokr_w2_a": (Q, "lokr_w2_a"),
    "lycoris_blocks_0_self_attn_q.hada_w1_b": (Q, "hada_w1_b"),
}


@pytest.mark.parametrize(("name", "layer"), SPELLINGS.items())
def test_a_layer_is_known_under_every_name_it_has_in_the_wild(name, layer):
    key = read_key(name)
    assert (key.layer, key.part) == (layer, "down")
    other = name.replace("lora_A", "lora_B").replace("lora_a", "lora_b").replace("down", "up")
    assert read_key(other).part == "up"


@pytest.mark.parametrize(("name", "meaning"), OTHER_PARTS.items())
def test_differences_and_alphas_are_known_under_their_names(name, meaning):
    key = read_key(name)
    assert (key.layer, key.part) == meaning


STRANGERS = {
    "diffusion_model.blocks.0.cross_attn.k_img.lora_A.weight": "Wan image-to-video",
    "lora_unet_img_emb_proj_1.lora_down.weight": "Wan image-to-video",
    "diffusion_model.blocks.0.cross_attn.norm_k_img.diff": "Wan image-to-video",
    "transformer.blocks.0.attn2.add_k_proj.lora_A.weight": "Wan image-to-video",
    "diffusion_model.vace_blocks.0.self_attn.q.lora_A.weight": "Wan VACE",
    "lora_te1_text_model_encoder_layers_0_mlp_fc1.lora_down.weight": "text encoder",
    "text_encoder.encoder.block.0.layer.0.SelfAttention.q.lora_A.weight": "text encoder",
    "transformer_2.blocks.0.attn1.to_q.lora_A.weight": "second network of Wan2.2",
    "transformer.transformer_blocks.0.attn1.to_q.lora_A.weight": "another kind of transformer",
    "lora_unet_transformer_blocks_0_attn1_to_q.lora_down.weight": "another kind of transformer",
    "lora_unet_double_blocks_0_img_attn_qkv.lora_down.weight": "another kind of transformer",
    "lora_unet_down_blocks_0_attentions_0_proj_in.lora_down.weight": "U-Net",
    "lora_unet_input_blocks_1_1_proj_in.lora_down.weight": "U-Net",
    "diffusion_model.layers.0.attention.qkv.lora_A.weight": "language model or another transformer",
    "diffusion_model.blocks.0.self_attn.qkv.lora_A.weight": "not a layer of Wan2.1",
    "blocks.0.self_attn.q.self_attn.q.lora_A.weight": "not a layer of Wan2.1",
    "something.else.lora_A.weight": "for another model",
    "diffusion_model.blocks.0.self_attn.q.dora_scale": "a DoRA",
    "base_model.model.blocks.0.self_attn.q.lora_magnitude_vector.default.weight": "a DoRA",
    "lycoris_blocks_0_self_attn_q.oft_blocks": "an OFT",
    "blocks.0.self_attn.q.a1.weight": "a GLoRA",
    "blocks.0.self_attn.q.vera_lambda_d": "a VeRA",
    "blocks.0.self_attn.q.hada_t1": "convolutions",
    "base_model.model.blocks.0.self_attn.q.weight": "a whole weight",
    "blocks.0.self_attn.q.reshape_weight": "replaces or reshapes",
    "emb_params": "nothing is known",
}


@pytest.mark.parametrize(("name", "reason"), STRANGERS.items())
def test_what_is_not_a_layer_is_refused_for_its_true_reason(name, reason):
    with pytest.raises(LumosXError, match=reason):
        read_key(name)


def test_a_layer_of_diffusers_kohya_and_wan_is_one():
    names = ("lora_unet_blocks_7_attn2_to_v", "blocks.7.cross_attn.v", "blocks_7.attn2.to_v")
    assert {native_layer(name) for name in names} == {"blocks.7.cross_attn.v"}


# ---- alpha


def read(tensors=None, metadata=None, **alpha) -> LoraFile:
    tensors = {f"{Q}.lora_A.weight": DOWN, f"{Q}.lora_B.weight": UP, **(tensors or {})}
    tensors |= {f"{Q}.{name}": torch.tensor(value) for name, value in alpha.items()}
    metadata = {k: v if isinstance(v, str) else json.dumps(v) for k, v in (metadata or {}).items()}
    return parse_lora(tensors, metadata, "x.safetensors")


ALPHAS = {
    "nothing": ({}, {}, 4),
    "a tensor": ({}, {"alpha": 8.0}, 8),
    "a whole number": ({}, {"alpha": 8}, 8),
    "kohya's metadata": ({"ss_network_alpha": "8.0", "ss_network_dim": "4"}, {}, 8),
    "kohya's None": ({"ss_network_alpha": "None"}, {}, 4),
    "kohya's both": ({"ss_network_alpha": "8", "ss_network_dim": "4"}, {"alpha": 8.0}, 8),
    "a resized file": ({"ss_network_alpha": "8", "ss_network_dim": "64"}, {"alpha": 2.0}, 2),
    "resized, dynamic": ({"ss_network_alpha": "Dynamic", "ss_network_dim": "Dynamic"}, {"alpha": 2.0}, 2),
    "plain words": ({"lora_alpha": "8", "rank": "4"}, {}, 8),
    "plain words, stabilised": ({"lora_alpha": "8", "rank": "4", "use_rslora": "true"}, {}, 16),
    "only stabilised": ({"use_rslora": "True"}, {}, 8),
    "stabilised beside a tensor": ({"use_rslora": "True"}, {"alpha": 8.0}, 16),
    "diffusers": ({"lora_adapter_metadata": {"r": 4, "lora_alpha": 8}}, {}, 8),
    "diffusers, of a pipeline": ({"lora_adapter_metadata": {"transformer.r": 4, "transformer.lora_alpha": 8}}, {}, 8),
    "diffusers, stabilised": ({"lora_adapter_metadata": {"r": 4, "lora_alpha": 8, "use_rslora": True}}, {}, 16),
    "stabilised already": (
        {"lora_adapter_metadata": {"r": 4, "lora_alpha": 8, "use_rslora": True}},
        {"alpha": 16.0},
        16,
    ),
    "not yet stabilised": (
        {"lora_adapter_metadata": {"r": 4, "lora_alpha": 8, "use_rslora": True}},
        {"alpha": 8.0},
        16,
    ),
    "a pattern": (
        {
            "lora_adapter_metadata": {
                "r": 64,
                "lora_alpha": 8,
                "rank_pattern": {Q: 4},
                "alpha_pattern": {"attn.q": 1, Q: 2},
            }
        },
        {},
        2,
    ),
    "a regular expression": (
        {"lora_adapter_metadata": {"r": 4, "lora_alpha": 8, "alpha_pattern": {"blocks\\.\\d+\\..*attn\\.q": 6}}},
        {},
        6,
    ),
    "nested": ({"config": {"network": {"r": 4, "lora_alpha": 8}}}, {}, 8),
    "LyCORIS": (
        {"ss_network_alpha": "8", "ss_network_dim": "4", "ss_network_args": {"rs_lora": "True"}},
        {"alpha": 16.0},
        16,
    ),
    "LyCORIS without a tensor": (
        {"ss_network_alpha": "8", "ss_network_dim": "4", "ss_network_args": {"rs_lora": "True"}},
        {},
        16,
    ),
    "alphas of convolutions": ({"ss_network_alpha": "8", "ss_network_args": {"conv_alpha": "1"}}, {"alpha": 1.0}, 1),
    "bfloat16": ({"ss_network_alpha": "11.3", "ss_network_dim": "4"}, {"alpha": 11.3125}, 11.3),
}


@pytest.mark.parametrize(("metadata", "tensors", "alpha"), ALPHAS.values(), ids=ALPHAS.keys())
def test_alpha_is_used_wherever_it_is_written(metadata, tensors, alpha):
    assert read({}, metadata, **tensors).layers[Q].alpha == pytest.approx(alpha, rel=0.01)


CONFLICTS = {
    "tensor and metadata": (
        {"ss_network_alpha": "8", "ss_network_dim": "4"},
        {"alpha": 4.0},
        "8 by .*ss_network",
    ),
    "tensor and peft": ({"lora_adapter_metadata": {"r": 4, "lora_alpha": 8}}, {"alpha": 2.0}, "2 by the file's own"),
    "two metadata": (
        {"ss_network_alpha": "8", "lora_adapter_metadata": {"lora_alpha": 9}},
        {},
        "unknown which is right",
    ),
    "the rank": ({"lora_adapter_metadata": {"r": 8, "lora_alpha": 8}}, {}, "says rank 8.*have rank 4"),
    "the rank in a tensor": ({}, {"rank": 8}, "rank 8 for .*have rank 4"),
    "no number": ({"ss_network_alpha": "many"}, {}, "ss_network_alpha is 'many'"),
    "not finite": ({"ss_network_alpha": "inf"}, {}, "expected a number above 0"),
    "a truth": ({"lora_adapter_metadata": {"lora_alpha": True}}, {}, "expected a number above 0"),
    "a list": ({"lora_adapter_metadata": {"lora_alpha": [8]}}, {}, "expected a number above 0"),
    "no table": ({"lora_adapter_metadata": {"lora_alpha": 8, "alpha_pattern": [1]}}, {}, "not a table"),
    "a bomb": (
        {"lora_adapter_metadata": {"lora_alpha": 8, "alpha_pattern": {".*" * 100 + "z": 1}}},
        {},
        "too long to be read",
    ),
    "two alphas": ({}, {"alpha": [1.0, 2.0]}, "expected one number"),
    "NaN": ({}, {"alpha": math.nan}, "not finite"),
    "DoRA": ({"lora_adapter_metadata": {"lora_alpha": 8, "use_dora": True}}, {}, "DoRA"),
    "PiSSA": (
        {"lora_adapter_metadata": {"lora_alpha": 8, "init_lora_weights": "pissa_niter_4"}},
        {},
        "base that was changed",
    ),
}


@pytest.mark.parametrize(("metadata", "tensors", "reason"), CONFLICTS.values(), ids=CONFLICTS.keys())
def test_alphas_that_contradict_or_make_no_sense_are_refused(metadata, tensors, reason):
    with pytest.raises(LumosXError, match=reason):
        read({}, metadata, **tensors)


def test_an_adapter_config_beside_the_file_is_used_where_it_is_about_it(tmp_path):
    path, other = tmp_path / "mine.safetensors", tmp_path / "other.safetensors"
    save_file({f"{Q}.lora_A.weight": DOWN, f"{Q}.lora_B.weight": UP}, path)
    config = {"peft_type": "LORA", "r": 4, "lora_alpha": 12}
    (tmp_path / "adapter_config.json").write_text(json.dumps(config), encoding="utf-8-sig")
    assert read_lora(path).layers[Q].alpha == 12
    save_file({f"{Q}.lora_A.weight": torch.randn(2, 128), f"{Q}.lora_B.weight": torch.randn(128, 2)}, other)
    assert read_lora(path).layers[Q].alpha == 12
    assert read_lora(other).layers[Q].alpha == 2
    peft = {f"base_model.model.{name}": tensor for name, tensor in load_file(other).items()}
    save_file(peft, tmp_path / "adapter_model.safetensors")
    with pytest.raises(LumosXError, match="adapter_config.json says rank 4"):
        read_any_lora(tmp_path)
    for content in ("[1]", "{", '{"lora_alpha": "x"}', "[" * 10000):
        (tmp_path / "adapter_config.json").write_text(content)
        with pytest.raises(LumosXError, match=r"adapter_config\.json"):
            read_any_lora(tmp_path)


# ---- kinds, merged


CONFIG = LumosXConfig(dim=128, ffn_dim=64, num_heads=1, num_layers=2, text_dim=32)


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    torch.manual_seed(1)
    path = tmp_path_factory.mktemp("base") / "base.safetensors"
    save_file({n: torch.randn_like(t) / 8 for n, t in LumosXModel(CONFIG).state_dict().items()}, path)
    return path


def merged(base, tensors: dict, tmp_path, name="lora.safetensors") -> dict[str, torch.Tensor]:
    """What merging changes: name -> change."""
    path = tmp_path / name
    if path.suffix == ".safetensors":
        save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, path)
    else:
        torch.save(tensors, path)
    merge_lora(base, path, tmp_path / "out.safetensors", overwrite=True)
    before, after = load_file(base), load_file(tmp_path / "out.safetensors")
    return {name: after[name] - before[name] for name in before if not torch.equal(after[name], before[name])}


def close(found: dict, expected: dict) -> bool:
    return found.keys() == expected.keys() and all(torch.allclose(found[n], expected[n], atol=1e-5) for n in expected)


def test_every_part_of_a_few_step_lora_is_merged(base, tmp_path):
    torch.manual_seed(0)
    parts = {
        f"diffusion_model.{Q}.lora_down.weight": DOWN,
        f"diffusion_model.{Q}.lora_up.weight": UP,
        f"diffusion_model.{Q}.diff_b": torch.randn(128),
        "diffusion_model.blocks.1.self_attn.norm_k.diff": torch.randn(128),
        "diffusion_model.blocks.0.diff_m": torch.randn(1, 6, 128),
        "diffusion_model.head.diff_m": torch.randn(1, 2, 128),
    }
    names = (f"{Q}.bias", "blocks.1.self_attn.norm_k.weight", "blocks.0.modulation", "head.modulation")
    expected = {f"{Q}.weight": UP @ DOWN, **dict(zip(names, list(parts.values())[2:], strict=True))}
    assert close(merged(base, parts, tmp_path), expected)


@pytest.mark.parametrize("name", ["lora.pt", "lora.ckpt", "lora.bin", "lora.pth"])
def test_a_pickled_lora_is_merged_without_running_it(name, base, tmp_path):
    content = {"state_dict": {f"{Q}.lora_A.weight": DOWN, f"{Q}.lora_B.weight": UP, f"{Q}.alpha": 8}, "step": 100}
    assert close(merged(base, content, tmp_path, name), {f"{Q}.weight": 2 * UP @ DOWN})


def test_lokr_and_loha_are_merged(base, tmp_path):
    torch.manual_seed(0)
    key, weight = "lycoris_blocks_0_self_attn_q", f"{Q}.weight"
    a, b = torch.randn(4, 4), torch.randn(32, 32)
    left, right = torch.randn(32, 2), torch.randn(2, 32)
    u, v, w, x = torch.randn(128, 3), torch.randn(3, 128), torch.randn(128, 3), torch.randn(3, 128)
    one = torch.tensor(1.0)
    cases = [
        ({"lokr_w1": a, "lokr_w2": b, "alpha": one}, torch.kron(a, b)),
        ({"lokr_w1": a, "lokr_w2_a": left, "lokr_w2_b": right, "alpha": one}, torch.kron(a, left @ right) / 2),
        ({"lokr_w1_a": a[:, :1], "lokr_w1_b": a[:1], "lokr_w2": b, "alpha": one}, torch.kron(a[:, :1] @ a[:1], b)),
        ({"hada_w1_a": u, "hada_w1_b": v, "hada_w2_a": w, "hada_w2_b": x, "alpha": one}, (u @ v) * (w @ x) / 3),
        ({"hada_w1_a": u, "hada_w1_b": v, "hada_w2_a": w, "hada_w2_b": x}, (u @ v) * (w @ x)),
    ]
    for parts, change in cases:
        assert close(merged(base, {f"{key}.{n}": t for n, t in parts.items()}, tmp_path), {weight: change})


def test_a_bias_of_peft_and_a_lora_of_a_convolution_are_merged(base, tmp_path):
    torch.manual_seed(0)
    down, mid, up = torch.randn(3, 16, 1, 1, 1), torch.randn(3, 3, 1, 2, 2), torch.randn(128, 3, 1, 1, 1)
    bias = torch.randn(128)
    parts = {
        f"{Q}.lora_A.default.weight": DOWN,
        f"{Q}.lora_B.default.weight": UP,
        f"{Q}.lora_B.default.bias": bias,
        f"{Q}.alpha": torch.tensor(2.0),
        "lora_unet_patch_embedding.lora_down.weight": down,
        "lora_unet_patch_embedding.lora_mid.weight": mid,
        "lora_unet_patch_embedding.lora_up.weight": up,
    }
    change = torch.einsum("or,rmxyz,mi->oixyz", up.flatten(1), mid, down.flatten(1))
    expected = {f"{Q}.weight": UP @ DOWN / 2, f"{Q}.bias": bias / 2, "patch_embedding.weight": change}
    assert close(merged(base, parts, tmp_path), expected)


BAD = {
    "NaN": ({f"{Q}.lora_A.weight": DOWN * math.nan, f"{Q}.lora_B.weight": UP}, "not finite"),
    "infinity": ({f"{Q}.lora_A.weight": DOWN, f"{Q}.lora_B.weight": UP / 0}, "not finite"),
    "half of it": ({f"{Q}.lora_A.weight": DOWN}, "incomplete"),
    "only alpha": ({f"{Q}.alpha": torch.tensor(1.0)}, "incomplete"),
    "two names": (
        {f"{Q}.lora_A.weight": DOWN, f"{Q}.lora_B.weight": UP, f"diffusion_model.{Q}.lora_A.weight": DOWN + 1},
        "both for",
    ),
    "two adapters": (
        {f"{Q}.lora_{m}.{a}.weight": t.clone() for m, t in (("A", DOWN), ("B", UP)) for a in ("one", "two")},
        r"several LoRAs \(one, two\)",
    ),
    "two ranks": ({f"{Q}.lora_A.weight": DOWN, f"{Q}.lora_B.weight": UP[:, :3].clone()}, "do not share a rank"),
    "no rank": ({f"{Q}.lora_A.weight": torch.zeros(0, 128), f"{Q}.lora_B.weight": torch.zeros(128, 0)}, "share a rank"),
    "whole numbers": ({f"{Q}.lora_A.weight": DOWN.to(torch.int8), f"{Q}.lora_B.weight": UP}, "quantised"),
    "14B": ({f"{Q}.lora_A.weight": torch.zeros(4, 5120), f"{Q}.lora_B.weight": torch.zeros(5120, 4)}, "a 14B network"),
    "a norm": ({"blocks.0.norm3.lora_A.weight": DOWN, "blocks.0.norm3.lora_B.weight": UP}, "for another model"),
    "half a LoKr": ({f"{Q}.lokr_w1": DOWN}, "not all matrices"),
    "dora": ({f"{Q}.lora_A.weight": DOWN, f"{Q}.lora_B.weight": UP, f"{Q}.dora_scale": torch.ones(128, 1)}, "a DoRA"),
    "nothing": ({"step": torch.tensor(3)}, "not a LoRA"),
}


@pytest.mark.parametrize(("tensors", "reason"), BAD.values(), ids=BAD.keys())
def test_a_lora_that_cannot_be_right_is_refused_and_nothing_is_written(tensors, reason, base, tmp_path):
    with pytest.raises(LumosXError, match=reason):
        merged(base, tensors, tmp_path)
    assert not (tmp_path / "out.safetensors").exists()


# ---- fp8


@pytest.mark.parametrize("dtype", [torch.float8_e4m3fn, torch.float8_e5m2])
def test_rounding_by_chance_is_right_on_average_and_leaves_what_the_type_has(dtype):
    torch.manual_seed(0)
    limit = torch.finfo(dtype).max
    for value in (0.0, 1.01, -0.3, 1e-3, 7e-4, 240.7, limit, -limit, 1e-9):
        values = torch.full((200_000,), value)
        rounded = round_by_chance(values, dtype, "a").float()
        step = max(abs(value) * torch.finfo(dtype).eps, torch.finfo(dtype).smallest_normal * torch.finfo(dtype).eps)
        assert abs(rounded.mean() - value) <= step / 50
        assert len(rounded.unique()) <= 2 and (rounded - value).abs().max() <= step
    everything = torch.arange(256, dtype=torch.uint8).view(dtype).float()
    everything = everything[everything.isfinite()]
    assert torch.equal(round_by_chance(everything, dtype, "a").float(), everything)


@pytest.mark.parametrize("scaled", [False, True])
@pytest.mark.parametrize("strength", [0.02, 0.2])
def test_a_small_change_is_kept_in_fp8_and_how_much_is_logged(scaled, strength, base, tmp_path, caplog):
    torch.manual_seed(0)
    tensors = load_file(base)
    scale = tensors[f"{Q}.weight"].abs().max() / 448 if scaled else torch.tensor(1.0)
    tensors[f"{Q}.weight"] = (tensors[f"{Q}.weight"] / scale).to(torch.float8_e4m3fn)
    if scaled:
        tensors[f"{Q}.scale_weight"] = scale
    fp8, lora, out = (tmp_path / f"{name}.safetensors" for name in ("fp8", "lora", "out"))
    save_file(tensors, fp8)
    up = UP * (1 / 8) / (UP @ DOWN).std()
    save_file({f"{Q}.lora_A.weight": DOWN, f"{Q}.lora_B.weight": up}, lora)
    merge_lora(fp8, lora, out, strength)
    before, after = (load_file(path)[f"{Q}.weight"].float() for path in (fp8, out))
    new = load_file(out).get(f"{Q}.scale_weight", torch.tensor(1.0))
    wanted, got = strength * up @ DOWN, after * new - before * scale
    assert (got * wanted).sum() / (wanted * wanted).sum() == pytest.approx(1, abs=0.1)
    [message] = caplog.messages
    kept = KeptChange()
    kept.add(before * scale, before * scale + wanted, after * new)
    assert f"{100 * kept.kept:.0f} % of the change of 1 matrices" in message
    assert f"noise of {kept.noise:.1f} times" in message
    merge_lora(fp8, lora, out, 0.0, overwrite=True)
    assert torch.equal(load_file(out)[f"{Q}.weight"].float(), before)
