"""lumosx download --ingredients against a small hub on this machine: real transfers, real damage, nothing mocked."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import miniature
import pytest
import torch
from local_hub import Hub
from safetensors.torch import load_file

from lumosx_core.models.cogvideox.dpm import CogVideoXSchedule
from lumosx_core.models.cogvideox.t5 import T5Encoder
from lumosx_core.models.ingredients.weights.download import REPOSITORY
from lumosx_core.models.ingredients.weights.files import find_ingredients_files
from lumosx_core.models.ingredients.weights.load import load_model, open_network, schedule_of

for package in ("huggingface_hub", "diffusers", "onnx", "sentencepiece", "tqdm"):
    pytest.importorskip(package)
pytestmark = pytest.mark.slow  # each test starts processes and a server

ROOT = Path(__file__).resolve().parents[4]
UNUSED = {
    "README.md": b"# Ingredients",
    "face_encoder/parsing_bisenet.pth": b"unused" * 100,
    "face_encoder/models/buffalo_l/w600k_r50.onnx": b"unused" * 100,
    "face_encoder/models/antelopev2/genderage.onnx": b"unused" * 100,
}
NETWORK = "diffusion_models/ingredients_bf16.safetensors"
VAE = "vae/cogvideox_vae.safetensors"
TEXT_ENCODER = "text_encoders/ingredients_t5xxl_bf16.safetensors"
FACES = {
    "ingredients_face_encoder/EVA02_CLIP_L_336_psz14_s6B.pt",
    "ingredients_face_encoder/models/antelopev2/glintr100.onnx",
    "ingredients_face_encoder/detection_Resnet50_Final.pth",
}
ALL_PLACED = {NETWORK, VAE, TEXT_ENCODER, *FACES}
SHARD = "transformer/diffusion_pytorch_model-00002-of-00002.safetensors"


@pytest.fixture(scope="module")
def release(tmp_path_factory):
    return miniature.write_miniature(tmp_path_factory.mktemp("release") / "tiny")


@pytest.fixture
def hub(release):
    files = {path.relative_to(release).as_posix(): path.read_bytes() for path in release.rglob("*") if path.is_file()}
    hub = Hub({REPOSITORY: {**files, "face_encoder/detection_Resnet50_Final.pth": b"detector" * 100, **UNUSED}})
    yield hub
    hub.close()


def download(hub: Hub, folder: Path, *options: str) -> subprocess.CompletedProcess:
    environment = {
        **os.environ,
        "HF_ENDPOINT": hub.url,
        "HF_HUB_DISABLE_XET": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "HF_HOME": str(folder / "hf"),
        "PYTHONPATH": str(ROOT),
        "NO_PROXY": "127.0.0.1",
    }
    command = ["download", "--ingredients", str(folder / "models"), "--cache", str(folder / "cache"), *options]
    return subprocess.run(
        [sys.executable, "-m", "lumosx_core", *command], env=environment, capture_output=True, text=True, timeout=240
    )


def files_in(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def test_everything_arrives_converted_and_in_its_place(hub, release, tmp_path):
    result = download(hub, tmp_path)
    assert result.returncode == 0, result.stderr
    models = tmp_path / "models"
    assert files_in(models) == ALL_PLACED
    assert not files_in(tmp_path / "cache")
    assert not {name for name, _ in hub.requests} & UNUSED.keys()
    assert "non-commercial research only" in result.stdout and "CogVideoX licence" in result.stdout
    for name in (NETWORK, VAE, TEXT_ENCODER):
        assert str(models / name) in result.stdout

    weights, found = miniature.network_state(), load_file(models / NETWORK)
    assert all(torch.equal(found[name], weights[name].bfloat16()) for name in weights)
    assert open_network(models / NETWORK).config == miniature.network_config()
    assert (models / "ingredients_face_encoder" / "models" / "antelopev2" / "glintr100.onnx").read_bytes() == (
        release / "face_encoder" / "models" / "antelopev2" / "glintr100.onnx"
    ).read_bytes()
    assert T5Encoder(models / TEXT_ENCODER).tokenize("Two men.") == T5Encoder(release).tokenize("Two men.")
    files = find_ingredients_files(models)
    assert files.diffusion_model == models / NETWORK and files.vae == models / VAE

    hub.requests.clear()
    assert download(hub, tmp_path).returncode == 0
    assert hub.requests == []  # a second run fetches nothing


def test_an_interrupted_transfer_goes_on_where_it_stopped(hub, tmp_path):
    hub.cut[SHARD] = 500_000
    result = download(hub, tmp_path)
    assert result.returncode == 2
    assert f"{SHARD} could not be fetched" in result.stderr and "start again to go on from there" in result.stderr
    assert files_in(tmp_path / "models") == FACES
    hub.cut.clear()
    hub.requests.clear()
    assert download(hub, tmp_path).returncode == 0
    assert files_in(tmp_path / "models") == ALL_PLACED
    fetched = {name for name, _ in hub.requests}
    assert SHARD in fetched and SHARD.replace("00002-of", "00001-of") not in fetched


@pytest.mark.parametrize("name", [SHARD, "face_encoder/models/antelopev2/glintr100.onnx"])
def test_a_file_with_a_wrong_checksum_is_thrown_away(hub, tmp_path, name):
    hub.checksums[name] = "0" * 64
    result = download(hub, tmp_path)
    assert result.returncode == 2 and f"{name} arrived damaged" in result.stderr
    assert NETWORK not in files_in(tmp_path / "models")
    assert not any(Path(name).name in left for left in files_in(tmp_path / "cache"))


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("face_encoder/EVA02_CLIP_L_336_psz14_s6B.pt", "no longer holds 'face_encoder/EVA02"),
        ("tokenizer/spiece.model", "no longer holds 'tokenizer/spiece.model'"),
        ("transformer/config.json", "no longer holds 'transformer/config.json'"),
    ],
)
def test_what_the_hub_no_longer_has_is_named_before_anything_is_fetched(hub, tmp_path, name, message):
    del hub.files[REPOSITORY][name]
    result = download(hub, tmp_path)
    assert result.returncode == 2 and message in result.stderr
    assert hub.requests == []


def test_another_network_under_the_name_is_refused(hub, tmp_path):
    files = hub.files[REPOSITORY]
    for name in [name for name in files if name.startswith("transformer/")]:
        del files[name]
    vae = files["vae/diffusion_pytorch_model.safetensors"]
    files |= {"transformer/config.json": b"{}", "transformer/diffusion_pytorch_model.safetensors": vae}
    result = download(hub, tmp_path)
    assert result.returncode == 2 and "It is the VAE of CogVideoX" in result.stderr
    assert NETWORK not in files_in(tmp_path / "models")


def test_smaller_precisions_have_names_of_their_own(hub, tmp_path):
    result = download(hub, tmp_path, "--dtype", "fp8_e4m3fn", "--text-encoder", "fp8")
    assert result.returncode == 0, result.stderr
    network = tmp_path / "models" / "diffusion_models" / "ingredients_fp8_e4m3fn.safetensors"
    text = tmp_path / "models" / "text_encoders" / "ingredients_t5xxl_fp8_e4m3fn.safetensors"
    assert {network.name, text.name} <= {Path(name).name for name in files_in(tmp_path / "models")}
    assert {"scaled_fp8", "spiece_model"} <= load_file(text).keys()
    assert load_model(network).config == miniature.network_config()


def test_a_damaged_file_that_is_there_is_named_and_replaced_only_on_request(hub, tmp_path):
    assert download(hub, tmp_path).returncode == 0
    path = tmp_path / "models" / NETWORK
    path.write_bytes(path.read_bytes()[:-1000])
    result = download(hub, tmp_path)
    assert result.returncode == 2 and "is truncated" in result.stderr
    assert download(hub, tmp_path, "--overwrite").returncode == 0
    assert open_network(path).config == miniature.network_config()


@pytest.mark.parametrize("option", [["--photographs"], ["--file", "a.pt"], ["--photo-model", "sam_vit_b"]])
def test_options_of_other_downloads_are_refused(hub, tmp_path, option):
    result = download(hub, tmp_path, *option)
    assert result.returncode == 2 and f"{option[0]} has no meaning together with --ingredients" in result.stderr
    assert hub.requests == []


def test_a_schedule_with_another_shift_is_reported_and_kept(hub, tmp_path):
    changed = {**miniature.SCHEDULER_CONFIG, "snr_shift_scale": 3.0, "timestep_spacing": "leading"}
    hub.files[REPOSITORY]["scheduler/scheduler_config.json"] = json.dumps(changed).encode()
    result = download(hub, tmp_path)
    assert result.returncode == 0 and "--shift 3" in result.stdout
    assert schedule_of(tmp_path / "models" / NETWORK) == CogVideoXSchedule(snr_shift_scale=3.0)


def test_without_a_detector_the_rest_arrives(hub, tmp_path):
    del hub.files[REPOSITORY]["face_encoder/detection_Resnet50_Final.pth"]
    result = download(hub, tmp_path)
    assert result.returncode == 0 and "holds no face detector detection_Resnet50_Final.pth" in result.stdout
    assert files_in(tmp_path / "models") == {name for name in ALL_PLACED if "Resnet50" not in name}
