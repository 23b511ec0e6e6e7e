"""The tiny preset: native formats, the same bytes every time, and weights that compute something."""

import hashlib

import pytest
import torch
from safetensors.torch import load_file

from lumosx_core import LumosXError, LumosXModel
from lumosx_core.tiny import TINY_CONFIG, tiny_files, train_tokenizer, write_tiny


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    return write_tiny(tmp_path_factory.mktemp("tiny"))


def digest(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def every_file(files):
    return files.diffusion_model, files.vae, files.text_encoder


def test_writing_twice_gives_the_same_bytes(tiny, tmp_path):
    again = write_tiny(tmp_path)
    assert [digest(path) for path in every_file(again)] == [digest(path) for path in every_file(tiny)]


def test_files_lie_as_in_the_models_folder_of_comfyui(tiny, tmp_path):
    files = tiny_files(tmp_path)
    assert [str(path.relative_to(tmp_path)) for path in every_file(files)] == [
        "diffusion_models/lumosx-tiny.safetensors",
        "vae/lumosx-tiny-vae.safetensors",
        "text_encoders/lumosx-tiny-umt5.safetensors",
    ]
    assert all(path.is_file() for path in every_file(tiny))


def test_the_preset_stays_small(tiny):
    assert sum(path.stat().st_size for path in every_file(tiny)) < 25 * 2**20
    parameters = sum(tensor.numel() for tensor in load_file(tiny.diffusion_model).values())
    assert 3_500_000 < parameters < 4_500_000


def test_nothing_but_the_finished_files_is_left(tiny):
    root = tiny.vae.parent.parent
    assert sorted(path for path in root.rglob("*") if path.is_file()) == sorted(every_file(tiny))


def test_the_diffusion_model_reacts_to_noise_time_and_text(tiny):
    model = LumosXModel(TINY_CONFIG)
    model.load_state_dict({name: tensor.float() for name, tensor in load_file(tiny.diffusion_model).items()})
    generator = torch.Generator().manual_seed(0)
    video = torch.randn(1, 16, 2, 8, 8, generator=generator)
    text = torch.randn(2, 5, 4096, generator=generator)
    with torch.no_grad():
        velocity = model(video, torch.tensor([900]), text[:1])
        other_text = model(video, torch.tensor([900]), text[1:])
        other_time = model(video, torch.tensor([100]), text[:1])
    assert velocity.isfinite().all()
    assert 0.1 < velocity.std() < 10
    assert (velocity - other_text).abs().mean() > 1e-3
    assert (velocity - other_time).abs().mean() > 1e-2


def test_the_tokeniser_has_the_special_ids_of_umt5_and_reads_any_character():
    sentencepiece = pytest.importorskip("sentencepiece")
    tokenizer = sentencepiece.SentencePieceProcessor(model_proto=train_tokenizer(), add_eos=True)
    assert (tokenizer.pad_id(), tokenizer.eos_id(), tokenizer.unk_id(), tokenizer.bos_id()) == (0, 1, 2, -1)
    for text in ("A man in a denim jacket", "静态", "Zürich 2024 🙂"):
        ids = tokenizer.encode(text)
        assert ids[-1] == 1 and 2 not in ids
        assert tokenizer.decode(ids[:-1]) == text


def test_a_directory_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(LumosXError, match="file/diffusion_models.*Choose a directory"):
        write_tiny(tmp_path / "file")
