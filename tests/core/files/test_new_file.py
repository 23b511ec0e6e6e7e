"""A path that a file cannot be written to is refused before the work."""

from __future__ import annotations

import os

import pytest

from lumosx_core.errors import LumosXError
from lumosx_core.files.new_file import check_new_file


def test_a_new_and_an_existing_file_are_fine(tmp_path):
    check_new_file(tmp_path / "new.mp4")
    (tmp_path / "old.mp4").write_bytes(b"x")
    check_new_file(tmp_path / "old.mp4")
    check_new_file(tmp_path / f"{'张' * 83}.mp4")  # 253 bytes


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="named pipes")
def test_a_named_pipe_and_a_device_are_refused(tmp_path):
    os.mkfifo(tmp_path / "pipe.mp4")
    (tmp_path / "link.mp4").symlink_to("/dev/null")
    for path in (tmp_path / "pipe.mp4", tmp_path / "link.mp4", "/dev/full", "/dev/null"):
        with pytest.raises(LumosXError, match="a device, a named pipe"):
            check_new_file(path)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("", "is a folder"),
        ("missing/v.mp4", "The folder .* does not exist"),
        ("a" * 252 + ".mp4", "has 256 bytes"),
        ("张" * 84 + ".mp4", "has 256 bytes, but most disks allow 255"),
        ("a" * 300 + "/v.mp4", "cannot be written|does not exist"),
        ("file/v.mp4", "does not exist"),
    ],
    ids=["folder", "no folder", "long", "long in Chinese", "long folder", "below a file"],
)
def test_other_paths_are_refused(tmp_path, name, message):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(LumosXError, match=message):
        check_new_file(tmp_path / name)
