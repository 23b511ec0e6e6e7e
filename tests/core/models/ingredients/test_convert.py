"""Conversion to single files: every precision, with what the readers need, whole or not at all."""

import json

import miniature
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from lumosx_core import LumosXConfig, LumosXError, LumosXModel
from lumosx_core.commands.main import main
from lumosx_core.models.cogvideox.t5 import T5Encoder
from lumosx_core.models.conversion import convert_any
from lumosx_core.models.ingredients.weights.convert import convert_network, convert_text_encoder, convert_vae
from lumosx_core.models.ingredients.weights.load import CONFIG, load_model, open_network

PRECISIONS = {"bf16": torch.bfloat16, "fp16": torch.float16}


@pytest.fixture(scope="module")
def release(tmp_path_factory):
    folder = tmp_path_factory.mktemp("release")
    miniature.write_transformer(folder / "transformer")
    miniature.write_tokenizer(folder / "tokenizer")
    miniature.write_text_encoder(folder / "text_encoder")
    return folder


def metadata(path):
    with safe_open(path, framework="pt") as file:
        return file.metadata()


def output_of(model):
    random = miniature.generator(1)
    latents, text = torch.randn(1, 3, 32, 8, 10, generator=random), torch.randn(1, 226, 64, generator=random)
    id_cond, hidden = torch.randn(2, 44, generator=random), torch.randn(2, 5, 17, 48, generator=random)
    with torch.no_grad():
        return model(latents, torch.tensor([500]), text, model.encode_faces(id_cond, hidden))


@pytest.mark.parametrize("dtype", PRECISIONS)
def test_plain_precisions_are_a_cast_of_every_tensor_with_the_config(release, tmp_path, dtype):
    path = convert_network(release, tmp_path / "a.safetensors", dtype)
    weights, found = miniature.network_state(), load_file(path)
    assert found.keys() == weights.keys()
    assert all(torch.equal(found[name], weights[name].to(PRECISIONS[dtype])) for name in weights)
    facts = metadata(path)
    assert json.loads(facts.pop(CONFIG)) == miniature.network_config().to_dict()
    assert facts == {"format": "pt", "ingredients_source": release.name, "ingredients_dtype": dtype}


def test_fp8_scales_the_matrices_of_the_base_model_alone(release, tmp_path):
    stored = load_file(convert_network(release, tmp_path / "a.safetensors", "fp8_e4m3fn"))
    small = {name for name, tensor in stored.items() if tensor.dtype == torch.float8_e4m3fn}
    expected = {
        f"transformer_blocks.{block}.{layer}.weight"
        for block in range(4)
        for layer in ("attn1.to_q", "attn1.to_k", "attn1.to_v", "attn1.to_out.0", "ff.net.0.proj", "ff.net.2")
    }
    assert small == expected | {"scaled_fp8"}
    assert {name for name in stored if name.endswith(".scale_weight")} == {
        name.removesuffix("weight") + "scale_weight" for name in expected
    }
    for name in ("router.0.to_q.weight", "perceiver_cross_attention.0.to_kv.weight", "patch_embed.proj.weight"):
        assert stored[name].dtype == torch.bfloat16


@pytest.mark.parametrize(("dtype", "bound"), [("bf16", 2e-2), ("fp16", 3e-3), ("fp8_e4m3fn", 8e-2)])
def test_the_converted_network_computes_what_the_source_does(release, tmp_path, dtype, bound):
    expected = output_of(load_model(release))
    found = output_of(load_model(convert_network(release, tmp_path / "a.safetensors", dtype), dtype=torch.float32))
    error = ((found - expected).norm() / expected.norm()).item()
    assert 0 < error < bound, f"relative error {error:.2e}"


@pytest.mark.slow
def test_a_converted_file_converts_again_without_further_loss(release, tmp_path):
    first = convert_network(release, tmp_path / "a.safetensors")
    second = convert_network(first, tmp_path / "b.safetensors")
    assert all(torch.equal(tensor, load_file(second)[name]) for name, tensor in load_file(first).items())
    assert metadata(second)[CONFIG] == metadata(first)[CONFIG]


@pytest.mark.parametrize(("dtype", "bound"), [("bf16", 0.02), ("fp16", 0.002), ("fp8_e4m3fn", 0.2)])
def test_a_text_encoder_has_its_tokeniser_in_it(release, tmp_path, dtype, bound):
    path = convert_text_encoder(release, tmp_path / "t5.safetensors", dtype)
    [(ids, expected)], [(found_ids, found)] = (T5Encoder(each).encode_all(["Two men."]) for each in (release, path))
    assert found_ids == ids
    error = ((found - expected).norm() / expected.norm()).item()
    assert 0 < error < bound, f"relative error {error:.2e}"
    stored = load_file(path)
    assert bytes(stored["spiece_model"].numpy()) == miniature.tokenizer_bytes()
    matrices = {name for name, tensor in stored.items() if tensor.dtype == torch.float8_e4m3fn} - {"scaled_fp8"}
    assert len(matrices) == (2 * 7 if dtype == "fp8_e4m3fn" else 0)


def test_a_text_encoder_loses_what_is_not_the_encoders(release, tmp_path):
    weights = {**miniature.text_encoder_state(), "decoder.block.0.layer.0.SelfAttention.q.weight": torch.zeros(2, 2)}
    weights["spiece_model"] = torch.frombuffer(bytearray(miniature.tokenizer_bytes()), dtype=torch.uint8)
    save_file(weights, tmp_path / "whole.safetensors")
    path = convert_text_encoder(tmp_path / "whole.safetensors", tmp_path / "t5.safetensors")
    assert not [name for name in load_file(path) if name.startswith("decoder.")]


@pytest.mark.slow
def test_a_vae_keeps_its_values_and_has_its_config(tmp_path):
    pytest.importorskip("diffusers")
    from lumosx_core.models.cogvideox.vae import CogVideoXVae

    miniature.write_vae(tmp_path / "vae")
    path = convert_vae(tmp_path, tmp_path / "cogvideox_vae.safetensors")
    source, found = CogVideoXVae.load(tmp_path), CogVideoXVae.load(path)
    assert found.config == source.config
    for ours, theirs in zip(found.network.parameters(), source.network.parameters(), strict=True):
        assert torch.equal(ours, theirs)


def test_another_file_is_no_vae(release, tmp_path):
    with pytest.raises(LumosXError, match="is a video or image network and not the VAE of CogVideoX"):
        convert_vae(release / "transformer", tmp_path / "vae.safetensors")
    assert not (tmp_path / "vae.safetensors").exists()


def test_the_command_finds_the_family_by_the_content(release, tmp_path, capsys):
    torch.manual_seed(0)
    lumosx = LumosXModel(LumosXConfig(dim=128, ffn_dim=256, num_heads=1, num_layers=1, text_dim=64))
    save_file(lumosx.state_dict(), tmp_path / "lumosx.safetensors")
    for source in (release, release / "transformer", tmp_path / "lumosx.safetensors"):
        path = tmp_path / f"{source.stem}_bf16.safetensors"
        assert main(["convert", str(source), str(path)]) == 0
        assert f"The model is {path.resolve()}" in capsys.readouterr().out
        assert ("router.0.to_q.weight" in load_file(path)) == (source.suffix == "")
    assert open_network(tmp_path / "transformer_bf16.safetensors").config == miniature.network_config()


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["patch_embed.proj.weight", "transformer_blocks.0.norm1.linear.weight"], "a CogVideoX network without faces"),
        (["transformer_blocks.0.attn1.to_q.lora_A.weight"], "It is a LoRA"),
        (["decoder.upsamples.0.residual.0.gamma"], "a Wan VAE"),
    ],
)
def test_other_networks_are_named_and_nothing_is_left(tmp_path, names, message):
    save_file({name: torch.zeros(2, 2, 2) for name in names}, tmp_path / "other.safetensors")
    with pytest.raises(LumosXError, match=message):
        convert_any(tmp_path / "other.safetensors", tmp_path / "a.safetensors")
    assert [path.name for path in tmp_path.iterdir()] == ["other.safetensors"]


def test_impossible_requests_are_refused_before_anything_is_read(release, tmp_path):
    with pytest.raises(LumosXError, match="dtype 'int4' is not possible"):
        convert_any(release, tmp_path / "a.safetensors", "int4")
    with pytest.raises(LumosXError, match="must end in .safetensors"):
        convert_any(release, tmp_path / "a.pt")
    (tmp_path / "a.safetensors").write_bytes(b"precious")
    for convert in (convert_any, convert_network, convert_text_encoder, convert_vae):
        with pytest.raises(LumosXError, match="exists already"):
            convert(release, tmp_path / "a.safetensors")
    assert (tmp_path / "a.safetensors").read_bytes() == b"precious"


def test_a_value_that_does_not_fit_is_named_and_nothing_is_left(tmp_path):
    weights = miniature.network_state()
    weights["router.0.to_q.weight"][0, 0] = 1e6
    facts = {CONFIG: json.dumps(miniature.network_config().to_dict())}
    save_file(weights, tmp_path / "network.safetensors", facts)
    with pytest.raises(LumosXError, match="'router.0.to_q.weight' has values that are not finite in float16"):
        convert_network(tmp_path / "network.safetensors", tmp_path / "a.safetensors", "fp16")
    assert [path.name for path in tmp_path.iterdir()] == ["network.safetensors"]
