"""Models found on a machine, the choice among them, and the message when there is none."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path

import pytest

from lumosx_core import LumosXError
from lumosx_core.auto_scene.networks.find import choose_model, find_models, missing_model
from lumosx_core.auto_scene.networks.known import DEFAULTS, PHOTO_MODELS, models_of, photo_model
from lumosx_core.own_command import own_command


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch) -> Path:
    """A home of its own: nothing of this machine is found."""
    home = tmp_path / "home"
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("USERPROFILE", str(home))
    for name in ("HF_HOME", "HF_HUB_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    return home


@pytest.fixture
def models(tmp_path) -> Path:
    return tmp_path / "ComfyUI" / "models"


def write(*paths: Path) -> None:
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"weights")


def write_folder(folder: Path, model_type: str, *, without: tuple[str, ...] = ()) -> Path:
    """A model as transformers reads it, by the names of its files."""
    names = {"model.safetensors", "tokenizer.json", "preprocessor_config.json"} - set(without)
    write(*(folder / name for name in names))
    (folder / "config.json").write_text(json.dumps({"model_type": model_type}), encoding="utf-8")
    return folder


def write_snapshot(cache: Path, repository: str, commit: str = "abc") -> Path:
    """An empty snapshot in a hub cache, which its branch is at."""
    folder = cache / f"models--{repository.replace('/', '--')}"
    snapshot = folder / "snapshots" / commit
    snapshot.mkdir(parents=True)
    (folder / "refs").mkdir(exist_ok=True)
    (folder / "refs" / "main").write_text(commit, encoding="utf-8")
    return snapshot


def test_each_kind_is_found_in_its_folder_of_comfyui(models):
    face = models / "insightface" / "models" / "buffalo_l" / "det_10g.onnx"
    sam = models / "sams" / "sam_vit_b_01ec64.pth"
    write(face, sam)
    dino = write_folder(models / "grounding-dino" / "grounding-dino-tiny", "grounding-dino")
    sam2 = write_folder(models / "sams" / "sam2.1-hiera-tiny", "sam2_video", without=("tokenizer.json",))
    qwen = write_folder(models / "LLM" / "Qwen-VL" / "Qwen3-VL-4B-Instruct", "qwen3_vl")
    assert find_models("faces", [models]) == {"buffalo_l/det_10g.onnx": face}
    assert find_models("phrases", [models]) == {"grounding-dino-tiny": dino}
    assert find_models("masks", [models]) == {"sam_vit_b_01ec64.pth": sam, "sam2.1-hiera-tiny": sam2}
    assert find_models("language", [models]) == {"Qwen-VL/Qwen3-VL-4B-Instruct": qwen}


def test_nothing_is_found_where_there_is_nothing(models):
    for kind in ("faces", "phrases", "masks", "language"):
        assert find_models(kind, [models, models / "missing"]) == {}


@pytest.mark.parametrize(
    "place",
    [
        "insightface/buffalo_l/det_10g.onnx",
        "insightface/det_10g.onnx",
        "detection/scrfd_2.5g_bnkps.onnx",
        "det_10g.onnx",
    ],
)
def test_a_face_detector_is_found_in_other_usual_places(models, place):
    write(models / place)
    assert list(find_models("faces", [models]).values()) == [models / place]


def test_a_face_detector_is_found_in_insightfaces_own_folder(home, models):
    path = home / ".insightface" / "models" / "antelopev2" / "antelopev2" / "scrfd_10g_bnkps.onnx"
    write(path)
    assert find_models("faces", [models]) == {"antelopev2/scrfd_10g_bnkps.onnx": path}


def test_other_networks_of_a_face_pack_are_no_detectors(models):
    pack = models / "insightface" / "models" / "buffalo_l"
    names = ("w600k_r50", "2d106det", "1k3d68", "genderage", "det_10g")
    write(models / "insightface" / "inswapper_128.onnx", *(pack / f"{name}.onnx" for name in names))
    assert list(find_models("faces", [models])) == ["buffalo_l/det_10g.onnx"]


def test_the_only_network_of_a_face_pack_may_have_any_name(models):
    packs = models / "insightface" / "models"
    write(packs / "mine" / "faces.onnx", packs / "two" / "a.onnx", packs / "two" / "b.onnx")
    write(packs / "recognition" / "w600k_r50.onnx", models / "detection" / "yolo.onnx")
    assert list(find_models("faces", [models])) == ["mine/faces.onnx"]


def test_only_sam_itself_is_taken_for_sam(models):
    names = ("sam_hq_vit_h.pth", "mobile_net.pt", "sam2.1_hiera_large.safetensors", "sam_vit_b.txt")
    write(*(models / "sams" / name for name in names), models / "sams" / "medsam_vit_b.pth")
    assert list(find_models("masks", [models])) == ["medsam_vit_b.pth"]


@pytest.mark.parametrize("name", ["mobile_sam.pt", "MobileSAM.pth", "mobile_sam_v1.safetensors"])
def test_mobile_sam_is_found(models, name):
    write(models / "sams" / name)
    assert list(find_models("masks", [models])) == [name]


def test_a_folder_is_judged_by_what_its_config_says(models):
    write_folder(models / "grounding-dino" / "swin", "swin")
    write_folder(models / "grounding-dino" / "mm", "mm-grounding-dino")
    damaged = write_folder(models / "grounding-dino" / "damaged", "grounding-dino") / "config.json"
    damaged.write_text('{"model_type": "groun', encoding="utf-8")
    odd = write_folder(models / "grounding-dino" / "odd", "grounding-dino") / "config.json"
    odd.write_text('["grounding-dino"]', encoding="utf-8")
    deep = write_folder(models / "grounding-dino" / "deep", "grounding-dino") / "config.json"
    deep.write_text("[" * 100_000, encoding="utf-8")
    listed = write_folder(models / "grounding-dino" / "listed", "grounding-dino") / "config.json"
    listed.write_text('{"model_type": ["grounding-dino"]}', encoding="utf-8")
    assert list(find_models("phrases", [models])) == ["mm"]
    assert find_models("masks", [models]) == {}


@pytest.mark.parametrize(
    ("kind", "model_type", "missing"),
    [
        ("phrases", "grounding-dino", "model.safetensors"),
        ("phrases", "grounding-dino", "tokenizer.json"),
        ("masks", "sam2", "model.safetensors"),
        ("language", "qwen2_5_vl", "model.safetensors"),
        ("language", "qwen2_5_vl", "tokenizer.json"),
        ("language", "qwen2_5_vl", "preprocessor_config.json"),
    ],
)
def test_an_incomplete_folder_is_left_out(models, kind, model_type, missing):
    place = {"phrases": "grounding-dino", "masks": "sams", "language": "LLM"}[kind]
    write_folder(models / place / "whole", model_type)
    write_folder(models / place / "half", model_type, without=(missing,))
    assert list(find_models(kind, [models])) == ["whole"]


def test_weights_in_parts_count_when_all_parts_are_there(models):
    folder = write_folder(models / "LLM" / "Qwen2.5-VL-7B-Instruct", "qwen2_5_vl", without=("model.safetensors",))
    parts = [f"model-0000{n}-of-00002.safetensors" for n in (1, 2)]
    index = {"weight_map": {"a": parts[0], "b": parts[0], "c": parts[1]}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index), encoding="utf-8")
    write(folder / parts[0])
    assert find_models("language", [models]) == {}
    write(folder / parts[1])
    assert find_models("language", [models]) == {"Qwen2.5-VL-7B-Instruct": folder}


@pytest.mark.parametrize("places", [["a"], None, {"a": 5}, {"a": ["b"]}, {"a": "x" * 300}, {"a": "\0"}])
def test_an_odd_index_of_parts_is_no_weights(models, places):
    folder = write_folder(models / "LLM" / "odd", "qwen2_5_vl", without=("model.safetensors",))
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": places}), encoding="utf-8")
    assert find_models("language", [models]) == {}


@pytest.mark.parametrize("number", [errno.EACCES, errno.ENOTCONN])
def test_a_folder_of_somebody_else_and_a_dead_mount_count_as_not_there(models, monkeypatch, number):
    other = write_folder(models / "grounding-dino" / "mine", "grounding-dino")
    denied = write_folder(models / "grounding-dino" / "theirs", "grounding-dino")
    real = os.stat

    def stat(path, *arguments, **options):
        named = Path(path) if isinstance(path, str | os.PathLike) else Path()
        # Of a folder that may not be entered it can be seen that it is there; of a dead mount not even that.
        if denied in named.parents or (named == denied and number == errno.ENOTCONN):
            raise OSError(number, os.strerror(number), str(path))
        return real(path, *arguments, **options)

    monkeypatch.setattr(os, "stat", stat)
    with pytest.raises(OSError):
        (denied / "config.json").is_file()
    assert find_models("phrases", [models]) == {"mine": other}
    with pytest.raises(LumosXError, match="There is no phrase detector"):
        choose_model("phrases", str(denied / "model"), [models])


def test_without_a_home_the_models_of_comfyui_are_found_nevertheless(models, monkeypatch):
    pwd = pytest.importorskip("pwd")

    def unknown(user):
        raise KeyError(user)

    monkeypatch.delenv("HOME")
    monkeypatch.setattr(pwd, "getpwuid", unknown)
    with pytest.raises(RuntimeError):
        Path.home()
    face = models / "insightface" / "det_10g.onnx"
    write(face)
    assert find_models("faces", [models]) == {"det_10g.onnx": face}
    with pytest.raises(LumosXError, match="There is no face detector '~/det.onnx'"):
        choose_model("faces", "~/det.onnx", [models])


def test_hidden_and_partial_files_and_dangling_links_are_left_out(models):
    sams = models / "sams"
    write(sams / "sam_vit_b_01ec64.pth.part", sams / "sam_vit_l.pth.incomplete", sams / ".sam_vit_h.1234.partial.pth")
    for junk in (".cache", "@eaDir", "__MACOSX", "$RECYCLE.BIN", "#recycle", "lost+found"):
        write_folder(sams / junk / "sam2", "sam2")
        write(sams / junk / "sam_vit_b_01ec64.pth")
    (sams / "sam_vit_l_0b3195.pth").symlink_to(models / "gone.pth")
    (sams / "gone").symlink_to(models / "gone")
    assert find_models("masks", [models]) == {}


def test_links_to_models_elsewhere_are_followed(models, tmp_path):
    write(tmp_path / "disk" / "sam_vit_b_01ec64.pth")
    write_folder(tmp_path / "disk" / "sam2", "sam2")
    (models / "sams").mkdir(parents=True)
    (models / "sams" / "sam_vit_b.pth").symlink_to(tmp_path / "disk" / "sam_vit_b_01ec64.pth")
    (models / "sams" / "sam2").symlink_to(tmp_path / "disk" / "sam2")
    (models / "sams" / "around").symlink_to(models / "sams")
    assert {"sam_vit_b.pth", "sam2"} <= find_models("masks", [models]).keys()


@pytest.mark.parametrize("variables", [{}, {"HF_HOME": "hf"}, {"HF_HUB_CACHE": "cache"}, {"XDG_CACHE_HOME": "xdg"}])
def test_the_hubs_cache_is_looked_into(home, models, tmp_path, monkeypatch, variables):
    caches = {"HF_HOME": "hf/hub", "HF_HUB_CACHE": "cache", "XDG_CACHE_HOME": "xdg/huggingface/hub"}
    cache = home / ".cache" / "huggingface" / "hub"
    for name, folder in variables.items():
        monkeypatch.setenv(name, str(tmp_path / folder))
        cache = tmp_path / caches[name]
    dino = write_folder(write_snapshot(cache, "IDEA-Research/grounding-dino-tiny"), "grounding-dino")
    face = write_snapshot(cache, "public-data/insightface") / "models" / "buffalo_l" / "det_10g.onnx"
    sam = write_snapshot(cache, "ybelkada/segment-anything") / "checkpoints" / "sam_vit_b_01ec64.pth"
    write(face, sam)
    assert find_models("phrases", [models]) == {"IDEA-Research/grounding-dino-tiny": dino}
    assert find_models("faces", [models]) == {"buffalo_l/det_10g.onnx": face}
    assert find_models("masks", [models]) == {"checkpoints/sam_vit_b_01ec64.pth": sam}


def test_a_hub_cache_below_comfyuis_folder_is_looked_into(models):
    cache = models / "grounding-dino"
    dino = write_folder(write_snapshot(cache, "IDEA-Research/grounding-dino-base"), "grounding-dino")
    in_root = write_folder(write_snapshot(models, "me/dino"), "grounding-dino")
    found = find_models("phrases", [models])
    assert found == {"IDEA-Research/grounding-dino-base": dino, "me/dino": in_root}


def test_the_current_commit_counts_and_an_older_one_where_it_is_half(home, models):
    cache = home / ".cache" / "huggingface" / "hub"
    old = write_folder(write_snapshot(cache, "a/dino", "zzz"), "grounding-dino")
    new = write_folder(write_snapshot(cache, "a/dino", "aaa"), "grounding-dino")
    assert find_models("phrases", [models]) == {"a/dino": new}
    (new / "model.safetensors").unlink()
    (new / "model.safetensors").symlink_to(cache / "models--a--dino" / "blobs" / "gone")
    assert find_models("phrases", [models]) == {"a/dino": old}


def test_the_best_known_comes_first_then_comfyuis_folder_then_the_names_in_order(home, models):
    cache = home / ".cache" / "huggingface" / "hub"
    write(
        models / "sams" / "sam_vit_b_01ec64.pth", models / "sams" / "a_sam_vit_b.pth", models / "SAM" / "sam_vit_x.pth"
    )
    write(models / "sams" / "sam_vit_h_4b8939.pth")
    write_folder(write_snapshot(cache, "facebook/sam2.1-hiera-large"), "sam2_video")
    names = ["sam_vit_h_4b8939.pth", "facebook/sam2.1-hiera-large", "sam_vit_b_01ec64.pth"]
    assert list(find_models("masks", [models])) == [*names, "a_sam_vit_b.pth", "sam_vit_x.pth"]


def test_of_one_name_in_two_folders_the_first_folder_counts(home, models, tmp_path):
    other = tmp_path / "other"
    name = "insightface/models/buffalo_l/det_10g.onnx"
    write(models / name, other / name, home / ".insightface" / "models" / "buffalo_l" / "det_10g.onnx")
    assert find_models("faces", [models, other]) == {"buffalo_l/det_10g.onnx": models / name}
    assert find_models("faces", [other, models]) == {"buffalo_l/det_10g.onnx": other / name}


def test_two_models_whose_short_names_are_the_same_keep_apart(models):
    one = write_folder(models / "LLM" / "a" / "x" / "model", "qwen2_vl")
    two = write_folder(models / "LLM" / "b" / "x" / "model", "qwen2_vl")
    assert find_models("language", [models]) == {"x/model": one, "b/x/model": two}


def test_folders_of_one_kind_are_searched_whatever_their_names(models, tmp_path):
    cutters, dino = tmp_path / "cutters", tmp_path / "boxes" / "x" / "y" / "z" / "dino"
    write(models / "sams" / "sam_vit_b_01ec64.pth", cutters / "old" / "sam_vit_l_0b3195.pth")
    write_folder(cutters / "sam2.1-hiera-tiny", "sam2")
    write_folder(dino, "grounding-dino")
    names = ["old/sam_vit_l_0b3195.pth", "sam_vit_b_01ec64.pth", "sam2.1-hiera-tiny"]
    assert list(find_models("masks", [models], own=[cutters])) == names
    assert find_models("phrases", [models], own=[tmp_path / "boxes"]) == {"z/dino": dino}
    assert choose_model("phrases", "z/dino", [models], own=[tmp_path / "boxes"]) == dino
    assert choose_model("phrases", None, [models], own=[tmp_path / "boxes"]) == dino


def test_a_folder_of_one_kind_counts_after_comfyuis_and_before_the_hubs_cache(home, models, tmp_path):
    cache = home / ".cache" / "huggingface" / "hub"
    cached = write_folder(write_snapshot(cache, "me/dino"), "grounding-dino")
    own = write_folder(tmp_path / "own" / "me" / "dino", "grounding-dino")
    assert find_models("phrases", [models], own=[tmp_path / "own"]) == {"me/dino": own}
    first = write_folder(models / "grounding-dino" / "me" / "dino", "grounding-dino")
    assert find_models("phrases", [models], own=[tmp_path / "own"]) == {"me/dino": first}
    assert find_models("phrases", []) == {"me/dino": cached}


def test_a_model_that_two_of_the_folders_hold_is_listed_once(models):
    path = write_folder(models / "LLM" / "Qwen-VL" / "Qwen3-VL-4B-Instruct", "qwen3_vl")
    own = [models / "LLM", models / "LLM" / "Qwen-VL"]
    assert find_models("language", [models], own=own) == {"Qwen-VL/Qwen3-VL-4B-Instruct": path}


def test_folders_of_one_kind_are_named_where_there_is_no_model(models, tmp_path):
    with pytest.raises(LumosXError, match=f"sam2, {tmp_path / 'cutters'} are used as well"):
        choose_model("masks", None, [models], own=[tmp_path / "cutters"])


def test_a_model_is_chosen_by_name_by_path_or_as_the_first(models, tmp_path):
    first, second = models / "sams" / "sam_vit_h_4b8939.pth", models / "sams" / "sam_vit_b_01ec64.pth"
    elsewhere = tmp_path / "elsewhere.pth"
    write(first, second, elsewhere)
    assert choose_model("masks", None, [models]) == first
    assert choose_model("masks", "auto", [models]) == first
    assert choose_model("masks", "sam_vit_b_01ec64.pth", [models]) == second
    assert choose_model("masks", str(elsewhere), [models]) == elsewhere


def test_an_unknown_choice_lists_what_is_there(models):
    write(models / "sams" / "sam_vit_b_01ec64.pth", models / "sams" / "sam_vit_x.pth")
    with pytest.raises(LumosXError, match="'sam_vit_z'.*sam_vit_b_01ec64.pth, sam_vit_x.pth.*path.*auto"):
        choose_model("masks", "sam_vit_z", [models])


@pytest.mark.parametrize("wanted", [None, "det_34g.onnx"])
def test_a_missing_model_is_named_with_size_licence_place_and_command(models, wanted):
    with pytest.raises(LumosXError) as raised:
        choose_model("faces", wanted, [models])
    message = str(raised.value)
    place = models / "insightface" / "models" / "face_detection"
    command = own_command("download", "--photographs", models)
    for part in ("face detector", command, "det_10g", "16.9 MB", "non-commercial"):
        assert part in message
    assert str(place) in message and (wanted or "face detector") in message


def test_a_missing_language_model_is_fetched_by_its_name():
    message = str(missing_model("language", []))
    assert own_command("download", "--photo-model", "qwen2.5-vl-7b", Path("models").absolute()) in message
    assert "qwen2.5-vl-3b (7.52 GB, Qwen Research License, non-commercial)" in message


def test_the_table_has_each_model_once_and_a_default_for_what_a_scene_needs():
    assert len({model.name for model in PHOTO_MODELS}) == len(PHOTO_MODELS)
    assert len({model.path_in(Path()) for model in PHOTO_MODELS}) == len(PHOTO_MODELS)
    assert [photo_model(name).kind for name in DEFAULTS] == ["faces", "phrases", "masks"]
    for kind in ("faces", "phrases", "masks", "language"):
        assert models_of(kind)
    with pytest.raises(LumosXError, match="'sam'.*sam_vit_b"):
        photo_model("sam")


@pytest.mark.parametrize("model", PHOTO_MODELS, ids=lambda model: model.name)
def test_each_model_of_the_table_is_found_where_its_download_puts_it(models, model):
    types = {"phrases": "grounding-dino", "masks": "sam2_video", "language": "qwen2_5_vl"}
    path = model.path_in(models)
    write_folder(path, types[model.kind]) if model.in_folder else write(path)
    assert list(find_models(model.kind, [models]).values()) == [path]
