"""Networks that are found on this machine, and what is said of those that are not."""

from __future__ import annotations

import shutil
import sys

import pytest
import tiny_embedders

from lumosx_core.errors import LumosXError, MissingPackageError
from lumosx_core.evaluation.embedders.clip_embedder import ClipEmbedder
from lumosx_core.evaluation.embedders.dlib_face import DlibFace
from lumosx_core.evaluation.installed import PARTS, find_network, find_networks, open_networks

pytest.importorskip("transformers")


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    """A home of its own: nothing of this machine is found."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    for name in ("HF_HOME", "HF_HUB_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path / "home"


@pytest.fixture
def models(tmp_path):
    folder = tmp_path / "models"
    (folder / "evaluation").mkdir(parents=True)
    return folder


def test_of_a_part_that_is_missing_the_message_says_what_to_install_and_where(models):
    networks, missing = open_networks([models])
    assert list(missing) == list(PARTS) and list(networks.notes()) == []
    for part, words in (
        ("arc", ("glintr100.onnx", "face-api", "insightface")),
        ("cur", ("glint360k_curricular_face_r101_backbone.bin",)),
        ("clip", ("openai/clip-vit-large-patch14", str(models / "evaluation"))),
        ("dino", ("facebook/dinov2-base",)),
        ("things", ("google/owlv2-base-patch16-ensemble",)),
        ("flow", ("raft_large_C_T_V1-22a6c225.pth",)),
        ("faces", ("face detector", "download")),
        ("phrases", ("Grounding DINO", "download")),
    ):
        assert all(word in missing[part] for word in words), missing[part]


def test_networks_in_their_folders_are_found_and_opened(models):
    tiny_embedders.write_clip(models / "evaluation" / "my-clip")
    tiny_embedders.write_dino(models / "evaluation" / "my-dino")
    tiny_embedders.write_face_api(models / "evaluation" / "dlib")
    networks, missing = open_networks([models], parts=("arc", "clip", "dino", "video"))
    assert isinstance(networks.clip, ClipEmbedder) and isinstance(networks.arc, DlibFace)
    assert list(missing) == ["video"]
    assert {part: note.weights.split()[0] for part, note in networks.notes()} == {
        "arc": "face_recognition_model.bin",
        "clip": "my-clip",
        "dino": "my-dino",
    }


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff"])
def test_a_folder_whose_config_is_damaged_is_named_where_its_network_is_missing(models, content):
    folder = tiny_embedders.write_clip(models / "evaluation" / "clip")
    assert "damaged" not in open_networks([models])[1]["dino"]
    (folder / "config.json").write_bytes(content)
    missing = open_networks([models])[1]
    assert f"{folder / 'config.json'} is damaged" in missing["clip"] and "damaged" in missing["dino"]
    assert "damaged" not in missing["arc"]


def test_the_hubs_cache_is_looked_into(models, home):
    snapshot = home / ".cache" / "huggingface" / "hub" / "models--facebook--dinov2-base" / "snapshots" / "abc"
    tiny_embedders.write_dino(snapshot)
    networks, _ = open_networks([models], parts=("dino",))
    assert networks.dino.note.weights.startswith("facebook/dinov2-base ")


def test_recognisers_of_insightface_come_before_dlibs_and_the_best_known_first(models, home):
    tiny_embedders.write_face_api(models / "evaluation")
    for path in (
        models / "insightface" / "models" / "buffalo_l" / "w600k_r50.onnx",
        models / "insightface" / "models" / "buffalo_l" / "det_10g.onnx",
        home / ".insightface" / "models" / "antelopev2" / "glintr100.onnx",
    ):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")
    names = ["glintr100.onnx", "w600k_r50.onnx", "face_recognition_model-weights_manifest.json"]
    assert list(find_networks("arc", [models])) == names
    assert find_network("arc", [models]).name == "glintr100.onnx"


def test_a_damaged_network_does_not_pass_for_a_missing_one(models):
    folder = tiny_embedders.write_clip(models / "evaluation" / "clip")
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-50])
    with pytest.raises(LumosXError, match="cannot be opened"):
        open_networks([models], parts=("clip",))


def test_a_network_that_is_named_must_be_there(models, tmp_path):
    chosen = tiny_embedders.write_clip(tmp_path / "elsewhere")
    networks, _ = open_networks([models], parts=("clip",), chosen={"clip": str(chosen)})
    assert networks.clip.note.weights.startswith("elsewhere ")
    shutil.rmtree(chosen)
    with pytest.raises(LumosXError, match="elsewhere is not a folder with a model"):
        open_networks([models], parts=("clip",), chosen={"clip": str(chosen)})


def test_a_missing_package_is_a_missing_network_unless_it_was_named(models, monkeypatch):
    folder = tiny_embedders.write_clip(models / "evaluation" / "clip")
    monkeypatch.setitem(sys.modules, "transformers", None)
    networks, missing = open_networks([models], parts=("clip",))
    assert networks.clip is None and "needs the package 'transformers'" in missing["clip"]
    with pytest.raises(MissingPackageError):
        open_networks([models], parts=("clip",), chosen={"clip": str(folder)})
