"""Detection of a network by tensor names and shapes: LumosX and plain Wan2.1 are accepted, everything else is named."""

from __future__ import annotations

import json

import pytest
import torch

from lumosx_core import LumosXConfig, LumosXError, LumosXModel
from lumosx_core.models.lumosx.weights.load import detect_config

SMALL = LumosXConfig(dim=256, ffn_dim=64, num_heads=2, num_layers=3, text_dim=16)
WAN_14B = LumosXConfig(dim=5120, ffn_dim=13824, num_heads=40, num_layers=40)


def shapes_of(config: LumosXConfig) -> dict[str, torch.Tensor]:
    return LumosXModel(config, device="meta").state_dict()


def meta(*shape: int) -> torch.Tensor:
    return torch.empty(shape, device="meta")


def test_the_released_names_and_shapes_are_the_default_model(golden):
    released = json.loads((golden / "released_state_dict.json").read_text())["state_dict"]
    ours = shapes_of(LumosXConfig())
    assert {name: list(tensor.shape) for name, tensor in ours.items()} == released
    assert len(released) == 825
    assert detect_config({name: meta(*shape) for name, shape in released.items()}) == LumosXConfig()


@pytest.mark.parametrize("config", [SMALL, WAN_14B], ids=["small", "Wan2.1 14B"])
def test_sizes_are_read_from_the_shapes(config):
    assert detect_config(shapes_of(config)) == config


def test_prefixes_quantisation_notes_and_step_counters_do_no_harm():
    shapes = {f"model.diffusion_model.{name}": tensor for name, tensor in shapes_of(SMALL).items()}
    shapes |= {"model.diffusion_model.blocks.0.ffn.0.scale_weight": meta(1), "model.diffusion_model.step": meta()}
    assert detect_config(shapes) == SMALL


@pytest.mark.parametrize(
    ("change", "what"),
    [
        (lambda s: s | {"patch_embedding.weight": meta(256, 36, 1, 2, 2)}, "image-to-video.*36 channels"),
        (lambda s: s | {"patch_embedding.weight": meta(256, 48, 1, 2, 2)}, "Wan2.2 5B.*48 channels"),
        (lambda s: s | {"patch_embedding.weight": meta(256, 20, 1, 2, 2)}, "unknown kind.*20 channels"),
        (lambda s: s | {"patch_embedding.weight": meta(256, 64)}, r"has shape \(256, 64\)"),
        (lambda s: s | {"img_emb.proj.0.weight": meta(1280)}, "image-to-video"),
        (lambda s: s | {"vace_blocks.0.after_proj.weight": meta(256, 256)}, "VACE"),
        (lambda s: s | {"control_adapter.conv.weight": meta(2, 2)}, "does not have.*control_adapter"),
        (lambda s: {n: t for n, t in s.items() if ".1." not in n}, r"blocks \[1\] of 3 are missing"),
        (lambda s: {n: t for n, t in s.items() if n != "text_embedding.0.weight"}, "'text_embedding.0.weight' is miss"),
        (lambda s: {n: t for n, t in s.items() if "cross_attn.o" not in n}, "6 of .* missing.*cross_attn.o"),
        (lambda s: s | {"blocks.2.modulation": meta(1, 6, 128)}, r"'blocks.2.modulation' is \(1, 6, 128\)"),
        (lambda s: {}, "no tensor at all"),
    ],
)
def test_other_wan_networks_and_damaged_sets_are_refused_by_what_they_are(change, what):
    with pytest.raises(LumosXError, match=what):
        detect_config(change(shapes_of(SMALL)))


@pytest.mark.parametrize(
    ("names", "what"),
    [
        (["diffusion_model.blocks.0.self_attn.q.lora_A.weight"], "LoRA.*stock LoRA loader"),
        (["lora_unet_blocks_0_self_attn_q.lora_down.weight"], "LoRA"),
        (
            ["condition_embedder.time_embedder.linear_1.weight", "blocks.0.attn1.to_q.weight"],
            "diffusers' names.*native",
        ),
        (["encoder.conv1.weight", "decoder.upsamples.0.residual.0.gamma"], "Wan VAE.*models/vae"),
        (["encoder.conv_in.weight", "decoder.conv_in.weight"], "a VAE"),
        (["shared.weight", "encoder.block.0.layer.0.SelfAttention.q.weight"], "text encoder.*models/text_encoders"),
        (["token_embedding.weight", "blocks.0.attn.q.weight"], "text encoder"),
        (["model.layers.0.self_attn.q_proj.weight"], "text encoder"),
        (["model.diffusion_model.input_blocks.0.0.weight"], "Stable Diffusion U-Net"),
        (["model.diffusion_model.joint_blocks.0.x.weight"], "Stable Diffusion 3"),
        (["double_blocks.0.img_attn.qkv.weight"], "Flux"),
        (["transformer_blocks.0.attn1.to_q.weight"], "diffusers transformer"),
        (
            ["transformer_blocks.0.attn1.to_q.weight", "router.0.to_q.weight"],
            "network for faces, such as Ingredients .CogVideoX.*--family ingredients",
        ),
        (["layer1.0.conv1.weight"], "no LumosX or Wan2.1 text-to-video network.*layer1.0.conv1.weight"),
    ],
)
def test_other_models_are_named_with_what_was_found_and_what_to_do(names, what):
    with pytest.raises(LumosXError, match=what):
        detect_config({name: meta(4, 4) for name in names})
