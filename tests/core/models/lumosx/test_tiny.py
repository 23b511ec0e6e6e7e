"""lumosx-tiny, the trained miniature: complete, small, in native formats, copied whole."""

import json

import pytest
import torch
from safetensors.torch import load_file

from lumosx_core import LumosXError, LumosXModel
from lumosx_core.models.lumosx.tiny import TINY_CONFIG, TINY_DIRECTORY, tiny_files, write_tiny
from lumosx_core.models.wan.umt5 import TextEncoder


def every_file(files):
    return files.diffusion_model, files.vae, files.text_encoder


def test_it_comes_with_the_program():
    assert all(path.is_file() for path in every_file(tiny_files()))


def test_copies_are_the_same_bytes_and_lie_as_in_the_models_folder_of_comfyui(tmp_path):
    copies = write_tiny(tmp_path)
    assert [str(path.relative_to(tmp_path)) for path in every_file(copies)] == [
        "diffusion_models/lumosx-tiny.safetensors",
        "vae/lumosx-tiny-vae.safetensors",
        "text_encoders/lumosx-tiny-umt5.safetensors",
    ]
    for copy, own in zip(every_file(copies), every_file(tiny_files()), strict=True):
        assert copy.read_bytes() == own.read_bytes()
    assert sorted(path for path in tmp_path.rglob("*") if path.is_file()) == sorted(every_file(copies))


def test_it_stays_small():
    assert sum(path.stat().st_size for path in TINY_DIRECTORY.rglob("*") if path.is_file()) < 25_000_000
    parameters = sum(tensor.numel() for tensor in load_file(tiny_files().diffusion_model).values())
    assert 3_500_000 < parameters < 4_500_000


def test_its_network_is_the_one_that_its_config_says():
    model = LumosXModel(TINY_CONFIG)
    weights = load_file(tiny_files().diffusion_model)
    model.load_state_dict({name: tensor.float() for name, tensor in weights.items()})
    assert {tensor.dtype for tensor in weights.values()} == {torch.bfloat16}
    assert model.head.head.weight.abs().mean() > 1e-3  # zero before training


def test_its_training_is_told_beside_it():
    log = [json.loads(line) for line in (TINY_DIRECTORY / "training_log.jsonl").read_text().splitlines()]
    assert len(log) > 100 and all({"step", "loss"} <= set(line) for line in log)
    first, last = (sum(line["loss"] for line in part) / len(part) for part in (log[:20], log[-20:]))
    assert last < first
    for name in ("README.md", "curve.png"):
        assert (TINY_DIRECTORY / name).stat().st_size > 0


def test_the_tokeniser_has_the_special_ids_of_umt5_and_reads_any_character():
    encoder = TextEncoder(tiny_files().text_encoder)
    for text in ("A man in a denim jacket", "静态", "Zürich 2024 🙂"):
        ids = encoder.tokenize(text)
        assert ids[-1] == 1 and not {0, 2} & set(ids)
        assert "".join(encoder.pieces(ids[:1])).startswith("▁")


def test_what_comfyui_recognises_the_text_encoder_by_is_there():
    weights = load_file(tiny_files().text_encoder)
    assert weights["encoder.block.23.layer.1.DenseReluDense.wi_1.weight"].shape[1] == TINY_CONFIG.text_dim


def test_a_directory_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(LumosXError, match="file/diffusion_models.*Choose a directory"):
        write_tiny(tmp_path / "file")
