"""Files that appear whole or not at all, and what a killed process leaves."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from lumosx_core import LumosXError
from lumosx_core.files import atomic_file as module
from lumosx_core.files.atomic_file import (
    atomic_file,
    atomic_folder,
    atomic_path,
    partial_path,
    remove_all_partials,
)


@pytest.fixture
def ended() -> int:
    """The id of a process that is no more."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def left_by(destination: Path, process: int, monkeypatch, ending: str = "") -> Path:
    with monkeypatch.context() as patch:
        patch.setattr(os, "getpid", lambda: process)
        path = partial_path(destination, ending)
    path.write_bytes(b"half")
    return path


@pytest.mark.parametrize("name", ["a.safetensors", "a.pt", "a.ckpt", "a.tar", "a.sft", "a.gguf", "目.safetensors"])
def test_an_unfinished_file_has_no_name_that_anything_lists(name, tmp_path):
    with atomic_file(tmp_path / name) as file:
        file.write(b"half")
        [partial] = tmp_path.iterdir()
        assert partial.name.startswith(".") and partial.suffix == ".partial"
    assert [path.name for path in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize("name", ["a.mp4", "a.png", "A.PNG"])
def test_writers_that_choose_the_format_by_the_ending_still_can(name, tmp_path):
    with atomic_path(tmp_path / name) as partial:
        assert partial.suffix == Path(name).suffix.lower()
        partial.write_bytes(b"whole")
    assert [path.name for path in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize("length", [150, 190, 255])
def test_a_name_as_long_as_the_disk_allows_can_be_written(length, tmp_path):
    for name in ("a" * (length - 12) + ".safetensors", "目" * ((length - 12) // 3) + ".safetensors"):
        with atomic_file(tmp_path / name) as file:
            file.write(b"whole")
        assert (tmp_path / name).read_bytes() == b"whole"


def test_a_name_that_is_too_long_is_a_mistake_that_says_so(tmp_path):
    with (
        pytest.raises(LumosXError, match="too long. Choose a shorter name"),
        atomic_file(tmp_path / ("a" * 256)) as file,
    ):
        file.write(b"")
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_process_left_is_removed_by_the_next_one(tmp_path, ended, monkeypatch):
    path = tmp_path / "a.safetensors"
    dead = left_by(path, ended, monkeypatch)
    others = [left_by(path, os.getppid(), monkeypatch), left_by(tmp_path / "b.safetensors", ended, monkeypatch)]
    with atomic_file(path) as file:
        file.write(b"whole")
    assert not dead.exists() and all(other.exists() for other in others)
    remove_all_partials(tmp_path)
    assert others[0].exists() and not others[1].exists()


def test_a_young_file_of_another_machine_stays_and_an_old_one_goes(tmp_path, ended, monkeypatch):
    path = tmp_path / "a.safetensors"
    monkeypatch.setattr(module, "_host", lambda: "0" * 8)
    young, old = left_by(path, ended, monkeypatch), left_by(path, ended, monkeypatch)
    earlier = tmp_path / ".a.0123abcd.partial.safetensors"  # as versions before named it
    earlier.write_bytes(b"half")
    monkeypatch.undo()
    for each in (old, earlier):
        os.utime(each, (time.time() - 2 * module.OLD,) * 2)
    with atomic_file(path) as file:
        file.write(b"whole")
    assert young.exists() and not old.exists() and not earlier.exists()


def test_other_hidden_files_are_left_alone(tmp_path):
    names = [
        ".a.safetensors",
        ".partial",
        ".a.partial",
        ".a.safetensors.partial",
        ".a.safetensors.x.partial",
        "a.partial",
    ]
    for name in names:
        (tmp_path / name).write_bytes(b"mine")
        os.utime(tmp_path / name, (0, 0))
    with atomic_file(tmp_path / "a.safetensors"):
        pass
    remove_all_partials(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {*names, "a.safetensors"}


def test_a_folder_appears_whole_or_not_at_all(tmp_path, ended, monkeypatch):
    for destination in (tmp_path / "new", tmp_path / "empty"):
        if destination.name == "empty":
            destination.mkdir()
        with atomic_folder(destination) as partial:
            (partial / "a").write_bytes(b"")
            assert not (destination / "a").exists()
        assert [path.name for path in destination.iterdir()] == ["a"]
    with pytest.raises(RuntimeError), atomic_folder(tmp_path / "never") as partial:
        (partial / "a").write_bytes(b"")
        raise RuntimeError
    assert sorted(path.name for path in tmp_path.iterdir()) == ["empty", "new"]
