"""`lumosx check-data` reads everything, says what is wrong with each sample, and never stops at the first."""

import json
import re
import shutil
from pathlib import Path

import pytest
import torch
from sample_files import CAPTION, make_picture, make_sample, make_video, noise, ramp, scene, truncate

from lumosx_core.commands.main import main
from lumosx_core.scene.case_folder import Case, read_case
from lumosx_core.scene.write_case import write_case
from lumosx_training.data.check_data import DataReport, check_data
from lumosx_training.data.samples import RawSample

EXAMPLE = Path(__file__).resolve().parents[3] / "examples" / "two_people"


@pytest.fixture
def data(tmp_path):
    """Two good samples, and one for each kind of bad one."""
    root = tmp_path / "data"
    for name in ("good 1", "good 2", "caption", "face", "phrase", "picture", "truncated", "short", "video"):
        make_sample(root / name)
    (root / "caption/caption.txt").write_text("clip;")
    (root / "face/subjects/1/face_man.png").unlink()
    (root / "phrase/objects/red cup.png").rename(root / "phrase/objects/blue cup.png")
    (root / "picture/objects/red cup.png").write_bytes(b"")
    (root / "truncated/video.mp4").unlink()
    truncate(make_video(root / "truncated/video.mp4", noise(9)))
    make_video(root / "short/video.mp4", ramp(3))
    (root / "video/video.mp4").write_bytes(b"")
    return root


REASONS = {
    "caption": "caption.txt has no prompt",
    "face": "Subject 1 has no face",
    "phrase": 'Phrase "blue cup" of object 1 does not occur in the prompt',
    "picture": "red cup.png: the file is empty",
    "short": "has 3 frames at 16 frames a second, fewer than 9",
    "truncated": "video.mp4 is truncated or damaged",
    "video": "video.mp4 is empty",
}


def test_every_bad_sample_is_named_with_its_reason(data, tmp_path, capsys):
    with pytest.raises(SystemExit) as ended:
        main(["check-data", str(data), "--frames", "9", "--json", str(tmp_path / "report.json"), "--workers", "2"])
    assert ended.value.code == 1
    lines = capsys.readouterr().out.splitlines()
    bad = dict(re.fullmatch(rf"BAD      {data}/(\w+): (.*)", line).groups() for line in lines if line.startswith("BAD"))
    assert list(bad) == sorted(REASONS)
    assert all(REASONS[name] in bad[name] for name in REASONS)
    summary = "\n".join(lines[-5:])
    assert "9 samples: 2 good, 7 bad" in summary
    assert "subjects  1: 2" in summary and "images    4: 2" in summary and "48x32: 2" in summary
    assert "0.6 to 0.6, median 0.6, together 1" in summary

    report = json.loads((tmp_path / "report.json").read_text())
    assert (report["samples"], report["good"]) == (9, 2)
    assert {bad["path"] for bad in report["bad"]} == {str(data / name) for name in REASONS}
    assert report["subjects"] == {"1": 2} and report["sizes"] == {"48x32": 2}
    assert report["seconds"] == {"good 1": pytest.approx(9 / 16, abs=1e-3), "good 2": pytest.approx(9 / 16, abs=1e-3)}


def test_a_good_data_set_ends_well(tmp_path, capsys):
    make_sample(tmp_path / "data" / "clip")
    assert main(["check-data", str(tmp_path / "data")]) == 0
    assert "1 samples: 1 good, 0 bad" in capsys.readouterr().out


def test_what_is_allowed_but_seldom_meant_is_a_warning(tmp_path, capsys):
    folder = make_sample(tmp_path / "data" / "clip")
    (folder / "subjects/1/face_man.png").unlink()
    make_picture(folder / "subjects/2/face_.png")
    assert main(["check-data", str(tmp_path / "data"), "--allow-faceless"]) == 0
    out = capsys.readouterr().out
    assert f"warning  {folder}: Subject 1 has no face: who it is cannot be learned" in out
    assert f"warning  {folder}: The face of subject 2 is bound to no words" in out
    assert "1 good, 0 bad, 1 with warnings" in out


def test_damage_behind_the_first_frame_is_found(tmp_path):
    path = make_sample(tmp_path / "data" / "clip") / "video.mp4"
    make_video(path, noise(33))
    content = bytearray(path.read_bytes())
    start = len(content) * 3 // 4
    content[start : start + 3000] = bytes(3000)
    path.write_bytes(content)
    with pytest.raises(SystemExit):
        main(["check-data", str(tmp_path / "data")])


def test_the_text_encoders_tokens_decide_about_phrases(tmp_path, tiny_models, capsys):
    from lumosx_core.files.model_files import find_model_files

    encoder = str(find_model_files(tiny_models).text_encoder)
    make_sample(tmp_path / "data" / "good")
    assert main(["check-data", str(tmp_path / "data"), "--text-encoder", encoder]) == 0
    make_sample(tmp_path / "data" / "long", prompt=CAPTION * 60)
    make_sample(tmp_path / "data" / "other", prompt=CAPTION.replace("red cup", "blue cup"))
    with pytest.raises(SystemExit):
        main(["check-data", str(tmp_path / "data"), "--text-encoder", encoder])
    out = capsys.readouterr().out
    assert "model reads 512" in out and 'Phrase "red cup" of object 1 does not occur' in out


class Odd:
    """A source that fails as no source should."""

    def keys(self):
        return ["first", "second", "third", "caf\udce9"]

    def load(self, key):
        if key == "second":
            raise RuntimeError("a decoder gave up")
        return RawSample(key, Case(None, CAPTION, scene()), torch.zeros(5, 16, 32, 3))


def test_a_failure_that_nobody_foresaw_is_reported_and_passed():
    report = DataReport(list(check_data(Odd(), workers=3)))
    assert [finding.key for finding in report.findings] == ["first", "second", "third", r"caf\udce9"]
    assert [finding.reasons for finding in report.bad] == [
        ("Reading it failed unexpectedly (RuntimeError: a decoder gave up). Replace it.",)
    ]
    assert report.good[0].size == (16, 32) and report.good[0].seconds == 5 / 16
    json.dumps(report.as_json()).encode()


def test_bad_calls_end_before_the_reading(tmp_path, capsys):
    make_sample(tmp_path / "data" / "clip")
    assert main(["check-data", str(tmp_path / "nowhere")]) == 2
    assert main(["check-data", str(tmp_path / "data"), "--json", str(tmp_path / "no/report.json")]) == 2
    err = capsys.readouterr().err
    assert "There is nothing at" in err and "folder for the report" in err


def test_many_kinds_are_counted_by_the_most_frequent():
    report = DataReport(list(check_data(Odd())))
    kinds = [3] * 5 + [1] * 9 + list(range(10, 20))
    report.findings = [type(report.good[0])(str(n), str(n), subjects=n) for n in kinds]
    assert "subjects  1: 9, 3: 5, 10: 1, 11: 1, 12: 1, 13: 1, 14: 1, 15: 1, 4 others: 4" in report.summary()


def test_packing_reports_the_same_and_makes_shards_of_the_good(data, tmp_path, capsys):
    with pytest.raises(SystemExit) as ended:
        main(["pack", str(data), str(tmp_path / "shards"), "--samples", "1"])
    assert ended.value.code == 1
    out = capsys.readouterr().out
    # A pack is for any length of clip and any tokeniser: short videos and phrases are not its business.
    assert out.count("BAD") == 5 and "Packed 4 of 9 samples" in out
    with pytest.raises(SystemExit):
        main(["check-data", str(tmp_path / "shards" / "clips-*.tar"), "--frames", "9"])
    assert "4 samples: 2 good, 2 bad" in capsys.readouterr().out


def test_an_example_of_the_repository_becomes_a_sample_that_passes(tmp_path, capsys):
    shutil.copytree(EXAMPLE, tmp_path / "data" / "two_people")
    make_video(tmp_path / "data/two_people/video.mp4", ramp(5))
    write_case(tmp_path / "data" / "again", read_case(tmp_path / "data/two_people"))
    shutil.copy(tmp_path / "data/two_people/video.mp4", tmp_path / "data/again")
    assert main(["check-data", str(tmp_path / "data")]) == 0
    assert "subjects  2: 2" in capsys.readouterr().out
