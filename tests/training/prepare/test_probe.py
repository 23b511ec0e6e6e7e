"""Which source videos there are, and which of them can be read to their end."""

from __future__ import annotations

import os
from fractions import Fraction

import numpy as np
import pytest
from made_videos import numbered, task, write, write_sound

from lumosx_core.errors import LumosXError
from lumosx_training.prepare.settings import ProbeSettings
from lumosx_training.prepare.stages.probe import Probe
from lumosx_training.prepare.videos import content_id, find_videos

SMALL = ProbeSettings(min_short_side=64, min_seconds=1)
FRAMES = [numbered(number, (200, 60, 50)) for number in range(48)]


def probe(path, tmp_path, settings=SMALL):
    [outcome] = Probe(settings).open()([task(path, tmp_path / "out")])
    return outcome


def test_a_sound_video_is_described(tmp_path):
    outcome = probe(write(tmp_path / "a.mp4", FRAMES, rate=Fraction(24000, 1001)), tmp_path)
    assert outcome.rejected == "" and outcome.children is None
    facts = dict(outcome.facts)
    assert facts.pop("bytes") > 500
    assert facts.pop("seconds") == pytest.approx(48 * 1001 / 24000, abs=1e-4)
    assert facts.pop("frames_per_second") == pytest.approx(24000 / 1001, rel=1e-4)
    assert facts == {
        "width": 96,
        "height": 64,
        "frames": 48,
        "constant_rate": True,
        "codec": "h264",
        "sound": False,
    }


def test_a_varying_rate_is_measured_by_the_times_of_frames(tmp_path):
    ticks = list(np.cumsum([0] + [20, 100] * 24))[:48]
    facts = probe(write(tmp_path / "a.mp4", FRAMES, times=ticks, clock=Fraction(1, 1000)), tmp_path).facts
    assert facts["constant_rate"] is False
    assert facts["seconds"] == pytest.approx(ticks[-1] / 1000 * 48 / 47, abs=0.01)


def broken_files(folder):
    whole = write(folder / "whole.mp4", FRAMES).read_bytes()
    matroska = write(folder / "whole.mkv", FRAMES).read_bytes()
    flipped = bytearray(whole)
    middle = len(whole) // 3
    flipped[middle : middle + 200] = bytes(255 - value for value in flipped[middle : middle + 200])
    contents = {
        "empty.mp4": b"",
        "text.mp4": b"This is a letter and not a video.\n" * 50,
        "half.mp4": whole[: len(whole) // 2],
        "half.mkv": matroska[: len(matroska) // 2] + b"\0" * 100,
        "head.mp4": whole[:40],
        "zeros.mp4": whole[:100] + bytes(len(whole) - 100),
        "list.mp4": b"#EXTM3U\n#EXTINF:1,\n/etc/hostname\n",
    }
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    write_sound(folder / "sound.mp4")
    return [*contents, "sound.mp4"]


def test_every_kind_of_broken_file_is_rejected_with_its_reason(tmp_path):
    reasons = {}
    for name in broken_files(tmp_path):
        outcome = probe(tmp_path / name, tmp_path)
        assert (name, outcome.rejected) == (name, "broken")
        reasons[name] = outcome.facts["reason"]
        assert str(tmp_path / name) in reasons[name]
    assert "zero bytes" in reasons["empty.mp4"]
    assert "no video stream" in reasons["sound.mp4"]
    assert "truncated or damaged" in reasons["half.mp4"]


def test_a_matroska_file_that_ends_early_is_broken_however_much_is_left(tmp_path):
    """FFmpeg reads what is there and reports no error."""
    whole = write(tmp_path / "whole.mkv", FRAMES)
    assert probe(whole, tmp_path).rejected == ""
    content = whole.read_bytes()
    for percent in (60, 70, 80):
        (tmp_path / "part.mkv").write_bytes(content[: len(content) * percent // 100])
        assert (percent, probe(tmp_path / "part.mkv", tmp_path).rejected) == (percent, "broken")


def test_small_and_short_videos_are_rejected_with_their_measures(tmp_path):
    path = write(tmp_path / "a.mp4", FRAMES)
    small = probe(path, tmp_path, ProbeSettings())
    assert small.rejected == "small" and small.facts["height"] == 64
    short = probe(path, tmp_path, ProbeSettings(min_short_side=64, min_seconds=3.5))
    assert short.rejected == "short" and short.facts["seconds"] == pytest.approx(3, abs=0.01)


def test_a_missing_video_is_an_error_and_no_result(tmp_path):
    with pytest.raises(LumosXError, match="no longer there"):
        probe(tmp_path / "gone.mp4", tmp_path)


def test_videos_are_found_in_order_and_the_same_content_once(tmp_path):
    folder = tmp_path / "videos"
    (folder / "b").mkdir(parents=True)
    for name in ("b/z.mp4", "a.MOV", "c.mkv"):
        (folder / name).write_bytes(name.encode())
    (folder / "d.mp4").write_bytes(b"c.mkv")  # the content of c.mkv
    (folder / "notes.pdf").write_bytes(b"x")
    (folder / ".hidden.mp4").write_bytes(b"y")
    other = tmp_path / "other.bin"
    other.write_bytes(b"other")
    (tmp_path / "list.txt").write_text("# mine\n\nother.bin\nvideos/a.MOV\n", encoding="utf-8")
    found = find_videos([tmp_path / "list.txt", folder, folder])
    assert [video.path for video in found.videos] == [
        other,
        folder / "a.MOV",
        folder / "b" / "z.mp4",
        folder / "c.mkv",
    ]
    assert found.copies == ((folder / "d.mp4", folder / "c.mkv"),)
    assert found.ignored == (folder / "notes.pdf",)


def test_the_id_is_of_the_content_wherever_the_file_is(tmp_path):
    content = os.urandom(5 * 2**20)
    (tmp_path / "a.mp4").write_bytes(content)
    (tmp_path / "b.mp4").write_bytes(content)
    changed = bytearray(content)
    changed[-1] ^= 1
    (tmp_path / "c.mp4").write_bytes(changed)
    ids = [content_id(tmp_path / f"{name}.mp4") for name in "abc"]
    assert ids[0] == ids[1] != ids[2]


def test_files_that_differ_only_where_the_id_does_not_look_are_two_videos(tmp_path):
    content = bytearray(5 * 2**20)
    (tmp_path / "a.mp4").write_bytes(content)
    content[2**18 + 100] ^= 1  # between the first two pieces
    (tmp_path / "b.mp4").write_bytes(content)
    (tmp_path / "c.mp4").write_bytes(content)
    found = find_videos([tmp_path])
    assert [video.path.name for video in found.videos] == ["a.mp4", "b.mp4"]
    assert len({video.id for video in found.videos}) == 2
    assert found.copies == ((tmp_path / "c.mp4", tmp_path / "b.mp4"),)


@pytest.mark.parametrize(
    ("listed", "message"),
    [(b"gone.mp4\n", "line 1: gone.mp4 does not exist"), (b"list.txt\n", "another list"), (b"\xff\xfe\x00a", "UTF-8")],
)
def test_a_list_that_cannot_be_followed_is_refused_by_line(tmp_path, listed, message):
    (tmp_path / "list.txt").write_bytes(listed)
    with pytest.raises(LumosXError, match=message):
        find_videos([tmp_path / "list.txt"])


def test_no_video_at_all_is_refused(tmp_path):
    with pytest.raises(LumosXError, match="There is no video"):
        find_videos([tmp_path])
    with pytest.raises(LumosXError, match="There is no file or folder"):
        find_videos([tmp_path / "gone"])
