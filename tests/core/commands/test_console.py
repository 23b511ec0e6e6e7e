"""Any console: an encoding without the letters of a name, a reader that leaves, streams that are closed or full."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from pathlib import Path

import pytest

from lumosx_core.commands.console import console, escape_unprintable
from lumosx_core.commands.main import main

ROOT = Path(__file__).resolve().parents[3]
ENCODINGS = ("cp1252", "cp437", "ascii", "cp932", "latin-1", "koi8-r", "utf-8", "cp1252:strict")


def lumosx(*arguments, shell="", **environment):
    """Run the command in a process of its own; `shell` is added to its line."""
    return subprocess.run(
        ["bash", "-c", f'exec "$0" -m lumosx_core "$@" {shell}', sys.executable, *arguments],
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1", **environment},
        capture_output=True,
        timeout=120,
    )


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("name", ["张三", "Łódź ☂", "\udcff"], ids=["Chinese", "Polish", "no UTF-8"])
def test_a_name_that_the_console_cannot_show_is_escaped(encoding, name):
    raw = io.BytesIO()
    codec, _, errors = encoding.partition(":")
    stream = io.TextIOWrapper(raw, codec, errors or "strict")
    escape_unprintable(stream)
    print(name, file=stream, flush=True)
    assert raw.getvalue()


@pytest.mark.slow
@pytest.mark.parametrize(
    "environment",
    [
        {"PYTHONIOENCODING": "cp1252"},
        {"PYTHONIOENCODING": "ascii:strict"},
        {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
    ],
    ids=["cp1252", "ascii", "C locale"],
)
def test_every_command_ends_without_a_traceback_on_any_console(environment, tmp_path):
    folder = str(tmp_path / "张三 ☂")
    done = lumosx("tiny", folder, **environment)
    assert (done.returncode, done.stderr) == (0, b"") and b"lumosx-tiny.safetensors" in done.stdout
    for arguments in (
        ("generate", f"{folder}/案例", "--out", f"{folder}/视频.mp4"),
        ("generate", f"{folder}/w.json", "--out", f"{folder}/视频.mp4"),
        ("generate", folder, "--out", f"{folder}/视频.avi"),
        ("convert", f"{folder}/模型.pt", f"{folder}/模型.safetensors"),
        ("scene", f"{folder}/照片.jpg", "--prompt", "一个人", "--out", f"{folder}/场景"),
        ("generate", "x", "--不", "--out", "y"),
        ("download", f"{folder}/x", "--photo-model", "模型"),
    ):
        done = lumosx(*arguments, **environment)
        assert done.returncode == 2, (arguments, done)
        assert b"Traceback" not in done.stderr and b"lumosx" in done.stderr
    assert lumosx("--help", **environment).returncode == 0


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="a shell of POSIX")
def test_a_reader_that_leaves_and_streams_that_are_closed_stop_nothing(tmp_path):
    done = lumosx("tiny", str(tmp_path / "a"), shell="> >(true)")
    assert done.returncode == 0 and done.stderr == b""
    for number, closed in enumerate((">&-", "2>&-", ">&- 2>&- <&-")):
        folder = tmp_path / str(number)
        assert lumosx("tiny", str(folder), shell=closed).returncode == 0
        from safetensors.torch import load_file

        assert load_file(folder / "vae" / "lumosx-tiny-vae.safetensors")  # nothing was printed into it
    done = lumosx("tiny", str(tmp_path / "b"), shell="> /dev/full")
    assert done.returncode == 2 and done.stderr.decode().startswith("lumosx: What was printed could not be written")
    assert lumosx("--help", shell="> /dev/full").returncode == 2
    assert lumosx("nothing", shell="2> /dev/full").returncode == 2


class Gone(io.StringIO):
    """A pipe that nobody reads any more."""

    encoding, errors = "utf-8", "strict"

    def write(self, text=""):
        raise BrokenPipeError(32, "Broken pipe")

    flush = write


def test_writing_goes_on_when_the_reader_is_gone(monkeypatch):
    monkeypatch.setattr(sys, "stdout", Gone())
    monkeypatch.setattr(sys, "stderr", None)
    with console(own_process=False) as output:
        print("one")
        print("two", file=sys.stderr, flush=True)
        sys.stdout.flush()
    assert output.failure is None and isinstance(sys.stdout, Gone) and sys.stderr is None


def test_a_long_option_is_quoted_in_part(capsys):
    with pytest.raises(SystemExit) as ended:
        main(["generate", "case", "--out", "v.mp4", "--seed", "9" * 5000])
    assert ended.value.code == 2
    error = capsys.readouterr().err
    assert "is not a whole number" in error and len(error) < 2000
    for arguments in (["--" + "a" * 5000], ["x" * 5000], ["generate", "c", "--out", "v.mp4", "--size", "9" * 5000]):
        with pytest.raises(SystemExit):
            main(arguments)
        assert len(capsys.readouterr().err) < 2000
