"""`lumosx prepare`: what it prints, its exit codes, and what it refuses."""

from __future__ import annotations

import json
import os
import signal
from dataclasses import dataclass
from importlib.metadata import EntryPoint

import pytest
import synthetic_stages
from synthetic_stages import Cut, Sample, Unique

from lumosx_core.commands.main import main
from lumosx_core.errors import LumosXError
from lumosx_training.commands.prepare import _execution
from lumosx_training.prepare import pipeline
from lumosx_training.prepare.runner.local import LocalExecution
from lumosx_training.prepare.runner.on_ray import RayExecution
from lumosx_training.prepare.stage import Outcome


@dataclass(frozen=True)
class Probe(synthetic_stages.Probe):
    """Numbers are the names of the files."""

    def one(self, task):
        number = int(os.path.basename(task.facts["source"]["path"]).partition(".")[0])
        if number == 4:
            raise LumosXError("Video 4 cannot be read.")
        return Outcome("odd" if number == 3 else "", {"number": number})


@pytest.fixture(autouse=True)
def announced(monkeypatch):
    """The command, whatever an older installation announces."""
    command = EntryPoint("prepare", "lumosx_training.commands:add_prepare", "lumosx.commands")
    monkeypatch.setattr("lumosx_core.commands.main._announced", lambda: [command])


@pytest.fixture
def stages(monkeypatch):
    """The settings that the command asks for stages with."""
    these = [Probe(), Cut(), Unique(), Sample()]
    seen = []

    def build(settings):
        seen.append(settings)
        return these

    monkeypatch.setattr(pipeline, "build_stages", build)
    return seen


@pytest.fixture
def videos(tmp_path):
    folder = tmp_path / "videos"
    folder.mkdir()
    for number in range(9):
        (folder / f"{number}.mp4").write_bytes(b"video %d" % number)
    (folder / "copy.mp4").write_bytes(b"video 2")
    (folder / "notes.txt").write_text("not a video")
    return folder


def prepare(videos, root, *more):
    return main(["prepare", str(videos), "--out", str(root), "--workers", "1", *map(str, more)])


def test_the_report_is_printed_and_written_and_failures_give_exit_code_1(videos, stages, tmp_path, capsys):
    root = tmp_path / "data"
    with pytest.raises(SystemExit) as ended:
        prepare(videos, root)
    assert ended.value.code == 1
    out = capsys.readouterr().out
    assert "Left out, as they are not called like videos" in out and "notes.txt" in out
    assert "copy.mp4 has the same content as" in out and "9 videos (1 more repeat" in out
    assert "probe: failed 1" in out and "Video 4 cannot be read." in out and "rejected by odd 1" in out
    report = json.loads((root / "report.json").read_text())
    assert report["videos"] == 9 and report["repeated"] == 1
    for stage in report["stages"]:
        ends = stage["kept"] + sum(stage["rejected"].values()) + sum(each["count"] for each in stage["failed"])
        assert stage["in"] == ends + stage["waiting"]
    assert report["samples"] == len(list((root / "samples").iterdir()))


def test_without_a_failure_the_exit_code_is_0(videos, stages, tmp_path, capsys):
    (videos / "4.mp4").unlink()
    assert prepare(videos, tmp_path / "data") == 0
    assert "--retry-failed" not in capsys.readouterr().out


def test_stages_by_name(videos, stages, tmp_path, capsys):
    with pytest.raises(SystemExit):
        prepare(videos, tmp_path / "data", "--stages", "probe, cut")
    assert not (tmp_path / "data" / "samples").exists()
    assert prepare(videos, tmp_path / "data", "--stages", "words") == 2
    assert "There is no stage 'words'. Stages are probe, cut, unique, sample." in capsys.readouterr().err


def test_settings_come_from_the_config_and_from_options(videos, stages, tmp_path):
    (tmp_path / "a.toml").write_text("[probe]\nmin_seconds = 3.0\n")
    with pytest.raises(SystemExit):
        prepare(videos, tmp_path / "data", "--config", tmp_path / "a.toml", "--set", "cut.min_seconds=4.0")
    assert stages[0].probe.min_seconds == 3.0 and stages[0].cut.min_seconds == 4.0
    manifest = json.loads((tmp_path / "data" / "manifest.json").read_text())
    assert manifest["settings"]["cut"]["min_seconds"] == 4.0


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--model", "qwen"], "Add --endpoint URL"),
        (["--set", "cut.nothing=1"], "nothing"),
        (["--config", "none.toml"], "none.toml"),
        (["--workers", "0"], "whole number from 1"),
    ],
)
def test_mistakes_are_one_line(videos, stages, tmp_path, capsys, more, message):
    try:
        code = prepare(videos, tmp_path / "data", *more)
    except SystemExit as ended:
        code = ended.code
    assert code == 2 and message in capsys.readouterr().err


def test_a_data_set_that_cannot_be_a_folder_is_refused(videos, stages, tmp_path, capsys):
    (tmp_path / "file").write_text("")
    assert prepare(videos, tmp_path / "file") == 2
    assert "file" in capsys.readouterr().err


def test_sigterm_ends_a_run_as_ctrl_c_does(videos, monkeypatch, tmp_path, capsys):
    @dataclass(frozen=True)
    class Terminated(Probe):
        def one(self, task):
            os.kill(os.getpid(), signal.SIGTERM)
            return Outcome()

    monkeypatch.setattr(pipeline, "build_stages", lambda settings: [Terminated()])
    before = signal.getsignal(signal.SIGTERM)
    assert prepare(videos, tmp_path / "data") == 130
    assert signal.getsignal(signal.SIGTERM) == before and "no unfinished file was left" in capsys.readouterr().err
    assert not [path for path in (tmp_path / "data").rglob(".*") if path.name != ".lock"]


@dataclass
class Options:
    workers: int | None = None
    ray: str | None = None


def test_where_the_work_is_done(monkeypatch):
    assert isinstance(_execution(Options(workers=1)), LocalExecution)
    assert isinstance(_execution(Options(workers=3)), RayExecution)
    cluster = _execution(Options(ray="auto"))
    assert isinstance(cluster, RayExecution) and cluster.workers is None and cluster.address == "auto"
    monkeypatch.setattr("lumosx_training.commands.prepare.find_spec", lambda name: None)
    assert isinstance(_execution(Options()), LocalExecution)


def test_the_stages_of_the_command_fit_together():
    from lumosx_training.prepare.settings import read_settings

    stages = pipeline.build_stages(read_settings(None))
    names = [stage.name for stage in stages]
    assert len(set(names)) == len(names) and names[0] == "probe"
    for index, stage in enumerate(stages):
        assert stage.after is None if index == 0 else stage.after in names[:index]
        assert isinstance(stage.version(), str) and stage.version() == stage.version()
