"""`lumosx evaluate` from folders to a report, with networks in miniature."""

from __future__ import annotations

import json

import pytest
import tiny_embedders
import torch
from two_people import COLOURS, face_image, frame, write_face_networks

from lumosx_core.commands.main import main
from lumosx_core.media.images import to_pil
from lumosx_core.media.video import write_video

for package in ("av", "insightface", "onnx", "scipy", "transformers"):
    pytest.importorskip(package)

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    write_face_networks(folder)
    tiny_embedders.write_face_api(folder / "evaluation" / "dlib")
    tiny_embedders.write_clip(folder / "evaluation" / "clip")
    return folder


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    for name in ("HF_HOME", "HF_HUB_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)


def video(path, *colours, frames=3):
    return write_video(path, frame(*colours)[None].expand(frames, -1, -1, -1), 8)


@pytest.fixture
def folders(tmp_path):
    """Cases of two people; for "good" and "swapped" there are videos."""
    results, cases = tmp_path / "results", tmp_path / "cases"
    results.mkdir()
    for name in ("good", "swapped"):
        write_case(cases / name)
    video(results / "good.mp4", *COLOURS.values())
    video(results / "swapped.mp4", *reversed(COLOURS.values()))
    return results, cases, tmp_path / "report"


def write_case(folder, *, truth=True):
    for number, (word, colour) in enumerate(zip(("man", "woman"), COLOURS.values(), strict=True), 1):
        face = folder / "subjects" / str(number) / f"face_{word}.png"
        face.parent.mkdir(parents=True)
        to_pil(face_image(colour)).save(face)
    (folder / "caption.txt").write_text("x;A man and a woman stand in a room.", encoding="utf-8")
    if truth:
        video(folder / "video.mp4", *COLOURS.values())


def run(folders, models, *more):
    results, cases, out = folders
    options = ["--cases", str(cases), "--out", str(out), "--models", str(models), "--device", "cpu"]
    return main(["evaluate", str(results), *options, *more])


def exit_code(folders, models, *more) -> int:
    try:
        return run(folders, models, *more)
    except SystemExit as ended:
        return ended.code


def report(folders):
    return json.loads((folders[2] / "report.json").read_text(encoding="utf-8"))


def test_a_folder_of_videos_becomes_a_report_that_tells_good_from_swapped(folders, models, capsys):
    assert run(folders, models) == 0
    said = capsys.readouterr()
    assert "2 of 2 cases were measured." in said.out and "not the paper's weights" in said.out
    assert "Left out: optical flow" in said.err and "Not measured: dynamic, without optical flow." in said.err
    content = report(folders)
    good, swapped = content["cases"]
    assert good["name"] == "good" and good["scores"]["identity"]["arc"] > 0.9
    labels = {
        case["name"]: [
            label["label"]
            for each in case["scores"]["misbinding"]
            if each["dimension"] == "face"
            for label in each["labels"]
        ]
        for case in content["cases"]
    }
    assert labels == {"good": ["ok", "ok"], "swapped": ["swap", "swap"]}
    assert "No network for flow." in swapped["scores"]["skipped"]["dynamic"]
    page = (folders[2] / "report.html").read_text(encoding="utf-8")
    assert "are swapped." in page and "data:image/jpeg;base64," in page


def test_what_goes_wrong_with_a_case_is_in_the_report_and_the_others_are_measured(folders, models, capsys):
    results, cases, _ = folders
    for name in ("broken", "empty", "missing", "no scene", "ünïcode 王 <b>"):
        write_case(cases / name, truth=False)
    (cases / "no scene" / "caption.txt").unlink()
    (results / "broken.mp4").write_bytes((results / "good.mp4").read_bytes()[:900])
    (results / "empty.mp4").write_bytes(b"")
    video(results / "no scene.mp4", *COLOURS.values())
    video(results / "ünïcode 王 <b>.mp4", *COLOURS.values())
    video(results / "nobody's.mp4", *COLOURS.values())
    assert exit_code(folders, models, "--metrics", "identity") == 1
    said = capsys.readouterr()
    content = report(folders)
    problems = {case["name"]: case["problem"] for case in content["cases"]}
    assert "truncated or damaged" in problems["broken"] and "zero bytes" in problems["empty"]
    assert "There is no generated video missing.mp4" in problems["missing"]
    assert "caption.txt" in problems["no scene"]
    assert problems["good"] is problems["ünïcode 王 <b>"] is None
    assert content["files_without_a_case"] == ["nobody's.mp4"]
    assert "3 of 7 cases were measured." in said.out and "Not used: nobody's.mp4" in said.err
    page = (folders[2] / "report.html").read_text(encoding="utf-8")
    assert "ünïcode 王 &lt;b&gt;" in page and "<b>" not in page


def test_a_video_without_faces_has_scores_of_zero_and_says_who_was_missed(folders, models):
    write_video(folders[0] / "good.mp4", torch.full((3, 64, 64, 3), 0.4), 8)
    assert run(folders, models, "--metrics", "identity", "misbinding") == 0
    scores = report(folders)["cases"][0]["scores"]
    assert scores["identity"]["arc"] == 0 and scores["identity"]["missed"] == [1, 1]
    assert [label["label"] for label in scores["misbinding"][0]["labels"]] == ["missing", "missing"]


def test_a_case_without_any_score_does_not_count_as_measured(folders, models, capsys):
    for face in (folders[1] / "good").rglob("face_*.png"):
        face.rename(face.with_name("coat.png"))
    assert exit_code(folders, models, "--metrics", "identity") == 1
    assert "1 of 2 cases were measured." in capsys.readouterr().out
    assert report(folders)["cases"][0]["problem"].startswith("No metric has a score: identity (")


def test_a_second_run_replaces_the_report_and_leaves_other_files(folders, models):
    assert run(folders, models, "--metrics", "identity") == 0
    (folders[2] / "notes.txt").write_text("mine")
    (folders[0] / "swapped.mp4").unlink()
    assert exit_code(folders, models, "--metrics", "identity") == 1
    assert report(folders)["cases"][1]["problem"]
    assert sorted(path.name for path in folders[2].iterdir()) == ["notes.txt", "report.html", "report.json"]


def test_a_network_that_is_named_is_used(folders, models, capsys):
    named = f"arc={models / 'evaluation' / 'dlib'}"
    assert run(folders, models, "--metrics", "identity", "--network", named) == 0
    assert report(folders)["networks"]["arc"]["name"] == "dlib's face ResNet"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--metrics", "beauty"), "--metrics 'beauty' is unknown. Use some of these, with spaces between: identity"),
        (("--network", "arc"), "is not PART=PATH"),
        (("--network", "nose=x"), "with one of the parts faces, phrases"),
        (("--network", "arc=a", "--network", "arc=b"), "names arc twice"),
        (("--metrics", "identity", "--calibrate"), "misbinding, which is not among the metrics"),
        (
            ("--metrics", "dynamic", "consistency"),
            "None of the metrics can be measured: networks are missing (video, flow)",
        ),
        (("--metrics", "dynamic", "misbinding", "--calibrate", "--models", "/nowhere"), "None of the metrics"),
        (("--network", "arc=/nowhere.onnx"), "no face recogniser at '/nowhere.onnx'"),
    ],
)
def test_mistakes_in_options_are_refused_before_the_work(folders, models, capsys, options, message):
    assert run(folders, models, *options) == 2
    assert message in capsys.readouterr().err
    assert not (folders[2] / "report.json").exists()


def test_a_report_that_cannot_be_written_is_refused_before_the_work(folders, models, capsys):
    folders[2].write_text("a file")
    assert run(folders, models) == 2
    assert "cannot be created" in capsys.readouterr().err


def test_the_threshold_can_come_from_the_ground_truths(folders, models, capsys):
    def thresholds():
        content = report(folders)
        return {each["dimension"]: each["threshold"] for case in content["cases"] for each in dimensions(case)}

    def dimensions(case):
        return case["scores"]["misbinding"]

    assert run(folders, models, "--metrics", "misbinding") == 0
    assert thresholds()["face"] == 0.1
    assert run(folders, models, "--metrics", "misbinding", "--calibrate") == 0
    assert 0 < thresholds()["face"] < 0.1  # all frames of the ground truths are alike
    for name in ("good", "swapped"):
        (folders[1] / name / "video.mp4").unlink()
    assert run(folders, models, "--metrics", "misbinding", "--calibrate") == 2
    assert "nothing can be calibrated" in capsys.readouterr().err
