"""The best-of benchmark: its counting on made-up clips, and a run on few scenes."""

from __future__ import annotations

import importlib.util
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location("best_of_benchmark", ROOT / "benchmarks" / "best_of.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules["best_of_benchmark"] = module  # its dataclasses look themselves up there
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def scenes(script):
    """Two scenes of two people and two seeds: the early score is right in the first, the full one in both."""

    def clip(exact, early, full):
        return script.Clip(exact, early, full)

    return [
        [clip((True, False), 0.3, 0.3), clip((True, True), 0.6, 0.9)],
        [clip((True, True), 0.4, 0.8), clip((False, False), 0.5, 0.2)],
    ]


def test_each_choice_takes_its_seed(script, scenes):
    found = {name: script.percent_exact([choose(clips) for clips in scenes]) for name, choose in script.CHOICES.items()}
    assert found == {"first seed": 75, "mean seed": 62.5, "early": 50, "full": 100, "oracle": 100}


def test_auc_among_all_clips_and_within_scenes(script, scenes):
    assert script.auc(scenes, "early", within=False) == 3 / 4
    assert script.auc(scenes, "early", within=True) == 1 / 2
    assert script.auc(scenes, "full", within=True) == 1
    assert script.interval([scenes[0][:1]], lambda each: script.auc(each, "early", True), ".3f") == "-"


@pytest.mark.slow
def test_the_best_seed_is_that_of_the_command_and_its_table_is_printed(script, tmp_path):
    command = [sys.executable, ROOT / "benchmarks" / "best_of.py", "--scenes", "1", "--seeds", "2"]
    command += ["--json", tmp_path / "clips.json"]
    result = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False, cwd=ROOT)
    assert result.returncode == 0, result.stderr
    rows = re.findall(r"^(first seed|mean seed|early|full|oracle) +\S+ \S+ \S+ +(\d+) +(\d\.\d\d)", result.stdout, re.M)
    passes = {"first seed": 16, "mean seed": 16, "early": 2 * 4 + 12, "full": 32, "oracle": 32}
    assert {name: int(count) for name, count, _ in rows} == passes
    clips = json.loads((tmp_path / "clips.json").read_text())
    assert len(clips) == 1 and len(clips[0]) == 2 and len({clip["early"] for clip in clips[0]}) == 2
