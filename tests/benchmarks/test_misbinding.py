"""The misbinding matrix on glyph clips with faces and shirts exchanged on purpose."""

from __future__ import annotations

import importlib.util
import random
import re
import sys
from pathlib import Path

import pytest
import torch

from lumosx_core.evaluation.results import Label

pytest.importorskip("scipy", reason="scipy is not installed")

ROOT = Path(__file__).resolve().parents[2]
SCENES = 17  # in 12 versions: 204 clips


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location("misbinding", ROOT / "benchmarks" / "misbinding.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules["misbinding"] = module  # its dataclasses look themselves up there
    spec.loader.exec_module(module)
    return module


@pytest.mark.slow
def test_swapped_clips_stand_apart_and_failures_are_named(script):
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # the images are too small for more
    try:
        bench = script.Bench(SCENES)
        outcomes = script.run(bench)
    finally:
        torch.set_num_threads(threads)
    assert len(outcomes) >= 200
    table = script.report(outcomes, bench.calibrations)
    for part in script.PARTS:
        own = [each for each in outcomes if each.part == part]
        by = {failure: [each.confusion for each in own if each.failure == failure] for failure in script.FAILURES}
        assert script.auc(by["swap"], by["good"]) >= 0.98, table
        pairs = [pair for each in own for pair in each.labels]
        assert sum(true is given for true, given in pairs) / len(pairs) >= 0.95, table
    failed = [pair for each in outcomes for pair in each.labels if pair[0] is not Label.OK]
    assert sum(true is given for true, given in failed) / len(failed) >= 0.95, table
    assert {true for true, _ in failed} == set(Label) - {Label.OK}
    assert re.search(r"swap +0 +", table)


def test_each_failure_is_what_it_is_called(script):
    source = script.GlyphSource(0, 4, casting=script.Casting(people=(0, 0, 1.0), hat=0, prop=0, thing=0))
    for key in source.keys():  # noqa: SIM118 - a method of the source
        scene = source.sample(key).scene
        shirts = [person.shirt for person in scene.people]
        for failure in script.FAILURES:
            version = script.spoil(scene, failure, "shirt", random.Random(key))
            worn = [person.shirt for person in version.scene.people]
            changed = {i for i, shirt in enumerate(worn) if i >= len(shirts) or shirt != shirts[i]}
            if failure == "swap":
                assert set(version.concerned) == changed and sorted(map(repr, worn)) == sorted(map(repr, shirts))
            elif failure == "dominance":
                assert len(set(map(repr, worn))) == 1 and set(version.concerned) == changed and len(changed) == 2
            elif failure == "drift":
                assert set(version.concerned) == changed and not {repr(worn[i]) for i in changed} & set(
                    map(repr, shirts)
                )
            elif failure == "missing":
                assert len(worn) == 2 and list(version.concerned.values()) == [Label.MISSING]
            else:
                assert worn == shirts and len(version.concerned) == (failure == "blending")


def test_a_blend_has_three_fifths_of_its_own_pixels(script):
    own = script._blocks(torch.Size((9, 60, 80, 3)), random.Random(0))
    assert float(own.float().mean()) == pytest.approx(0.6, abs=0.01)


def test_auc_counts_pairs(script):
    assert script.auc([3, 1], [2, 1, 0]) == pytest.approx((3 + 1.5) / 6)
