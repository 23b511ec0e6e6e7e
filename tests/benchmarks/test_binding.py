"""The binding benchmark at its smallest: it trains, examines and prints what it says it prints."""

import argparse
import importlib.util
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def run(*arguments):
    command = [sys.executable, ROOT / "benchmarks" / "binding.py", *arguments]
    result = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False, cwd=ROOT)
    assert result.returncode == 0, result.stderr
    return result.stdout


@pytest.mark.slow
def test_the_true_clips_are_bound_and_every_model_gets_a_line(tmp_path):
    out = run("score", "--people", 2, "--scenes", 4, "--steps-of-sampling", 2, "--json", tmp_path / "answers.json")
    seed, header, rebuilt, tiny = out.splitlines()
    columns = ["paired", "bound", "face", "exact", "placed", "steady", "clear", "pattern", "scene", "single", "strict"]
    assert seed == "exam seed 990000" and header.split() == ["model", "people", "scenes", "|", *columns]
    assert re.match(r"rebuilt +2 +4 \| +100\.0", rebuilt)
    assert re.match(r"lumosx-tiny +2 +4 \| +\d+\.\d \[\d+\.\d, \d+\.\d\]", tiny)
    record = json.loads((tmp_path / "answers.json").read_text())
    people = [person for answer in record["answers"]["rebuilt"]["2"] for person in answer["people"]]
    assert len(people) == 8 and all(person["face"] and all(person["worn"].values()) for person in people)
    assert record["casting"] == "all" and record["exam_seed"] == 990_000
    for answer in record["answers"]["rebuilt"]["2"]:
        assert answer["key"].startswith("glyphs-990002-")
        assert len(answer["strict"]["steady"]) == 2 and answer["strict"]["scene"] and answer["strict"]["single"]


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    from lumosx_core.models.lumosx.tiny import tiny_files
    from lumosx_training.cache import CacheSettings, build_cache
    from lumosx_training.glyph_world import Casting, GlyphSource

    directory = tmp_path_factory.mktemp("glyphs") / "cache"
    settings = CacheSettings(frames=(9,), sizes=((64, 80),), augment="none")
    build_cache(GlyphSource(1, 6, casting=Casting(people=(0.0, 1.0))), directory, tiny_files(), settings)
    return directory


@pytest.mark.slow
def test_variants_are_trained_and_compared_with_the_one_without_relations(cache, tmp_path):
    variants = ("none", "+mcam 0.5")
    small = ("--people", 2, "--scenes", 3, "--steps-of-sampling", 1)
    out = run("ablate", "--cache", cache, "--out", tmp_path, "--steps", 2, "--variants", *variants, *small)
    lines = out.splitlines()
    assert [line.split("  ")[0] for line in lines[3:5]] == ["none seed 0", "+mcam 0.5 seed 0"]
    assert "difference to none" in lines[6]
    assert re.match(r"\+mcam 0\.5 +2 \|( +[+-]\d+\.\d \[[+-]\d+\.\d, [+-]\d+\.\d\]){2}$", lines[8])
    assert (tmp_path / "none-seed0" / "model.safetensors").is_file()


@pytest.fixture(scope="module")
def binding():
    """The script as a module."""
    spec = importlib.util.spec_from_file_location("binding", ROOT / "benchmarks" / "binding.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def configured(binding, name, start=None, steps=90):
    options = argparse.Namespace(cache=Path("cache"), start=start, steps=steps)
    return binding.variant_config(name, Path("out"), 5, options)


def test_variants_differ_in_their_relational_parts_alone(binding):
    configs = {name: configured(binding, name) for name in binding.VARIANTS}
    assert {(config.training, config.data, config.optimizer, config.timesteps) for config in configs.values()} == {
        (configs["none"].training, configs["none"].data, configs["none"].optimizer, configs["none"].timesteps)
    }
    switches = {name: (c.model.r2pe, c.model.csam, c.model.mcam_ratio) for name, c in configs.items()}
    assert switches["none"] == (False, False, 0.0) and switches["+csam"] == (True, True, 0.0)
    assert [switches[f"+mcam {ratio}"] for ratio in (0.1, 0.5, 1.0)] == [(True, True, r) for r in (0.1, 0.5, 1.0)]
    assert configs["none"].model.shuffle_references and not configs["+r2pe"].model.shuffle_references


def test_the_ratio_falls_in_two_thirds_of_the_steps_from_nothing_and_not_at_all_from_a_file(binding):
    model = configured(binding, "+mcam 0.1").model
    assert (model.mcam_ratio, model.mcam_ratio_start, model.mcam_ratio_steps) == (0.1, 20.0, 60)
    assert configured(binding, "+csam").model.mcam_ratio_start is None
    model = configured(binding, "+mcam 0.5", start=Path("start.safetensors")).model
    assert (model.file, model.sizes) == ("start.safetensors", None)
    assert (model.mcam_ratio_start, model.mcam_ratio_steps) == (None, 0)
