"""Raw videos to samples, all stages together: shots, filters, duplicates, captions, owners, references."""

from __future__ import annotations

import json

import pytest

pytest.importorskip("av", reason="av is not installed")
pytest.importorskip("scipy", reason="scipy is not installed")
pytest.importorskip("openai", reason="openai is not installed")
pytest.importorskip("cv2", reason="cv2 is not installed")
pytest.importorskip("scenedetect", reason="scenedetect is not installed")
pytest.importorskip("imagehash", reason="imagehash is not installed")
pytest.importorskip("rapidocr", reason="rapidocr is not installed")
pytest.importorskip("pyarrow", reason="pyarrow is not installed")

from prepared_truth import outcomes, owners, table_rows
from raw_glyphs import make_up, write_videos
from run_glyphs import now_and_then, prepare

from lumosx_core.scene.case_folder import read_case
from lumosx_training.data.check_data import check_data
from lumosx_training.data.clips import ClipSettings
from lumosx_training.data.samples import SampleSettings
from lumosx_training.data.sources.open_source import open_source

pytestmark = pytest.mark.slow

SCALE, SEED = 4, 3


def chosen():
    """Of the first videos of this seed at most two of each kind, and what a copy is of."""
    videos, counts = [], {}
    for video in make_up(60, SEED):
        most = 7 if video.kind == "good" else 2 if video.kind in ("subtitles", "duplicate") else 1
        known = {each.name for each in videos}
        if counts.get(video.kind, 0) < most and (not video.of or video.of in known):
            counts[video.kind] = counts.get(video.kind, 0) + 1
            videos.append(video)
    return videos


def test_raw_videos_become_samples_with_the_right_owners(tmp_path):
    videos = chosen()
    truth = {video.name: video for video in videos}
    write_videos(videos, tmp_path / "raw", SCALE)
    report = prepare(tmp_path, videos, SCALE, workers=1, misbehaves=now_and_then, subtitles=True)
    data = tmp_path / "data"
    kinds = outcomes(data, truth)
    assert not any(reason.startswith("failed") for counts in kinds.values() for reason in counts)
    assert kinds["broken"] == {"probe: broken": 1}
    assert kinds["bars"] == {"filter: borders": 1}
    assert kinds["grey"] == {"filter: greyscale": 1}
    assert kinds["crowd"] == {"filter: people": 1}
    assert kinds["subtitles"] == {"filter: subtitles": 2}
    # Of a clip and its copy the better one is kept, whichever it is.
    copied = sum(len(video.shots) for video in videos if video.of)
    dropped = kinds["good"]["duplicates: duplicate"] + kinds["duplicate"]["duplicates: duplicate"]
    assert kinds["duplicate"]["sample"] + kinds["duplicate"]["duplicates: duplicate"] == copied == dropped

    score = owners(data / "samples", table_rows(data), truth)
    assert score.samples == report["samples"] >= 5
    assert score.wrong == 0 and score.found > 0.75, score.mistakes

    settings = SampleSettings(clip=ClipSettings(frames=(9,), sizes=((64, 80),)))
    findings = list(check_data(open_source(str(data / "samples"), settings), workers=0))
    assert len(findings) == score.samples and not any(each.reasons for each in findings)
    remarks: list[str] = []
    for folder in sorted((data / "samples").iterdir()):
        assert read_case(folder, say=remarks.append).scene.subjects
        assert json.loads((folder / "done.json").read_text())["rejected"] == ""
    assert remarks == []
