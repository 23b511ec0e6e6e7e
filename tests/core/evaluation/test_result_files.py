"""Which video belongs to which case, and what of both is read."""

from __future__ import annotations

import pytest
import torch
from PIL import Image

from lumosx_core.errors import LumosXError
from lumosx_core.evaluation.measured_video import Protocol
from lumosx_core.evaluation.result_files import pair_up, read_pair, read_video
from lumosx_core.media.video import write_video

pytest.importorskip("av")


@pytest.fixture
def folders(tmp_path):
    """An empty folder of results, and one of cases with two cases."""
    for name in ("1", "10"):
        write_case(tmp_path / "cases" / name)
    (tmp_path / "results").mkdir()
    return tmp_path / "results", tmp_path / "cases"


def write_case(folder):
    face = folder / "subjects" / "1" / "face_man.png"
    face.parent.mkdir(parents=True)
    Image.new("RGB", (40, 50), (200, 150, 120)).save(face)
    (folder / "caption.txt").write_text("name;A man walks.", encoding="utf-8")


def test_a_case_gets_the_video_of_its_own_name_only(folders):
    results, cases = folders
    for name in ("10.mp4", "1.webm", "11.mp4", "notes.txt"):
        (results / name).write_bytes(b"x")
    pairs, extra = pair_up(results, cases)
    assert [(pair.name, pair.video.name) for pair in pairs] == [("1", "1.webm"), ("10", "10.mp4")]
    assert [path.name for path in extra] == ["11.mp4", "notes.txt"]


def test_under_the_reference_protocol_the_first_of_a_prefix_counts(folders):
    results, cases = folders
    (results / "10.mp4").write_bytes(b"x")
    pairs, extra = pair_up(results, cases, Protocol.REFERENCE)
    assert [pair.video.name for pair in pairs] == ["10.mp4", "10.mp4"] and extra == []


def test_a_case_without_a_video_or_with_two_is_kept_and_says_so(folders):
    results, cases = folders
    for name in ("1.mp4", "1.mov"):
        (results / name).write_bytes(b"x")
    pairs, extra = pair_up(results, cases)
    assert [pair.video for pair in pairs] == [None, None]
    with pytest.raises(LumosXError, match="both are videos of case"):
        read_pair(pairs[0], say=pytest.fail)
    with pytest.raises(LumosXError, match=r"no generated video 10\.mp4"):
        read_pair(pairs[1], say=pytest.fail)
    assert [path.name for path in extra] == ["1.mov", "1.mp4"]


def test_folders_that_hold_nothing_of_use_are_refused(folders, tmp_path):
    results, cases = folders
    with pytest.raises(LumosXError, match=r"holds no generated video.*CASE\.mp4"):
        pair_up(results, cases)
    with pytest.raises(LumosXError, match="is one case. Give the folder that holds it"):
        pair_up(results, cases / "1")
    with pytest.raises(LumosXError, match="holds no case folder"):
        pair_up(cases, results)
    with pytest.raises(LumosXError, match="--cases .*missing.* cannot be listed"):
        pair_up(results, tmp_path / "missing")
    with pytest.raises(LumosXError, match="RESULTS .*missing.* cannot be listed"):
        pair_up(tmp_path / "missing", cases)


def test_a_video_is_read_with_its_frames_rate_and_colours(tmp_path):
    frames = torch.zeros(12, 32, 48, 3)
    frames[:, :, :24] = torch.tensor([0.9, 0.2, 0.1])
    frames[6:, :, 24:] = torch.tensor([0.1, 0.3, 0.9])
    video = read_video(write_video(tmp_path / "a.mp4", frames, 12))
    assert video.frames.shape == (12, 32, 48, 3) and video.fps == pytest.approx(12, abs=0.1)
    for place in ((0, 8), (11, 8), (11, 40)):
        assert torch.allclose(video.frames[place[0], 16, place[1]], frames[place[0], 16, place[1]], atol=0.06)


def test_a_case_comes_with_its_ground_truth_and_what_was_left_out(folders):
    results, cases = folders
    frames = torch.rand(3, 32, 48, 3)
    write_video(results / "1.mp4", frames, 8)
    write_video(cases / "1" / "video.mp4", frames[:2], 8)
    (cases / "1" / "subjects" / "1" / "notes.txt").write_text("x")
    pairs, _ = pair_up(results, cases)
    said = []
    measured = read_pair(pairs[0], say=said.append)
    assert (measured.name, measured.file, len(measured.generated), len(measured.truth)) == ("1", "1.mp4", 3, 2)
    assert measured.case.prompt == "A man walks." and len(said) == 1 and "notes.txt" in said[0]


def test_a_damaged_ground_truth_is_not_passed_over(folders):
    results, cases = folders
    write_video(results / "1.mp4", torch.rand(3, 32, 48, 3), 8)
    (cases / "1" / "video.mp4").write_bytes(b"not a video")
    with pytest.raises(LumosXError, match=r"video\.mp4 is truncated or damaged"):
        read_pair(pair_up(results, cases)[0][0], say=lambda text: None)


def test_a_video_that_would_fill_the_memory_is_refused_before_it_is_decoded(tmp_path, monkeypatch):
    monkeypatch.setattr("lumosx_core.evaluation.result_files.MOST_BYTES", 10**5)
    with pytest.raises(LumosXError, match="12 frames of 48 x 32 pixels"):
        read_video(write_video(tmp_path / "a.mp4", torch.rand(12, 32, 48, 3), 8))
