"""A full disk ends a run with a clear error and leaves the last good checkpoint."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
from types import SimpleNamespace

import pytest
import torch
from fakes import FakeCache, tiny_config
from forked import fork_server

from lumosx_core.errors import LumosXError
from lumosx_core.scene.layout import ReferenceLayout
from lumosx_training.loop.checkpoints import checkpoint as module
from lumosx_training.loop.checkpoints.checkpoint import Checkpoints
from lumosx_training.loop.checkpoints.sharded_state import stored
from lumosx_training.loop.trainer import Trainer

pytest.importorskip("accelerate")

PARTS = {"model": stored({"a": torch.arange(1000.0)}), "optimizer": stored({"b": torch.arange(2000.0)})}


@pytest.fixture
def kept(tmp_path):
    """Checkpoints with a good one of step 1."""
    kept = Checkpoints(tmp_path)
    kept.save(1, {}, PARTS)
    return kept


def names(kept):
    return sorted(os.listdir(kept.directory))


def test_too_little_room_is_told_with_how_much_is_needed_and_free(kept, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=5000))
    with pytest.raises(LumosXError) as error:
        kept.save(2, {}, PARTS)
    message = str(error.value)
    assert "step-00000002" in message and "No space left" in message
    assert "12,000 bytes" in message and "5,000 bytes are free" in message and str(kept.directory) in message
    assert "last good checkpoint is" in message and "step-00000001" in message
    assert names(kept) == ["step-00000001"]
    assert torch.equal(dict(kept.latest().tensors("optimizer"))["b"], torch.arange(2000.0))


@pytest.mark.parametrize("failing", ["write_safetensors", "_flush"])
def test_a_disk_that_fills_while_writing_leaves_nothing_unfinished(kept, monkeypatch, failing):
    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(module, failing, full)
    with pytest.raises(LumosXError, match="step-00000002 could not be written: No space left"):
        kept.save(2, {}, PARTS)
    assert names(kept) == ["step-00000001"]


def test_only_the_last_ones_are_kept(tmp_path):
    kept = Checkpoints(tmp_path, keep=2)
    for step in (1, 2, 10, 9):
        kept.save(step, {}, PARTS)
    assert names(kept) == ["step-00000009", "step-00000010"]
    assert kept.latest().step == 10


def test_what_a_kill_left_unfinished_is_removed_at_the_next_start(kept):
    (kept.directory / ".step-00000002.abcd.partial").mkdir()
    (kept.directory / ".step-00000002.abcd.partial" / "model.safetensors").write_bytes(b"half")
    assert kept.latest().step == 1
    kept.clean()
    assert names(kept) == ["step-00000001"]


@pytest.mark.slow
def test_a_limit_of_the_system_ends_a_real_run_with_one_line(tmp_path):
    """The kernel refuses to let a file grow further, as a full disk does."""
    output, log = tmp_path / "run", tmp_path / "log.txt"
    tables = {"output": str(output), "training": {"steps": 4, "save_every": 2}}
    with fork_server() as server:
        assert server.wait(server.start(tables, log=log)) == 0
        tables["training"]["steps"] = 6
        assert server.wait(server.start(tables | {"largest_file": 50_000}, log=log)) == 2
    last = log.read_text().splitlines()[-1]
    assert last.startswith("lumosx: The checkpoint ") and "File too large" in last and "step-00000004" in last
    assert sorted(os.listdir(output / "checkpoints")) == ["step-00000002", "step-00000004"]


@pytest.fixture
def small_disk(tmp_path):
    """A disk of 16 MB, where one may be mounted."""
    directory = tmp_path / "disk"
    directory.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=16m", "tmpfs", str(directory)]
    if shutil.which("mount") is None or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("no right to mount a small disk here; the other tests cover it")
    yield directory
    subprocess.run(["umount", str(directory)], check=True)


def test_a_disk_that_is_really_full(small_disk, tmp_path):
    def run(steps):
        config = tiny_config(small_disk / "run", training={"steps": steps, "save_every": 2, "keep": 1})
        return Trainer(config, cache=FakeCache([ReferenceLayout(1, (2,))] * 4), say=lambda line: None).run()

    run(2)
    free = shutil.disk_usage(small_disk).free
    (small_disk / "other").write_bytes(b"0" * (free - 100_000))
    with pytest.raises(LumosXError, match="step-00000004 could not be written: No space left.*step-00000002"):
        run(4)
    assert os.listdir(small_disk / "run" / "checkpoints") == ["step-00000002"]
    (small_disk / "other").unlink()
    assert run(4).step == 4
