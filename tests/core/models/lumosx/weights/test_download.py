"""lumosx download against a small hub on this machine: real transfers, real damage, nothing mocked."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from local_hub import PIECE, Hub
from safetensors.torch import save

from lumosx_core import LumosXConfig, LumosXModel
from lumosx_core.models.lumosx.weights.download import LUMOSX_REPOSITORY, TEXT_ENCODERS, VAE, WAN_REPOSITORY
from lumosx_core.models.lumosx.weights.load import load_model
from lumosx_core.models.wan.names import read_state_dict

pytest.importorskip("huggingface_hub")
pytestmark = pytest.mark.slow  # each test starts processes and a server

ROOT = Path(__file__).resolve().parents[4]


@pytest.fixture(scope="module")
def network(tmp_path_factory) -> tuple[LumosXModel, Path]:
    """A small network, and its nested `.pt` as the released repository holds it."""
    torch.manual_seed(0)
    model = LumosXModel(LumosXConfig(dim=128, ffn_dim=128, num_heads=1, num_layers=1, text_dim=16))
    path = tmp_path_factory.mktemp("network") / "lumosx.pt"
    # The optimizer makes it larger than the piece in which the hub's client hands the bytes on.
    torch.save({"ema": model.state_dict(), "optimizer": {"step": torch.zeros(PIECE // 4)}}, path)
    return model, path


@pytest.fixture
def hub(network):
    hub = Hub(
        {
            LUMOSX_REPOSITORY: {
                "README.md": b"# LumosX",
                "lumosx.pt": network[1].read_bytes(),
                "Wan2.1_VAE.pth": b"another network" * 10,
            },
            WAN_REPOSITORY: {
                VAE: save({"decoder.head.0.gamma": torch.zeros(96)}) + b"",
                TEXT_ENCODERS["fp8"]: save({"shared.weight": torch.zeros(64, 64)}),
            },
        }
    )
    yield hub
    hub.close()


@pytest.fixture
def models(tmp_path) -> Path:
    """The `models` folder of a ComfyUI."""
    (tmp_path / "ComfyUI" / "models").mkdir(parents=True)
    return tmp_path / "ComfyUI" / "models"


def download(hub: Hub, models: Path, **options) -> subprocess.CompletedProcess:
    """Run `download` in a process of its own, as the hub's client reads its settings once."""
    options = {"comfyui": str(models.parent), "cache": str(models.parent.parent / "cache"), **options}
    code = (
        "import json, sys\n"
        "from lumosx_core.models.lumosx.weights.download import download\n"
        "from lumosx_core import LumosXError\n"
        "try: download(**json.loads(sys.argv[1]))\n"
        "except LumosXError as error: sys.exit(f'LumosXError: {error}')\n"
    )
    environment = {
        **os.environ,
        "HF_ENDPOINT": hub.url,
        "HF_HUB_DISABLE_XET": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "HF_HOME": str(models.parent.parent / "hf"),
        "PYTHONPATH": str(ROOT),
        "NO_PROXY": "127.0.0.1",
    }
    return subprocess.run(
        [sys.executable, "-c", code, json.dumps(options)], env=environment, capture_output=True, text=True, timeout=120
    )


def files_in(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


ALL_PLACED = {
    "diffusion_models/lumosx_bf16.safetensors",
    "vae/wan_2.1_vae.safetensors",
    "text_encoders/umt5_xxl_fp8_e4m3fn_scaled.safetensors",
}


def test_everything_arrives_converted_and_in_its_place(hub, models, network):
    result = download(hub, models)
    assert result.returncode == 0, result.stderr
    assert "Converting: 100%" in result.stderr
    assert files_in(models) == ALL_PLACED
    converted = read_state_dict(models / "diffusion_models" / "lumosx_bf16.safetensors")
    for name, tensor in network[0].state_dict().items():
        assert torch.equal(converted[name], tensor.bfloat16())
    for name in ALL_PLACED:
        assert str(models / name) in result.stdout
    assert "licence" in result.stdout
    assert not files_in(models.parent.parent / "cache")


def test_a_second_run_fetches_nothing(hub, models):
    assert download(hub, models).returncode == 0
    hub.requests.clear()
    assert download(hub, models).returncode == 0
    assert hub.requests == []


def test_an_interrupted_transfer_goes_on_where_it_stopped(hub, models, network):
    size = network[1].stat().st_size
    hub.cut["lumosx.pt"] = PIECE + 1000
    result = download(hub, models)
    assert result.returncode != 0
    assert "LumosXError: lumosx.pt could not be fetched" in result.stderr
    assert f"{PIECE} of {size} bytes have arrived" in result.stderr
    assert not any("lumosx" in name or "part" in name for name in files_in(models))

    hub.cut.clear()
    hub.requests.clear()
    result = download(hub, models)
    assert result.returncode == 0, result.stderr
    assert hub.requests == [("lumosx.pt", f"bytes={PIECE}-")]
    assert files_in(models) == ALL_PLACED
    assert load_model(models / "diffusion_models" / "lumosx_bf16.safetensors").config == network[0].config


@pytest.mark.parametrize("name", ["lumosx.pt", VAE])
def test_a_file_with_a_wrong_checksum_is_thrown_away(hub, models, name):
    hub.checksums[name] = "0" * 64
    result = download(hub, models)
    assert f"LumosXError: {name} arrived damaged" in result.stderr
    assert not any(Path(name).stem in placed for placed in files_in(models))
    assert not any(Path(name).name in left for left in files_in(models.parent.parent / "cache"))


def test_a_small_file_with_a_wrong_git_checksum_is_thrown_away(hub, models, network, tmp_path):
    import torch.distributed.checkpoint as dcp

    dcp.save({"ema": network[0].state_dict()}, checkpoint_id=tmp_path / "all", no_dist=True)
    files = hub.files[LUMOSX_REPOSITORY]
    del files["lumosx.pt"]
    files |= {f"release/all/{path.name}": path.read_bytes() for path in (tmp_path / "all").iterdir()}
    result = download(hub, models)
    assert result.returncode == 0, result.stderr  # a DCP directory is found and converted
    assert files_in(models) == ALL_PLACED

    (models / "diffusion_models" / "lumosx_bf16.safetensors").unlink()
    honest = hub.listing
    hub.listing = lambda repository: json.loads(
        json.dumps(honest(repository)).replace(
            hashlib.sha1(
                f"blob {len(files['release/all/.metadata'])}\0".encode() + files["release/all/.metadata"]
            ).hexdigest(),
            "0" * 40,
        )
    )
    result = download(hub, models)
    assert "LumosXError: release/all/.metadata arrived damaged" in result.stderr


def test_a_file_the_hub_no_longer_has_is_named(hub, models):
    del hub.files[WAN_REPOSITORY][VAE]
    result = download(hub, models)
    assert f"LumosXError: {WAN_REPOSITORY} no longer holds {VAE!r}" in result.stderr
    assert files_in(models) == set()


def test_a_file_that_is_listed_but_gone_is_named(hub, models):
    hub.gone.add(TEXT_ENCODERS["fp8"])
    result = download(hub, models)
    assert f"LumosXError: {TEXT_ENCODERS['fp8']} could not be fetched" in result.stderr
    assert files_in(models) == {"vae/wan_2.1_vae.safetensors"}


def test_a_repository_the_hub_does_not_have_is_named(hub, models):
    del hub.files[LUMOSX_REPOSITORY]
    result = download(hub, models)
    assert f"LumosXError: https://huggingface.co/{LUMOSX_REPOSITORY} is not found" in result.stderr
    assert files_in(models) == set()


def test_several_checkpoints_ask_for_a_choice(hub, models, network):
    hub.files[LUMOSX_REPOSITORY]["older.safetensors"] = save({"a": torch.zeros(4)})
    result = download(hub, models)
    assert "several checkpoints" in result.stderr
    assert "lumosx.pt" in result.stderr and "older.safetensors" in result.stderr and "--file" in result.stderr
    assert "Wan2.1_VAE.pth" not in result.stderr
    result = download(hub, models, file="lumosx.pt")
    assert result.returncode == 0, result.stderr


def test_another_model_under_the_expected_name_leaves_no_network_behind(hub, models):
    hub.files[LUMOSX_REPOSITORY]["lumosx.pt"] = save({"input_blocks.0.0.weight": torch.zeros(4)})
    result = download(hub, models)
    assert "LumosXError" in result.stderr and "Stable Diffusion" in result.stderr
    assert not any("lumosx" in name for name in files_in(models))


def test_a_folder_that_is_no_comfyui_is_refused_before_anything_is_fetched(hub, models, tmp_path):
    result = download(hub, models, comfyui=str(tmp_path))
    assert "LumosXError" in result.stderr and "does not look like a ComfyUI folder" in result.stderr
    assert hub.requests == []


def test_no_connection_is_one_clear_line(hub, models):
    hub.close()
    result = download(hub, models)
    assert f"LumosXError: {WAN_REPOSITORY} could not be listed" in result.stderr
    assert "Traceback" not in result.stderr
