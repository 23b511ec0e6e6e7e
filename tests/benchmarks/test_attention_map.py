"""The attention-map benchmark on few scenes and with wide margins; the script prints the whole table."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from lumosx_core.models.lumosx.tiny import tiny_files
from lumosx_core.models.wan.vae import WanVae

ROOT = Path(__file__).resolve().parents[2]
SCENES, SIGMAS = 5, (0.6, 0.4)


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location("attention_map", ROOT / "benchmarks" / "attention_map.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules["attention_map"] = module  # its dataclasses look themselves up there
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def vae():
    return WanVae.load(tiny_files().vae)


@pytest.fixture(scope="module")
def swapped(script, vae):
    """The true clips and those with exchanged garments, of two people each, by what was recorded."""
    model = script._load(tiny_files().diffusion_model)
    return script.compare_swapped(model, vae, script.make_questions(tiny_files(), 2, SCENES), SIGMAS)


def values(clips, name: str) -> list[float]:
    return [value for clip in clips for value in getattr(clip, name)]


@pytest.mark.slow
@pytest.mark.parametrize("recorded", ["sigma 0.6", "sigma 0.4", "layers all"])
def test_people_in_exchanged_clothes_have_lower_scores(script, swapped, recorded):
    true, wrong = (values(clips, "scores") for clips in swapped[recorded])
    assert script.mean(true) > script.mean(wrong) + 0.12
    assert all(a > b for a, b in zip(true, wrong, strict=True))
    assert script.auc(true, wrong) > 0.9


def test_no_single_layer_tells_it_as_well_as_all_together(script, swapped):
    """Layer 1 looks at faces, layer 0 at garments: only both together have faces to go by and garments to compare."""

    def apart(recorded):
        true, wrong = (script.mean(values(clips, "scores")) for clips in swapped[recorded])
        return true - wrong

    assert max(apart(f"layers {layer}") for layer in range(3)) < 0.6 * apart("layers all")


def test_regions_and_maps_lie_over_their_own_person_also_in_exchanged_clothes(script, swapped):
    for clips in swapped["layers all"]:
        assert script.mean(values(clips, "region")) > 0.4
    for name, margin in (("other", 0.25), ("box", 0.15)):
        true = swapped["layers all"][0]
        assert script.mean(values(true, "map")) > script.mean(values(true, name)) + margin


def test_auc_counts_pairs(script):
    assert script.auc([3, 4], [1, 2]) == 1 and script.auc([1], [1]) == 0.5
    assert script.auc([1, 3], [2]) == 0.5 and script.auc([1], [2, 3]) == 0


def test_otsu_divides_two_heaps_between_them(script):
    heat = torch.tensor([[0.1, 0.12, 0.11], [0.9, 0.11, 0.95]])
    assert ((heat > script._otsu(heat)) == (heat > 0.5)).all()


def test_outlines_are_where_people_stand(script):
    boxes = [[(16, 0, 48, 64)]] + [[(0, 16 * (frame > 4), 16, 64)] for frame in range(1, 9)]
    cover = script._coverage(boxes, (3, 4, 5))
    assert (cover[0, 0, :, 1:3] == 1).all() and cover[0, 0].sum() == 8
    assert (cover[0, 1, :, 0] == 1).all() and cover[0, 1].sum() == 4
    assert (cover[0, 2, 1:, 0] == 1).all() and cover[0, 2].sum() == 3


@pytest.mark.slow
def test_generated_clips_are_judged_person_by_person():
    command = [sys.executable, ROOT / "benchmarks" / "attention_map.py", "generated", "--people", "2"]
    command += ["--scenes", "1", "--steps-of-sampling", "4"]
    result = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False, cwd=ROOT)
    assert result.returncode == 0, result.stderr
    header, *lines = result.stdout.splitlines()
    assert header.split()[:4] == ["model", "recorded", "people", "|"]
    counted = [re.match(r"(.{16}) (.{12}) +2 \| \S.{21} +(\d+) +(\d+) ", line) for line in lines]
    assert [each[1].strip() for each in counted[:3]] == ["lumosx-tiny", "no mcam", "no csam"]
    assert all(int(each[3]) + int(each[4]) == (6 if each[1].startswith("all") else 2) for each in counted)
