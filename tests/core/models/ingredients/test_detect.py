"""A file is Ingredients (CogVideoX), or is named as what it is instead."""

import json
import shutil

import miniature
import pytest
import torch
from safetensors.torch import load_file, save_file

from lumosx_core import LumosXError
from lumosx_core.models.cogvideox.dpm import CogVideoXSchedule
from lumosx_core.models.ingredients.config import IngredientsConfig
from lumosx_core.models.ingredients.model import IngredientsModel
from lumosx_core.models.ingredients.weights.detect import detect_config
from lumosx_core.models.ingredients.weights.load import CONFIG, load_model, open_network, schedule_of

CONFIG_TEXT = json.dumps(miniature.network_config().to_dict())


@pytest.fixture(scope="module")
def release(tmp_path_factory):
    folder = tmp_path_factory.mktemp("release")
    miniature.write_transformer(folder / "transformer")
    return folder


def single(path, weights, config=CONFIG_TEXT):
    save_file({name: value.contiguous() for name, value in weights.items()}, path, {CONFIG: config} if config else None)
    return path


def changed(tmp_path, change):
    weights = miniature.network_state()
    change(weights)
    return single(tmp_path / "network.safetensors", weights)


@pytest.mark.slow
def test_the_released_sizes_are_known_by_their_shapes():
    with torch.device("meta"):
        weights = IngredientsModel(IngredientsConfig(), device="meta", dtype=torch.bfloat16).state_dict()
    assert len(weights) == 1491 and sum(w.numel() * 2 for w in weights.values()) == 12_875_039_168
    assert detect_config(weights) == IngredientsConfig()
    assert detect_config({f"model.diffusion_model.{name}": w for name, w in weights.items()}) == IngredientsConfig()


@pytest.mark.slow
def test_every_form_of_the_files_is_the_same_network(release, tmp_path):
    weights = miniature.network_state()
    wrapped = {f"model.diffusion_model.{name}": value for name, value in weights.items()}
    forms = [
        release,
        release / "transformer",
        release / "transformer" / "diffusion_pytorch_model-00001-of-00002.safetensors",
        single(tmp_path / "plain.safetensors", weights),
        single(tmp_path / "wrapped.safetensors", wrapped),
    ]
    for path in forms:
        network = open_network(path)
        assert network.config == miniature.network_config() and network.path == path
        built = load_model(path).state_dict()
        assert built.keys() == weights.keys()
        assert all(torch.equal(built[name], weights[name]) for name in weights), path


def test_a_network_of_other_sizes_without_its_config_is_refused(tmp_path):
    path = single(tmp_path / "network.safetensors", miniature.network_state(), config=None)
    with pytest.raises(LumosXError, match="It has 4 blocks, but .* as released has 42.*config.json"):
        open_network(path)


def test_a_config_of_another_network_is_refused(release, tmp_path):
    shutil.copytree(release, tmp_path / "copy")
    file = tmp_path / "copy" / "transformer" / "config.json"
    for change, message in (
        ({"num_layers": 6}, "It has 4 blocks, but its config says 6"),
        ({"num_layers": 10**9}, "It has 4 blocks, but its config says 1000000000"),
        ({"text_embed_dim": 48}, "'patch_embed.text_proj.weight' is .64, 64., but its config asks for .64, 48."),
        ({"text_embed_dim": 2**62}, "sizes that no network can have"),
        ({"is_kps": True}, "is_kps is True"),
        ({"surprise": 1}, "Unknown key 'surprise'"),
    ):
        miniature.write_json(file, {**miniature.TRANSFORMER_CONFIG, **change})
        with pytest.raises(LumosXError, match=message) as refused:
            open_network(tmp_path / "copy")
        assert str(tmp_path / "copy" / "transformer") in str(refused.value)
    file.write_text("{")
    with pytest.raises(LumosXError, match="config.json is not JSON"):
        open_network(tmp_path / "copy")


def without(*starts):
    def change(weights):
        for name in [name for name in weights if name.startswith(starts)]:
            del weights[name]

    return change


def only(**tensors):
    def change(weights):
        weights.clear()
        weights.update({name.replace("__", "."): torch.zeros(2, 2) for name in tensors})

    return change


def plain(channels):
    def change(weights):
        without("router.", "local_facial_extractor.", "perceiver_cross_attention.")(weights)
        weights["patch_embed.proj.weight"] = torch.zeros(64, channels, 2, 2)

    return change


def version_1_5(weights):
    plain(32)(weights)
    weights["patch_embed.proj.weight"] = torch.zeros(64, 256)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (plain(16), "a plain CogVideoX text-to-video network without faces"),
        (plain(32), "a plain CogVideoX image-to-video network without faces"),
        (version_1_5, "a CogVideoX 1.5 network without faces"),
        (without("router."), "ConsisID, which has the same network for one face and no router"),
        (without("transformer_blocks."), "a part of a network.*'transformer_blocks' is missing"),
        (without("perceiver_cross_attention."), "a part of a network.*'perceiver_cross_attention' is missing"),
        (without("patch_embed."), "a part of a network.*'patch_embed' is missing"),
        (without("transformer_blocks.1."), r"incomplete: blocks \[1\] of 4 are missing"),
        (without("router.1.to_q."), "incomplete: 1 of .* tensors are missing, such as .'router.1.to_q.weight'"),
        (lambda w: w.update({"proj_out.weight": torch.zeros(8, 64)}), r"'proj_out.weight' is .8, 64., but its config"),
        (lambda w: w.update({"ofs_embedding.linear_1.weight": torch.zeros(2, 2)}), "1 tensors that .* does not have"),
        (only(transformer_blocks__0__attn1__to_q__lora_A__weight=1), "is a LoRA.*LTX-Video that is also called Ingred"),
        (only(blocks__0__self_attn__q__weight=1), "a Wan or LumosX network"),
        (only(patchify_proj__weight=1), "an LTX-Video network.*also called Ingredients"),
        (only(blocks__0__norm1__linear__weight=1), "CogVideoX under ComfyUI's own names"),
        (only(encoder__conv_in__conv__weight=1), "the VAE of CogVideoX"),
        (only(shared__weight=1, encoder__block__0__x=1), "a text encoder"),
        (only(visual__blocks__0__attn__q_proj__weight=1), "EVA02-CLIP, which reads faces.*face_encoder"),
        (only(double_blocks__0__img_attn__qkv__weight=1), "a Flux or HunyuanVideo transformer"),
        (only(transformer_blocks__0__attn__to_q__weight=1), "a diffusers transformer of another model"),
        (only(something=1), "It is not a network of Ingredients"),
    ],
)  # fmt: skip
def test_other_networks_are_named(tmp_path, change, message):
    with pytest.raises(LumosXError, match=f"network.safetensors cannot be used. .*{message}"):
        open_network(changed(tmp_path, change))


def test_a_lost_shard_is_named(release, tmp_path):
    shutil.copytree(release, tmp_path / "copy")
    (tmp_path / "copy" / "transformer" / "diffusion_pytorch_model-00002-of-00002.safetensors").unlink()
    with pytest.raises(LumosXError, match="diffusion_pytorch_model-00002-of-00002.safetensors is missing"):
        open_network(tmp_path / "copy")


def test_the_schedule_of_a_release_is_read_beside_the_network_and_from_a_converted_file(release, tmp_path):
    from lumosx_core.models.ingredients.weights.convert import convert_network

    assert schedule_of(release) is None
    shutil.copytree(release, tmp_path / "copy")
    config = {**miniature.SCHEDULER_CONFIG, "snr_shift_scale": 2.0}
    miniature.write_json(tmp_path / "copy" / "scheduler" / "scheduler_config.json", config)
    single = convert_network(tmp_path / "copy", tmp_path / "single.safetensors")
    again = convert_network(single, tmp_path / "again.safetensors")
    for path in (tmp_path / "copy", tmp_path / "copy" / "transformer", single, again):
        assert schedule_of(path) == CogVideoXSchedule(snr_shift_scale=2.0)
    config["prediction_type"] = "epsilon"
    miniature.write_json(tmp_path / "copy" / "scheduler" / "scheduler_config.json", config)
    with pytest.raises(LumosXError, match="prediction_type = 'epsilon'"):
        convert_network(tmp_path / "copy", tmp_path / "other.safetensors")


def test_weights_that_are_no_numbers_are_refused_as_they_load(tmp_path):
    path = changed(tmp_path, lambda weights: weights["router.0.to_q.weight"].fill_(float("nan")))
    with pytest.raises(LumosXError, match=r"'router.0.to_q.weight' has values that are not finite"):
        load_model(path)


def test_the_release_keeps_its_dtype_unless_another_is_asked_for(tmp_path):
    half = {name: value.bfloat16() for name, value in miniature.network_state().items()}
    path = single(tmp_path / "half.safetensors", half)
    assert next(load_model(path).parameters()).dtype == torch.bfloat16
    assert next(load_model(path, dtype=torch.float32).parameters()).dtype == torch.float32
    assert load_file(path)["router.0.id_merge.weight"].dtype == torch.bfloat16
