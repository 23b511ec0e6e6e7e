"""CogVideoX's T5: ids and states of transformers, 226 positions, and files of every form."""

import json
import re
import shutil

import miniature
import pytest
import torch
from safetensors.torch import load_file, save_file

from lumosx_core import LumosXError
from lumosx_core.models.cogvideox.t5 import TEXT_LEN, T5Encoder

pytest.importorskip("sentencepiece")

PROMPTS = [
    "Two men talk at a table.",
    "  spaces   between\tand around ",
    "A “quoted” word, don't — ellipsis…",
    "ﬁne ① ½ naïve 日本 🙂",
    "",
    "PERSON_1 wears glasses; 24 fps, 4:3 (close-up) #2",
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The text encoder and the tokenizer of a release."""
    folder = tmp_path_factory.mktemp("release")
    miniature.write_tokenizer(folder / "tokenizer")
    miniature.write_text_encoder(folder / "text_encoder")
    return folder


@pytest.fixture(scope="module")
def encoder(folder):
    return T5Encoder(folder)


def state():
    tokenizer = torch.frombuffer(bytearray(miniature.tokenizer_bytes()), dtype=torch.uint8)
    return {**miniature.text_encoder_state(), "spiece_model": tokenizer}


def single(path, change=lambda weights: None):
    weights = state()
    change(weights)
    save_file(weights, path)
    return path


@pytest.mark.slow
def test_ids_and_states_are_those_of_transformers(encoder, folder):
    transformers = pytest.importorskip("transformers")
    tokenizer = transformers.T5Tokenizer.from_pretrained(str(folder / "tokenizer"))
    theirs = transformers.T5EncoderModel.from_pretrained(str(folder / "text_encoder")).eval()
    expected = tokenizer(PROMPTS, padding="max_length", max_length=TEXT_LEN, truncation=True, return_tensors="pt")
    with torch.no_grad():
        states = theirs(expected.input_ids)[0]
    for (ids, embeddings), row, state in zip(encoder.encode_all(PROMPTS), expected.input_ids, states, strict=True):
        assert ids == row[: len(ids)].tolist() and row[len(ids) :].eq(0).all()
        assert embeddings.shape == (TEXT_LEN, miniature.TEXT_DIM) and embeddings.dtype == torch.float32
        assert (embeddings - state).abs().max() <= 2e-5


def test_padding_is_attended_to(encoder):
    """As released: the same words have other states where less padding is behind them."""
    [(ids, padded)] = encoder.encode_all(["a man"])
    alone = encoder.states(torch.tensor([ids]), torch.ones(1, len(ids), dtype=torch.bool))[0]
    assert (padded[: len(ids)] - alone).abs().max() > 0.01
    assert padded[len(ids) :].abs().max() > 0.1


def test_no_weight_stays_in_memory_after_encoding(encoder):
    encoder.encode_all(["a man"])
    assert {parameter.device.type for parameter in encoder._network.parameters()} == {"meta"}


def test_a_prompt_of_226_tokens_is_read_and_a_longer_one_is_refused(encoder):
    def words(count):
        return "a " * count  # one token each

    assert len(encoder.tokenize_prompt(words(225))) == TEXT_LEN == 226
    encoder.encode_all([words(225)])
    with pytest.raises(LumosXError, match="has 227 tokens.*the model reads 226. Shorten it by about 1 tokens"):
        encoder.encode_all(["fine", words(226)])


@pytest.mark.parametrize("control", ["</s>", "<pad>", "<unk>", "<extra_id_0>"])
def test_letters_of_a_control_token_are_refused(encoder, control):
    with pytest.raises(LumosXError, match=f"contains {re.escape(control)}, which T5 reads as a control token"):
        encoder.encode_all([f"a man {control} and more"])


@pytest.mark.parametrize("prompt", ["两个男人在桌边交谈。", "Двое мужчин разговаривают за столом.", "🙂🙂"])
def test_a_script_that_t5_does_not_know_is_refused_and_not_read_as_unknown_words(encoder, prompt):
    with pytest.raises(LumosXError, match="T5 knows . of the .* letters of the prompt.*Write it in English"):
        encoder.encode_all([prompt])
    encoder.encode_all([f"Two men talk at a table, and {prompt[:2]} says one."])


def test_every_form_of_the_files_gives_the_same(encoder, folder, tmp_path):
    [(ids, expected)] = encoder.encode_all(["two men"])
    shutil.copytree(folder, tmp_path / "copy")
    (tmp_path / "t5").mkdir()
    without = single(tmp_path / "t5" / "t5xxl.safetensors", lambda weights: weights.pop("spiece_model"))
    shutil.copy(folder / "tokenizer" / "spiece.model", tmp_path / "t5")

    def embedded(weights):
        weights["text_encoders.t5xxl.transformer.encoder.embed_tokens.weight"] = weights.pop("shared.weight")
        for name in [name for name in weights if name.startswith("encoder.")]:
            weights[f"text_encoders.t5xxl.transformer.{name}"] = weights.pop(name)

    forms = [
        tmp_path / "copy",
        tmp_path / "copy" / "text_encoder",
        tmp_path / "copy" / "text_encoder" / "model-00002-of-00002.safetensors",
        single(tmp_path / "with.safetensors"),
        without,
        single(tmp_path / "checkpoint.safetensors", embedded),
    ]
    for path in forms:
        assert (T5Encoder(path).encode_all(["two men"])[0][1] - expected).abs().max() == 0, path
    assert encoder.pieces(ids)[-1] == "</s>"


def test_fp8_with_a_scale_and_half_precision_have_their_values(encoder, tmp_path):
    name = "encoder.block.1.layer.1.DenseReluDense.wo"
    rounded = (state()[f"{name}.weight"] / 0.01).to(torch.float8_e4m3fn)

    def scaled(weights):
        weights[f"{name}.weight"], weights[f"{name}.scale_weight"] = rounded, torch.tensor(0.01)
        weights["scaled_fp8"] = torch.zeros(2, dtype=torch.float8_e4m3fn)

    def plain(weights):
        weights[f"{name}.weight"] = rounded.float() * 0.01

    def half(weights):
        for key in [key for key in weights if key != "spiece_model"]:
            weights[key] = weights[key].half()

    results = [
        T5Encoder(single(tmp_path / f"{change.__name__}.safetensors", change)).encode_all(["a man"])[0][1]
        for change in (scaled, plain, half)
    ]
    expected = encoder.encode_all(["a man"])[0][1]
    assert torch.equal(results[0], results[1]) and not torch.equal(results[0], expected)
    assert 0 < (results[2] - expected).abs().max() < 0.02


def umt5(weights):
    for block in range(2):
        name = "encoder.block.{}.layer.0.SelfAttention.relative_attention_bias.weight"
        weights[name.format(block)] = weights[name.format(0)].clone()


def first_t5(weights):
    for name in [name for name in weights if ".wi_" in name]:
        weights[name.replace("wi_0", "wi").replace("wi_1", "wi")] = weights.pop(name)


def clip(weights):
    weights.clear()
    weights["text_model.embeddings.token_embedding.weight"] = torch.zeros(3, 4)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (umt5, "is UMT5, the text encoder of Wan"),
        (first_t5, "is T5 1.0"),
        (clip, "is a CLIP encoder"),
        (lambda weights: weights.pop("shared.weight"), "is a part of a T5 encoder"),
        (lambda weights: weights.pop("spiece_model"), "has no tokeniser.*spiece.model beside it"),
        (lambda weights: weights.pop("encoder.final_layer_norm.weight"), "lacks 'encoder.final_layer_norm.weight'"),
        (lambda weights: weights.update(spiece_model=torch.ones(9, dtype=torch.uint8)), "damaged tokeniser"),
    ],
)
def test_other_files_are_refused_by_name(tmp_path, change, message):
    with pytest.raises(LumosXError, match=message):
        T5Encoder(single(tmp_path / "other.safetensors", change))


def test_a_release_without_its_tokenizer_is_refused(folder, tmp_path):
    shutil.copytree(folder / "text_encoder", tmp_path / "text_encoder")
    with pytest.raises(LumosXError, match="has no tokeniser"):
        T5Encoder(tmp_path)


def test_a_missing_shard_is_named(folder, tmp_path):
    shutil.copytree(folder, tmp_path / "release")
    (tmp_path / "release" / "text_encoder" / "model-00002-of-00002.safetensors").unlink()
    with pytest.raises(LumosXError, match="model-00002-of-00002.safetensors is missing"):
        T5Encoder(tmp_path / "release")


def test_the_shards_are_the_released_layout(folder):
    index = json.loads((folder / "text_encoder" / "model.safetensors.index.json").read_text())
    assert set(index["weight_map"].values()) == {f"model-0000{i}-of-00002.safetensors" for i in (1, 2)}
    assert "shared.weight" in load_file(folder / "text_encoder" / index["weight_map"]["shared.weight"])
