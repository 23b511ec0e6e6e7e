"""With one face the network is ConsisID, which diffusers computes, bit for bit in float32."""

from __future__ import annotations

from dataclasses import asdict

import pytest
import torch

from lumosx_core import IngredientsConfig, IngredientsModel
from lumosx_core.models.cogvideox.config import CogVideoXConfig
from lumosx_core.models.cogvideox.positions import position_table, rotary_table

SIZES = {
    "num_attention_heads": 6,
    "attention_head_dim": 16,
    "in_channels": 8,
    "out_channels": 4,
    "time_embed_dim": 32,
    "text_embed_dim": 24,
    "num_layers": 4,
    "sample_width": 12,
    "sample_height": 8,
    "sample_frames": 9,
    "max_text_seq_length": 7,
    "use_rotary_positional_embeddings": True,
    "use_learned_positional_embeddings": True,
    "is_train_face": True,
    "local_face_scale": 0.7,
    "LFE_id_dim": 20,
    "LFE_vit_dim": 32,
    "LFE_dim_head": 8,
    "LFE_num_heads": 4,
    "LFE_num_querie": 8,
    "LFE_output_dim": 64,
    "cross_attn_dim_head": 12,
    "cross_attn_num_heads": 4,
}


@pytest.fixture(scope="module")
def consisid():
    diffusers = pytest.importorskip("diffusers", minversion="0.35")
    torch.manual_seed(0)
    network = diffusers.ConsisIDTransformer3DModel(**SIZES)
    with torch.no_grad():
        for parameter in [*network.parameters(), network.patch_embed.pos_embedding]:
            parameter.normal_(std=0.3)  # so that no norm is the identity, and no bias 0
    return network.eval().requires_grad_(False)


@pytest.fixture(scope="module")
def network(consisid) -> IngredientsModel:
    """The same weights; the router has others, and with one face it decides nothing."""
    network = IngredientsModel(IngredientsConfig.from_dict({**consisid.config, "router": {"inner_dim": 40}}))
    missing, unexpected = network.load_state_dict(consisid.state_dict(), strict=False)
    assert unexpected == [] and all(name.startswith("router.") for name in missing)
    return network.eval().requires_grad_(False)


@pytest.mark.parametrize("rotated", [True, False])
@pytest.mark.parametrize("frames", [3, 2, 5], ids=lambda frames: f"{frames} latent frames")
@pytest.mark.parametrize("batch", [1, 2])
def test_one_face_is_consisid_bit_for_bit(consisid, network, batch, frames, rotated):
    torch.manual_seed(1)
    latents, text = torch.randn(batch, frames, 8, 8, 12), torch.randn(batch, 7, 24)
    timestep, rope = torch.tensor([637, 3])[:batch], rotary_table(network.config.transformer, frames, 8, 12)
    id_cond, hidden = torch.randn(1, 20), torch.randn(1, 5, 17, 32)
    expected = consisid(
        latents,
        text,
        timestep,
        image_rotary_emb=rope if rotated else None,
        id_cond=id_cond,
        id_vit_hidden=[hidden[:, scale] for scale in range(5)],
    ).sample
    faces = network.encode_faces(id_cond, hidden)
    for given in (faces, network.prepare_faces(faces)):
        output = network(latents, timestep, text, given, rope=rope if rotated else None, guidance="per_branch")
        assert torch.equal(output, expected)


@pytest.mark.parametrize("frames", [3, 5])
def test_the_computed_position_table_is_bit_identical(frames):
    embeddings = pytest.importorskip("diffusers.models.embeddings")
    config = CogVideoXConfig(num_attention_heads=3)
    expected = embeddings.get_3d_sincos_pos_embed(config.width, (45, 30), frames, 1.875, 1.0, output_type="pt")
    table = position_table(config, frames)
    assert not table[:, :226].any()
    assert torch.equal(table[:, 226:], expected.flatten(0, 1)[None].float())


@pytest.mark.parametrize(("rows", "columns", "frames"), [(30, 45, 13), (4, 5, 3), (48, 45, 2), (45, 32, 5)])
def test_the_rotation_is_bit_identical(rows, columns, frames):
    """Frames of another shape are stretched onto the trained one."""
    embeddings = pytest.importorskip("diffusers.models.embeddings")
    pipeline = pytest.importorskip("diffusers.pipelines.cogvideo.pipeline_cogvideox")
    sizes = asdict(IngredientsConfig().transformer) | {"sample_height": 2 * rows, "sample_width": 2 * columns}
    crop = pipeline.get_resize_crop_region_for_grid((rows, columns), 45, 30)
    expected = embeddings.get_3d_rotary_pos_embed(64, crop, (rows, columns), frames)
    table = rotary_table(IngredientsConfig.from_dict(sizes).transformer, frames, 2 * rows, 2 * columns)
    assert torch.equal(table[0], expected[0]) and torch.equal(table[1], expected[1])
