"""lumosx download --photographs against a small hub on this machine: real transfers, real damage, nothing mocked."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from local_hub import PIECE, Hub

from lumosx_core import LumosXError
from lumosx_core.auto_scene.networks import fetch as module
from lumosx_core.auto_scene.networks.fetch import download_photo_models
from lumosx_core.auto_scene.networks.find import find_models
from lumosx_core.auto_scene.networks.known import DEFAULTS, PHOTO_MODELS, photo_model
from lumosx_core.commands.main import main

constants = pytest.importorskip("huggingface_hub.constants")

DINO, SAM2, SAM = "grounding-dino-tiny", "sam2.1-hiera-large", "sam_vit_b"


def folder_files(model_type: str) -> dict[str, bytes]:
    """A repository in the format of transformers, with what is not needed."""
    return {
        "README.md": b"# A model",
        "config.json": json.dumps({"model_type": model_type}).encode(),
        "model.safetensors": model_type.encode() * 1000,
        "onnx/config.json": b"{}",
        "preprocessor_config.json": b"{}",
        "pytorch_model.bin": b"the same once more" * 1000,
        "tokenizer.json": b'{"version": "1.0"}',
        "vocab.txt": b"a\nb\n",
    }


@pytest.fixture
def hub(monkeypatch, tmp_path):
    hub = Hub(
        {
            photo_model("det_10g").repository: {"models/buffalo_l/det_10g.onnx": b"scrfd", "models/other.onnx": b"x"},
            photo_model(DINO).repository: folder_files("grounding-dino"),
            photo_model("grounding-dino-base").repository: folder_files("grounding-dino"),
            photo_model(SAM2).repository: folder_files("sam2_video"),
            photo_model(SAM).repository: {
                photo_model(SAM).files[0]: bytes(PIECE + 5000),
                photo_model("sam_vit_h").files[0]: b"huge",
            },
        }
    )
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    for name in ("HF_HOME", "HF_HUB_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    # The hub's client reads its settings once, when it is first imported.
    address = "{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr(constants, "ENDPOINT", hub.url)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", f"{hub.url}/{address}")
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    yield hub
    hub.close()


@pytest.fixture
def models(tmp_path) -> Path:
    """The `models` folder of a ComfyUI."""
    (tmp_path / "ComfyUI" / "models").mkdir(parents=True)
    return tmp_path / "ComfyUI" / "models"


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def download(hub, models, said):
    """`download_photo_models` into a ComfyUI of the test."""

    def run(*names: str, **options) -> list[Path]:
        cache = models.parent.parent / "cache"
        return download_photo_models(names, comfyui=models.parent, cache=cache, say=said.append, **options)

    return run


def files_in(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def test_the_defaults_arrive_in_their_places_and_are_found(download, hub, models):
    placed = download(*DEFAULTS)
    assert placed == [photo_model(name).path_in(models) for name in DEFAULTS]
    dino = {"config.json", "model.safetensors", "preprocessor_config.json", "tokenizer.json"}
    assert files_in(models) == {
        "insightface/models/face_detection/det_10g.onnx",
        *(f"grounding-dino/grounding-dino-base/{name}" for name in dino | {"vocab.txt"}),
        "sams/sam_vit_h_4b8939.pth",
    }
    for name in files_in(placed[1]):
        assert (placed[1] / name).read_bytes() == hub.files[photo_model("grounding-dino-base").repository][name]
    for kind, path in zip(("faces", "phrases", "masks"), placed, strict=True):
        assert list(find_models(kind, [models]).values()) == [path]
    assert list((models.parent.parent / "cache").iterdir()) == []


def test_the_licence_is_said_before_each_model(download, said):
    download("det_10g", DINO)
    [face] = [i for i, line in enumerate(said) if "non-commercial" in line and "public-data/insightface" in line]
    [dino] = [i for i, line in enumerate(said) if "Apache-2.0" in line and "IDEA-Research/grounding-dino-tiny" in line]
    fetched = [i for i, line in enumerate(said) if line.startswith("Fetching")]
    assert fetched == [face + 1, dino + 1]


def test_a_second_run_fetches_nothing(download, hub, said):
    download("det_10g", DINO)
    hub.requests.clear()
    said.clear()
    download("det_10g", DINO)
    assert hub.requests == [] and not any(line.startswith("Fetching") for line in said)


def test_one_name_twice_is_fetched_once(download, hub):
    assert len(download("det_10g", "det_10g")) == 1
    assert len(hub.requests) == 1


def test_an_interrupted_file_goes_on_where_it_stopped(download, hub, models):
    [name] = photo_model(SAM).files
    hub.cut[name] = PIECE + 1000
    with pytest.raises(LumosXError, match=f"(?s){name} could not be fetched.*{PIECE} of {PIECE + 5000} bytes"):
        download(SAM)
    assert files_in(models) == set() and find_models("masks", [models]) == {}
    hub.cut.clear()
    hub.requests.clear()
    [path] = download(SAM)
    assert hub.requests == [(name, f"bytes={PIECE}-")]
    assert path.read_bytes() == bytes(PIECE + 5000)


def test_a_damaged_file_is_thrown_away_and_leaves_no_half_folder(download, hub, models):
    hub.checksums["model.safetensors"] = "0" * 64
    with pytest.raises(LumosXError, match="model.safetensors arrived damaged"):
        download(DINO)
    assert files_in(models) == set()
    assert "model.safetensors" not in {Path(name).name for name in files_in(models.parent.parent / "cache")}
    hub.checksums.clear()
    assert list(find_models("phrases", [models]).values()) == []
    download(DINO)
    assert list(find_models("phrases", [models])) == [DINO]


def test_a_folder_is_half_until_its_config_comes_last(download, models, monkeypatch):
    seen = []

    def place(source: Path, destination: Path) -> None:
        honest(source, destination)
        seen.append((destination.name, list(find_models("phrases", [models]))))

    honest = module.place
    monkeypatch.setattr(module, "place", place)
    download(DINO)
    assert [found for _, found in seen] == [[]] * 4 + [[DINO]]
    assert seen[-1][0] == "config.json"


@pytest.mark.parametrize("stopped_at", range(5))
def test_replacing_a_folder_never_shows_old_and_new_mixed(download, models, monkeypatch, stopped_at):
    [folder] = download(DINO)
    (folder / "model.safetensors").write_bytes(b"an older one")
    honest, placed = module.place, []

    def place(source: Path, destination: Path) -> None:
        if len(placed) == stopped_at:
            raise KeyboardInterrupt
        placed.append(destination)
        honest(source, destination)

    monkeypatch.setattr(module, "place", place)
    with pytest.raises(KeyboardInterrupt):
        download(DINO, overwrite=True)
    assert find_models("phrases", [models]) == {}


def test_an_interrupted_placing_is_finished_by_the_next_run(download, hub, models, monkeypatch):
    def place(source: Path, destination: Path) -> None:
        if destination.name == "config.json":
            raise KeyboardInterrupt
        honest(source, destination)

    honest = module.place
    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(module, "place", place)
        download(DINO)
    assert files_in(models) and find_models("phrases", [models]) == {}
    hub.requests.clear()
    download(DINO)
    assert hub.requests == []  # config.json had arrived as well
    assert list(find_models("phrases", [models])) == [DINO]


def test_a_different_file_of_the_name_is_kept_unless_told_otherwise(download, models):
    path = photo_model("det_10g").path_in(models)
    path.parent.mkdir(parents=True)
    path.write_bytes(b"my own")
    with pytest.raises(LumosXError, match="exists but is not the hub's file.*--overwrite"):
        download("det_10g")
    assert path.read_bytes() == b"my own"
    download("det_10g", overwrite=True)
    assert path.read_bytes() == b"scrfd"


@pytest.mark.parametrize("name", ["config.json", "vocab.txt"])
def test_a_file_the_repository_no_longer_has_is_named(download, hub, models, name):
    repository = photo_model(DINO).repository
    del hub.files[repository][name]
    with pytest.raises(LumosXError, match=f"{repository} no longer holds '{name}'"):
        download("det_10g", DINO)
    assert hub.requests == [] and files_in(models) == set()


def test_a_repository_the_hub_does_not_have_is_named(download, hub):
    del hub.files[photo_model(SAM2).repository]
    with pytest.raises(LumosXError, match=f"huggingface.co/{photo_model(SAM2).repository} is not found"):
        download(SAM2)


def test_too_little_space_is_said_before_anything_is_fetched(download, hub, monkeypatch):
    usage = shutil.disk_usage
    monkeypatch.setattr("shutil.disk_usage", lambda folder: usage(folder)._replace(free=PIECE))
    with pytest.raises(LumosXError, match="10.5 MB free, but 10.5 MB are needed"):
        download(SAM)
    assert hub.requests == []


def test_an_unknown_name_lists_the_known_ones(download, hub):
    with pytest.raises(LumosXError, match="'sam'.*sam_vit_b"):
        download("sam")
    assert hub.requests == []


def test_a_place_is_needed(hub):
    with pytest.raises(LumosXError, match="where the files should go"):
        download_photo_models(DEFAULTS)


def test_the_command_fetches_the_defaults_and_what_is_named(hub, models, capsys):
    place = ["--comfyui", str(models.parent), "--cache", str(models.parent.parent / "cache")]
    assert main(["download", "--photographs", "--photo-model", DINO, *place]) == 0
    report = capsys.readouterr().out
    for name in (*DEFAULTS, DINO):
        assert photo_model(name).path_in(models).exists()
        assert str(photo_model(name).path_in(models)) in report


def test_the_command_fetches_a_named_model_alone(hub, models):
    assert main(["download", "--photo-model", "det_10g", str(models), "--cache", str(models.parent / "cache")]) == 0
    assert files_in(models) == {"insightface/models/face_detection/det_10g.onnx"}


@pytest.mark.parametrize("option", [("--dtype", "fp16"), ("--text-encoder", "fp16"), ("--file", "x.pt")])
def test_the_command_refuses_options_of_the_weights(hub, models, capsys, option):
    assert main(["download", "--photographs", *option, str(models)]) == 2
    assert f"{option[0]} is for the weights of LumosX" in capsys.readouterr().err
    assert hub.requests == []


def test_the_command_names_every_model_in_its_help(capsys):
    with pytest.raises(SystemExit):
        main(["download", "--help"])
    said = "".join(capsys.readouterr().out.split())
    assert all(model.name in said for model in PHOTO_MODELS)
