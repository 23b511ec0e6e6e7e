"""The UMT5 encoder: sizes from the file, float32 numbers for any storage, one block in memory at a time."""

import re

import pytest
import torch
from safetensors.torch import load_file, save_file

from lumosx_core import LumosXError
from lumosx_core.models.lumosx.tiny import tiny_files
from lumosx_core.models.t5.t5_network import T5Network, T5Sizes
from lumosx_core.models.wan.umt5 import TextEncoder

pytest.importorskip("sentencepiece")

PROMPT = "A man in a denim jacket talks to a woman in a light brown sweater."


@pytest.fixture(scope="module")
def path(tiny_models):
    return tiny_files(tiny_models).text_encoder


@pytest.fixture(scope="module")
def encoder(path):
    return TextEncoder(path)


def changed(path, destination, change):
    weights = load_file(path)
    change(weights)
    save_file(weights, destination)
    return destination


def test_a_prompt_becomes_ids_closed_by_the_end_token_and_one_row_for_each(encoder):
    ids, embeddings = encoder.encode(PROMPT)
    assert ids[-1] == 1 and 1 not in ids[:-1] and 0 not in ids
    assert embeddings.shape == (len(ids), 4096)
    assert embeddings.dtype == torch.float32
    assert embeddings.isfinite().all() and embeddings.std() > 0.5


def test_the_empty_prompt_is_the_end_token_alone(encoder):
    ids, embeddings = encoder.encode("")
    assert ids == [1] and embeddings.shape == (1, 4096)


def test_words_are_read_in_their_context(encoder):
    first, second = (encoder.encode(text)[1] for text in ("man and woman", "man or woman"))
    assert (first[0] - second[0]).abs().max() > 1e-4


def test_a_prompt_is_read_the_same_next_to_a_longer_one(encoder):
    (ids, alone), (_, beside) = encoder.encode("a man"), encoder.encode_all(["a man", PROMPT * 3])[0]
    assert beside.shape == alone.shape == (len(ids), 4096)
    assert (alone - beside).abs().max() < 1e-5


def test_the_pieces_of_a_prompt_spell_it(encoder):
    spelt = "".join(encoder.pieces(encoder.tokenize(PROMPT)[:-1])).replace("▁", " ").strip()
    assert re.sub(r"<0x(..)>", lambda byte: chr(int(byte[1], 16)), spelt) == PROMPT  # rare letters come as bytes


def test_more_than_512_tokens_are_refused_and_exactly_512_are_read(encoder):
    words = "man " * 511
    assert len(encoder.tokenize(words)) == 512
    assert encoder.encode(words)[1].shape == (512, 4096)
    with pytest.raises(LumosXError, match="513 tokens.*reads 512"):
        encoder.encode(words + "man")


def test_no_weight_stays_in_memory_after_encoding(encoder):
    encoder.encode(PROMPT)
    assert {parameter.device.type for parameter in encoder._network.parameters()} == {"meta"}


def test_scaled_fp8_weights_have_their_true_values(encoder, path, tmp_path):
    name = "encoder.block.1.layer.1.DenseReluDense.wo"
    values = load_file(path)[f"{name}.weight"].float()
    rounded = (values / 0.01).to(torch.float8_e4m3fn)

    def scale(weights):
        weights[f"{name}.weight"] = rounded
        weights[f"{name}.scale_weight"] = torch.tensor(0.01)
        weights["scaled_fp8"] = torch.zeros(2, dtype=torch.float8_e4m3fn)

    def round_only(weights):
        weights[f"{name}.weight"] = rounded.float() * 0.01

    scaled = TextEncoder(changed(path, tmp_path / "scaled.safetensors", scale)).encode(PROMPT)[1]
    expected = TextEncoder(changed(path, tmp_path / "rounded.safetensors", round_only)).encode(PROMPT)[1]
    assert torch.equal(scaled, expected)
    assert not torch.equal(scaled, encoder.encode(PROMPT)[1])


def test_sizes_come_from_the_file(path, tmp_path):
    def one_layer(weights):
        for name in [name for name in weights if name.startswith("encoder.block.1.")]:
            del weights[name]

    shorter = TextEncoder(changed(path, tmp_path / "one.safetensors", one_layer))
    assert len(shorter._network.block) == 1
    assert shorter.encode(PROMPT)[1].isfinite().all()


@pytest.mark.parametrize(
    ("missing", "message"),
    [
        ("spiece_model", "has no tokeniser.*umt5_xxl_fp16.safetensors"),
        ("shared.weight", "is not a UMT5 text encoder"),
        ("encoder.block.1.layer.0.SelfAttention.k.weight", r"lacks 'encoder.block.1.layer.0.SelfAttention.k.weight'"),
    ],
)
def test_a_file_that_lacks_something_is_refused_by_name(path, tmp_path, missing, message):
    faulty = changed(path, tmp_path / "faulty.safetensors", lambda weights: weights.pop(missing))
    with pytest.raises(LumosXError, match=message):
        TextEncoder(faulty)


def test_a_truncated_or_absent_file_is_refused(path, tmp_path):
    truncated = tmp_path / "truncated.safetensors"
    truncated.write_bytes(path.read_bytes()[:100_000])
    with pytest.raises(LumosXError, match="truncated"):
        TextEncoder(truncated)
    with pytest.raises(LumosXError, match="does not exist"):
        TextEncoder(tmp_path / "absent.safetensors")


@pytest.mark.slow
@pytest.mark.parametrize(("batch", "length"), [(1, 1), (1, 17), (3, 40), (2, 300)])
def test_the_network_is_the_one_in_transformers_bit_for_bit(batch, length):
    transformers = pytest.importorskip("transformers")
    config = transformers.UMT5Config(
        vocab_size=9, d_model=48, d_kv=8, num_heads=4, d_ff=80, num_layers=3, feed_forward_proj="gated-gelu"
    )
    torch.manual_seed(length)
    theirs = transformers.UMT5EncoderModel(config).eval()
    for parameter in theirs.parameters():
        parameter.data.normal_(std=0.3)
    buckets = config.relative_attention_num_buckets
    ours = T5Network(T5Sizes(width=48, inner=32, heads=4, feed_forward=80, blocks=3, buckets=buckets))
    weights = theirs.encoder.state_dict()
    del weights["embed_tokens.weight"]
    ours.load_state_dict(weights)
    embeddings = torch.randn(batch, length, 48)
    real = torch.arange(length) < torch.tensor([length, length // 2, 1][:batch])[:, None]
    with torch.no_grad():
        expected = theirs(inputs_embeds=embeddings, attention_mask=real).last_hidden_state
        assert torch.equal(ours(embeddings, real)[real], expected[real])
