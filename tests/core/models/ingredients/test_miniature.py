"""The miniature of the release is complete, the same each time, and every part of it is read."""

import filecmp
import json

import miniature
import pytest
import torch

from lumosx_core.models.cogvideox.dpm import CogVideoXSchedule
from lumosx_core.models.ingredients.model import IngredientsModel

pytest.importorskip("onnx")
pytest.importorskip("diffusers")
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def release(tmp_path_factory):
    return miniature.write_miniature(tmp_path_factory.mktemp("release") / "tiny")


def test_it_has_the_layout_of_the_release(release):
    names = {path.relative_to(release).as_posix() for path in release.rglob("*") if path.is_file()}
    assert {
        "model_index.json",
        "scheduler/scheduler_config.json",
        "tokenizer/spiece.model",
        "text_encoder/config.json",
        "text_encoder/model.safetensors.index.json",
        "transformer/config.json",
        "transformer/diffusion_pytorch_model.safetensors.index.json",
        "transformer/diffusion_pytorch_model-00001-of-00002.safetensors",
        "transformer/diffusion_pytorch_model-00002-of-00002.safetensors",
        "vae/config.json",
        "vae/diffusion_pytorch_model.safetensors",
        "face_encoder/EVA02_CLIP_L_336_psz14_s6B.pt",
        "face_encoder/models/antelopev2/glintr100.onnx",
    } <= names


def test_it_is_the_same_each_time(release, tmp_path):
    again = miniature.write_miniature(tmp_path / "again")
    names = [path.relative_to(release).as_posix() for path in release.rglob("*.safetensors")]
    assert filecmp.cmpfiles(release, again, [*names, "tokenizer/spiece.model"], shallow=False)[1:] == ([], [])


def test_its_schedule_is_the_released_one(release):
    config = json.loads((release / "scheduler" / "scheduler_config.json").read_text())
    assert CogVideoXSchedule.from_dict(config) == CogVideoXSchedule()


def test_its_network_listens_to_prompt_and_faces():
    network = IngredientsModel(miniature.network_config())
    network.load_state_dict(miniature.network_state())
    random = miniature.generator(1)
    latents, text = torch.randn(1, 3, 32, 8, 10, generator=random), torch.randn(2, 226, 64, generator=random)
    id_cond, hidden = torch.randn(2, 44, generator=random), torch.randn(2, 5, 17, 48, generator=random)
    with torch.no_grad():
        faces = network.encode_faces(id_cond, hidden)
        output = network(latents, torch.tensor([500]), text[:1], faces)
        other_text = network(latents, torch.tensor([500]), text[1:], faces)
        other_face = network(latents, torch.tensor([500]), text[:1], faces[:1])
    assert output.shape == (1, 3, 16, 8, 10) and 0.3 < output.std() < 3
    assert (output - other_text).abs().max() > 0.05 and (output - other_face).abs().max() > 0.05


def test_its_single_files_are_the_same_networks(release, tmp_path):
    from lumosx_core.models.cogvideox.t5 import T5Encoder
    from lumosx_core.models.cogvideox.vae import CogVideoXVae
    from lumosx_core.models.ingredients.faces.face_encoder import FaceEncoder
    from lumosx_core.models.ingredients.weights.files import find_ingredients_files
    from lumosx_core.models.ingredients.weights.load import load_model

    single = find_ingredients_files(miniature.write_single_files(release, tmp_path / "models"))
    folder = find_ingredients_files(release)
    assert load_model(single.diffusion_model).config == load_model(folder.diffusion_model).config
    [(_, ours)], [(_, theirs)] = (T5Encoder(files.text_encoder).encode_all(["Two men."]) for files in (single, folder))
    assert 0 < (ours - theirs).norm() / theirs.norm() < 0.02  # bfloat16
    assert CogVideoXVae.load(single.vae).config == CogVideoXVae.load(folder.vae).config
    crops = [torch.rand(512, 512, 3, generator=miniature.generator(2))]
    features = [FaceEncoder.load(files.companions["face_encoder"]).encode(crops) for files in (single, folder)]
    assert torch.equal(features[0].id_cond, features[1].id_cond)
