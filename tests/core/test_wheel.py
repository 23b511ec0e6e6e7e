"""The wheel, installed into an environment of its own and used from a folder outside of the checkout.

Nothing is downloaded: the wheel is installed without its dependencies, and a .pth file adds those of the running
environment. Python ignores .pth files in folders that are added that way, so an editable installation of this checkout
has no effect.
"""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest

import lumosx_core

ROOT = Path(__file__).resolve().parents[2]
SOURCES = (
    *("lumosx_core", "training", "examples", "locales"),
    *("pyproject.toml", "setup.py", "README.md", "LICENSE", "lumosx_training.py"),
)
TRY_IT = "1 Try it (tiny model, no GPU).json"

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    """Built from a copy, so that leftovers of another build cannot get into it and none stay in the checkout."""
    pytest.importorskip("setuptools", minversion="77")
    copy, out = tmp_path_factory.mktemp("checkout"), tmp_path_factory.mktemp("wheel")
    for name in SOURCES:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / name, copy)
    program = "import sys; from setuptools import build_meta; build_meta.build_wheel(sys.argv[1])"
    run([sys.executable, "-c", program, out], copy)
    [built] = out.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory) -> Path:
    """The environment's folder of programs."""
    directory = tmp_path_factory.mktemp("environment")
    venv.create(directory, with_pip=True)
    programs = directory / ("Scripts" if os.name == "nt" else "bin")
    run([programs / "python", "-m", "pip", "install", "--no-index", "--no-deps", wheel], directory)
    [packages] = {path.parent for path in directory.rglob("lumosx_core")}
    borrowed = [path for path in sys.path if Path(path).name in ("site-packages", "dist-packages")]
    (packages / "dependencies.pth").write_text("\n".join(borrowed))
    return programs


def run(command: list, folder: Path) -> str:
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(list(map(str, command)), cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_wheel_claims_our_two_names_and_holds_nothing_else(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    top = {name.split("/")[0] for name in names}
    assert {each for each in top if not each.endswith(".dist-info")} == {"lumosx_core", "lumosx_training"}
    [top_level] = [name for name in names if name.endswith("top_level.txt")]
    assert zipfile.ZipFile(wheel).read(top_level).split() == [b"lumosx_core", b"lumosx_training"]
    kinds = r"\.(py|typed|png|txt|md|toml|yaml|safetensors|jsonl|json|pt|onnx|model)$"
    assert [name for name in names if ".dist-info/" not in name and not re.search(kinds, name)] == []
    assert [name for name in names if re.search(r"(^|/)(tests?|benchmarks|nodes|web|build)/", name)] == []


def test_every_module_and_every_example_is_in_the_wheel(wheel):
    names = set(zipfile.ZipFile(wheel).namelist())
    places = {"lumosx_core": "lumosx_core", "training": "lumosx_training", "examples": "lumosx_core/examples"}
    for folder, place in places.items():
        files = [path for path in (ROOT / folder).rglob("*") if path.is_file() and "__pycache__" not in path.parts]
        assert {f"{place}/{path.relative_to(ROOT / folder).as_posix()}" for path in files} - names == set()


def test_the_installed_code_is_that_of_the_wheel(installed, tmp_path):
    program = "import lumosx_core, lumosx_training; print(lumosx_core.__file__, lumosx_training.__file__, sep='\\n')"
    files = run([installed / "python", "-c", program], tmp_path).split("\n")[:2]
    assert all(Path(file).is_relative_to(installed.parent) for file in files)
    assert run([installed / "lumosx", "--version"], tmp_path) == f"lumosx {lumosx_core.__version__}\n"


def test_it_generates_a_scene_of_the_try_it_workflow(installed, tmp_path):
    shutil.copy(ROOT / "example_workflows" / TRY_IT, tmp_path / "try it.json")
    options = ["--node", 22, "--steps", 2, "--out", "video.mp4"]
    assert "80x64, 9 frames, 2 steps" in run([installed / "lumosx", "generate", "try it.json", *options], tmp_path)
    assert (tmp_path / "video.mp4").stat().st_size > 1000


@pytest.mark.skipif(importlib.util.find_spec("peft") is None, reason="needs the extra `training`")
def test_it_trains_a_lora_for_two_steps(installed, tmp_path):
    def lumosx(*arguments):
        return run([installed / "lumosx", *arguments], tmp_path)

    lumosx("tiny", "models")
    lumosx("glyphs", "clips", "--count", 4, "--sashes")
    lumosx("cache", "clips", "data/sashes", "--models", "tiny", "--augment", "none")
    [config] = installed.parent.rglob("lumosx_training/tiny/lora.toml")
    lumosx("train", config, "--set", "training.steps=2", "--set", "training.save_every=2")
    assert (tmp_path / "runs" / "sashes" / "lora.safetensors").is_file()
