"""What is missing is reported before the first stage begins, and not after the hours that earlier stages take."""

from __future__ import annotations

import sys
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from synthetic_stages import Cut, Probe, Sample, Unique, videos

from lumosx_core.errors import LumosXError, MissingPackageError
from lumosx_training.prepare.dataset import Dataset
from lumosx_training.prepare.filters.all_filters import FilterNetworks
from lumosx_training.prepare.pipeline import LAST, build_stages
from lumosx_training.prepare.runner.local import LocalExecution
from lumosx_training.prepare.runner.run import RunOptions, run
from lumosx_training.prepare.scene_settings import BackgroundSettings, ChatSettings, FinderSettings
from lumosx_training.prepare.settings import CrowdSettings, FilterSettings, MotionSettings, read_settings
from lumosx_training.prepare.stages.filter import Filter
from lumosx_training.prepare.videos import find_videos


def checked(changes=(), networks=None, **tables) -> dict[str, str]:
    """The name of each stage -> what its check says; empty if it can start."""
    messages = {}
    for stage in build_stages(replace(read_settings(None, changes), **tables), networks):
        try:
            stage.check()
            messages[stage.name] = ""
        except LumosXError as error:
            messages[stage.name] = str(error)
    return messages


def test_empty_tables_of_chat_and_finders_are_refused_by_their_stages():
    said = checked()
    assert "chat.folder is empty" in said["caption"] and said["caption"] == said["words"]
    assert "finders.faces is empty" in said["people"] and said["people"] == said["references"]


def test_an_endpoint_without_address_model_or_key_is_refused(monkeypatch):
    monkeypatch.delenv("LUMOSX_NO_KEY", raising=False)
    endpoint = ChatSettings(
        method="endpoint", base_url="http://localhost:1/v1", model="m", key_variable="LUMOSX_NO_KEY"
    )
    assert "LUMOSX_NO_KEY" in checked(chat=endpoint)["words"]
    monkeypatch.setenv("LUMOSX_NO_KEY", "text")
    assert checked(chat=endpoint)["words"] == ""
    assert "chat.model is empty" in checked(chat=replace(endpoint, model=""))["caption"]
    assert "chat.base_url is empty" in checked(chat=replace(endpoint, base_url=""))["caption"]


@pytest.mark.parametrize(
    ("stage", "changes", "message"),
    [
        ("caption", ['chat.folder="nowhere"'], "chat.folder is 'nowhere', but nothing is there"),
        ("cut", ['cut.detector="transnetv2"', 'cut.weights="nowhere.pth"'], "transnetv2|nowhere.pth"),
        ("filter", ['filter.motion.method="raft"', 'filter.motion.weights="no.pth"'], "torchvision|no.pth"),
        ("filter", ['filter.people.model="nobody.onnx"'], "filter.people needs a face detector"),
        ("background", ['background.method="diffusers"', 'background.folder="FLUX"'], "diffusers|FLUX"),
    ],
)
def test_what_the_settings_name_must_be_there(stage, changes, message):
    assert any(part in checked(changes)[stage] for part in message.split("|"))


def test_networks_of_finders_must_be_there(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    given = FinderSettings(faces=str(tmp_path / "file"), phrases=str(tmp_path), masks=str(tmp_path / "sam.pth"))
    assert "finders.masks" in checked(finders=given)["people"]
    identity = replace(given, masks=str(tmp_path / "file"), identity=str(tmp_path / "arc.onnx"))
    said = checked(finders=identity)["references"]
    assert "finders.identity" in said or "insightface" in said


@pytest.mark.parametrize(
    ("module", "settings", "message"),
    [
        ("imagehash", FilterSettings(), "imagehash"),
        ("cv2", FilterSettings(), "opencv-python"),
        ("rapidocr", FilterSettings(), "filter.subtitles.method = 'none'"),
        ("pyiqa", FilterSettings(people=CrowdSettings(method="none")), "filter.quality.method = 'none'"),
        ("torchvision", FilterSettings(motion=MotionSettings(method="raft", weights="raft.pth")), "torchvision"),
    ],
)
def test_a_missing_package_of_a_filter_is_reported_without_loading_one(monkeypatch, module, settings, message):
    for each in ("imagehash", "cv2", "rapidocr", "pyiqa", "torchvision"):
        monkeypatch.setitem(sys.modules, each, sys if each != module else None)
        monkeypatch.setattr(sys, "__spec__", object(), raising=False)
    with pytest.raises(MissingPackageError, match=message):
        Filter(settings, FilterNetworks(people=lambda: len)).check()


def test_networks_that_are_given_need_nothing(monkeypatch):
    for each in ("rapidocr", "pyiqa"):
        monkeypatch.setitem(sys.modules, each, None)
    networks = FilterNetworks(reader=object, people=lambda: len, scorer=object)
    assert checked(networks=networks)["filter"] == ""


@dataclass(frozen=True)
class Lacking(Sample):
    def check(self) -> None:
        raise LumosXError("finders.faces is empty.")


def start(root: Path, only=None):
    stages = [Probe(), Cut(), Unique(), Lacking()]
    options = RunOptions(only)
    return run(Dataset(root, LAST), videos(5), stages, LocalExecution(), {}, options, say=lambda text: None)


def test_a_run_ends_before_its_first_stage_and_says_which_stages_can_do_without(tmp_path):
    with pytest.raises(LumosXError, match=r"'sample' could not start\. finders.*--stages probe,cut,unique"):
        start(tmp_path / "data")
    assert not (tmp_path / "data").exists()


def test_a_stage_that_is_not_run_needs_nothing(tmp_path):
    report = start(tmp_path / "data", only=["probe", "cut", "unique"])
    assert [stage.name for stage in report.stages] == ["probe", "cut", "unique"]


def clip(path: Path, content: bytes = b"video") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("out", ["raw", "raw/data", "raw/deep/data"])
def test_a_data_set_in_a_folder_of_videos_is_refused(tmp_path, out):
    clip(tmp_path / "raw" / "a.mp4")
    with pytest.raises(LumosXError, match="which would be taken for videos. Choose an --out"):
        find_videos([tmp_path / "raw"], tmp_path / out)


def test_its_own_clips_are_no_videos_for_a_data_set_and_videos_beside_them_are(tmp_path):
    clip(tmp_path / "data" / "samples" / "x" / "video.mp4")
    clip(tmp_path / "data" / "raw" / "a.mp4")
    with pytest.raises(LumosXError, match="which would be taken for videos"):
        find_videos([tmp_path / "data" / "samples"], tmp_path / "data")
    assert len(find_videos([tmp_path / "data" / "raw"], tmp_path / "data").videos) == 1
    (tmp_path / "list.txt").write_text("data")
    with pytest.raises(LumosXError, match="which would be taken for videos"):
        find_videos([tmp_path / "list.txt"], tmp_path / "data")


def test_links_to_folders_and_to_nothing_are_named(tmp_path):
    clip(tmp_path / "raw" / "a.mp4")
    (tmp_path / "raw" / "b.mp4").symlink_to("gone.mp4")
    (tmp_path / "raw" / "more").symlink_to(clip(tmp_path / "other" / "c.mp4", b"another").parent)
    found = find_videos([tmp_path / "raw"])
    assert [path.name for path in found.ignored] == ["b.mp4", "more"] and len(found.videos) == 1


def test_a_folder_without_videos_says_how_many_files_it_has(tmp_path):
    clip(tmp_path / "raw" / "a.rm")
    with pytest.raises(LumosXError, match="None of the 1 files there ends as a video does"):
        find_videos([tmp_path / "raw"])


def test_backgrounds_without_a_network_need_nothing():
    assert checked(background=BackgroundSettings(method="none"))["background"] == ""
