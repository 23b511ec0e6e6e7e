"""The image tower of EVA02-CLIP, against recorded numbers and timm's, and files that are not it."""

import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny_faces import EVA_SIZES, eva_state, write_eva_clip
from torch.nn import functional as F

from lumosx_core.errors import LumosXError
from lumosx_core.models.ingredients.faces.eva_clip import MEAN, STATES_BEFORE, STD, EvaClip
from lumosx_core.models.ingredients.faces.eva_tower import EvaSizes


@pytest.fixture(scope="module")
def recorded(golden_ingredients):
    return load_file(golden_ingredients / "vision" / "golden.safetensors")


@pytest.fixture(scope="module")
def recorded_clip(golden_ingredients):
    return EvaClip.load(golden_ingredients / "vision" / "weights.safetensors")


def relative_error(found: torch.Tensor, expected: torch.Tensor) -> float:
    return float((found - expected).abs().max() / expected.abs().max())


def image(seed: int = 0, side: int = 512) -> torch.Tensor:
    small = torch.rand(1, 3, 8, 8, generator=torch.Generator().manual_seed(seed))
    return F.interpolate(small, size=(side, side), mode="bilinear")[0].permute(1, 2, 0)


@torch.no_grad()
def test_states_and_output_are_the_recorded_ones(recorded, recorded_clip):
    states, pooled = recorded_clip.tower(recorded["pixels"], STATES_BEFORE)
    assert relative_error(states.transpose(0, 1), recorded["hidden"]) < 5e-6
    assert relative_error(pooled, recorded["pooled"]) < 5e-6


def test_the_sizes_of_the_release_are_read_from_shapes():
    shapes = {
        "patch_embed.proj.weight": (1024, 3, 14, 14),
        "pos_embed": (1, 577, 1024),
        "blocks.0.mlp.w1.weight": (2730, 1024),
        "blocks.23.norm1.weight": (1024,),
        "head.weight": (768, 1024),
    }
    sizes = EvaSizes.of({name: torch.empty(shape, device="meta") for name, shape in shapes.items()})
    assert sizes == EvaSizes(width=1024, heads=16, blocks=24, feed_forward=2730, patch=14, grid=24, out=768)
    assert (sizes.side, sizes.tokens) == (336, 577)


@pytest.mark.slow
@torch.no_grad()
def test_the_tower_is_the_one_of_timm(tmp_path):
    eva = pytest.importorskip("timm.models.eva", reason="timm is not installed")
    clip = EvaClip.load(write_eva_clip(tmp_path / "clip.pt"))
    theirs = eva.Eva(
        img_size=56,
        patch_size=14,
        num_classes=24,
        embed_dim=48,
        depth=24,
        num_heads=3,
        mlp_ratio=128 / 48,
        qkv_fused=False,
        swiglu_mlp=True,
        scale_mlp=True,
        scale_attn_inner=True,
        use_rot_pos_emb=True,
        ref_feat_shape=(16, 16),
        global_pool="token",
    )
    state = {name: tensor.float() for name, tensor in eva_state().items()}
    theirs.load_state_dict(eva.checkpoint_filter_fn(state, theirs))
    inputs: list[torch.Tensor] = []
    for number in STATES_BEFORE:
        theirs.blocks[number].register_forward_pre_hook(lambda _, given: inputs.append(given[0]))
    pixels = torch.randn(2, 3, 56, 56, generator=torch.Generator().manual_seed(1))
    expected = theirs.eval()(pixels)
    states, pooled = clip.tower(pixels, STATES_BEFORE)
    assert relative_error(states, torch.stack(inputs, dim=1)) < 5e-6
    assert relative_error(pooled, expected) < 5e-6


@torch.no_grad()
def test_a_crop_is_resized_with_a_bicubic_filter_and_normalised(tmp_path):
    clip = EvaClip.load(write_eva_clip(tmp_path / "clip.pt"))
    crop = image()
    pixels = F.interpolate(crop.permute(2, 0, 1)[None], size=(56, 56), mode="bicubic", antialias=True)
    pixels = (pixels - torch.tensor(MEAN).view(1, 3, 1, 1)) / torch.tensor(STD).view(1, 3, 1, 1)
    expected_states, expected = clip.tower(pixels, STATES_BEFORE)
    states, pooled = clip.encode([crop])
    assert torch.equal(states, expected_states)
    assert torch.equal(pooled, F.normalize(expected, dim=-1))
    assert states.shape == (1, 5, 17, 48)


def test_faces_are_read_one_by_one(tmp_path):
    clip = EvaClip.load(write_eva_clip(tmp_path / "clip.pt"))
    together, pooled = clip.encode([image(0), image(1)])
    for number in (0, 1):
        alone, output = clip.encode([image(number)])
        assert torch.equal(together[number], alone[0])
        assert torch.equal(pooled[number], output[0])
    assert not torch.allclose(together[0], together[1])


def test_what_training_saved_beside_the_weights_changes_nothing(tmp_path):
    plain = EvaClip.load(write_eva_clip(tmp_path / "plain.pt"))
    state = eva_state()
    state |= {"visual.rope.freqs_cos": torch.zeros(16, 16), "visual.blocks.0.attn.rope.freqs_sin": torch.zeros(16, 16)}
    state["visual.mask_token"] = torch.ones(1, 1, 48)
    torch.save({"state_dict": {f"module.{name}": tensor for name, tensor in state.items()}}, tmp_path / "trained.pt")
    torch.save({f"module.{name}": tensor for name, tensor in state.items()}, tmp_path / "module.pt")
    for name in ("trained.pt", "module.pt"):
        assert torch.equal(EvaClip.load(tmp_path / name).encode([image()])[0], plain.encode([image()])[0])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda state: state.pop("visual.blocks.7.mlp.w3.bias"), r"visual\.blocks\.7\.mlp\.w3\.bias is missing"),
        (lambda state: state.pop("visual.pos_embed"), "no tensor 'pos_embed'"),
        (lambda state: state.update({"visual.norm.weight": torch.ones(5)}), r"shape \(5,\), expected \(48,\)"),
        (
            lambda state: state.update({"visual.blocks.0.ls1": torch.ones(5)}),
            "should not have, first visual.blocks.0.ls1",
        ),
        (lambda state: state.update({"visual.blocks.9999.x": torch.ones(1)}), "10000 blocks, expected 24"),
        (lambda state: state["visual.cls_token"].fill_(float("nan")), "not finite"),
    ],
)
def test_a_damaged_tower_is_refused_and_the_message_names_the_tensor(tmp_path, change, message):
    state = eva_state()
    change(state)
    torch.save(state, tmp_path / "clip.pt")
    with pytest.raises(LumosXError, match=message) as error:
        EvaClip.load(tmp_path / "clip.pt")
    assert str(tmp_path / "clip.pt") in str(error.value)


def test_another_network_is_refused_with_what_it_holds_and_what_was_expected(tmp_path):
    save_file({"vision_model.post_layernorm.weight": torch.ones(4)}, tmp_path / "clip.safetensors")
    with pytest.raises(LumosXError, match=r"vision_model\.post.*Expected: EVA02_CLIP_L_336_psz14_s6B\.pt"):
        EvaClip.load(tmp_path / "clip.safetensors")


def test_a_tower_with_too_few_blocks_is_refused(tmp_path):
    sizes = EvaSizes(**{**vars(EVA_SIZES), "blocks": 12})
    with pytest.raises(LumosXError, match="12 blocks, expected 24"):
        EvaClip.load(write_eva_clip(tmp_path / "clip.pt", sizes=sizes))
