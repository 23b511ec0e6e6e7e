"""The zero-shot benchmark: parts in some layers and steps, its counting on made-up answers, and a run on few scenes."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from safetensors import safe_open

from lumosx_core import EncodedScene, LumosXConfig, LumosXModel, ReferenceLayout
from lumosx_core.sampling.schedule import flow_timesteps
from lumosx_training.glyph_world.exam import Answer, Sampling
from lumosx_training.glyph_world.scoring import Verdict

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location("zero_shot", ROOT / "benchmarks" / "zero_shot.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules["zero_shot"] = module  # its dataclasses look themselves up there
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def inputs():
    """A small network that looks at its images, and one batch of a scene of two people."""
    torch.manual_seed(0)
    model = LumosXModel(LumosXConfig(dim=128, ffn_dim=64, num_heads=1, num_layers=3, text_dim=32, text_len=12)).eval()
    torch.nn.init.normal_(model.head.head.weight)
    for block in model.blocks:
        torch.nn.init.normal_(block.modulation)
    for module in model.text_embedding:
        if isinstance(module, torch.nn.Linear):
            torch.nn.init.normal_(module.weight, std=1.0)
    mask = torch.zeros(4, 12, dtype=torch.bool)
    mask[range(4), [1, 3, 5, 7]] = True
    scene = EncodedScene(torch.randn(2, 16, 4, 8, 10), ReferenceLayout(0, (2, 2)), mask)
    return model, torch.randn(2, 16, 3, 8, 10), torch.randn(2, 9, 32), scene


def predicted(script, inputs, setting, step):
    model, video, text, scene = inputs
    sampling = Sampling()
    timestep = flow_timesteps(sampling.steps, sampling.shift)[step].expand(len(video))
    with torch.no_grad():
        return script.PartlyRelational(model, setting, sampling)(video, timestep, text, scene, script.OFF)


ALL = {"mcam_ratio": 5.0, "r2pe": True, "csam": True}


@pytest.mark.parametrize("part", [{"mcam_ratio": 5.0}, {"csam": True}, {"r2pe": True}, ALL])
def test_parts_in_every_layer_are_the_models_own_and_in_no_layer_the_baseline(script, inputs, part):
    setting = script.parts(part.get("mcam_ratio", 0.0), **{k: v for k, v in part.items() if k != "mcam_ratio"})
    whole = predicted(script, inputs, setting, 3)
    baseline = predicted(script, inputs, script.BASELINE, 3)
    assert torch.equal(predicted(script, inputs, replace(setting, layers=(0, 1, 2)), 3), whole)
    assert torch.equal(predicted(script, inputs, replace(setting, layers=()), 3), baseline)
    one = predicted(script, inputs, replace(setting, layers=(1,)), 3)
    assert not torch.allclose(one, whole, atol=1e-4) and not torch.allclose(one, baseline, atol=1e-4)


def test_the_last_layer_does_not_see_mcam_and_csam_but_r2pe(script, inputs):
    baseline = predicted(script, inputs, script.BASELINE, 3)
    for setting in (script.parts(5.0), script.parts(csam=True)):
        assert torch.allclose(predicted(script, inputs, replace(setting, layers=(2,)), 3), baseline, atol=1e-6)
    assert not torch.allclose(
        predicted(script, inputs, replace(script.parts(r2pe=True), layers=(2,)), 3), baseline, atol=1e-4
    )


def test_parts_are_on_in_their_steps_alone(script, inputs):
    setting = replace(script.parts(5.0), steps=(0.25, 0.75))  # of 16 steps those from 4 to 11
    on = [
        not torch.equal(predicted(script, inputs, setting, step), predicted(script, inputs, script.BASELINE, step))
        for step in range(16)
    ]
    assert on == [4 <= step < 12 for step in range(16)]


def verdict(bound):
    return Verdict(0, 0, paired=bound, face=True, known=True, worn={"shirt": bound}, own={"shirt": bound})


@pytest.fixture
def exam(script):
    """Three scenes of two people, of which the second is one of people alike, with made-up answers."""
    questions = [
        SimpleNamespace(sample=SimpleNamespace(scene=SimpleNamespace(alike=alike))) for alike in (False, True, False)
    ]
    exam = script.Exam(None, None, questions, Sampling())

    def answers(*bound):
        placed = (True, False, False)
        return [Answer(str(i), tuple(map(verdict, pair)), placed[i]) for i, pair in enumerate(bound)]

    exam.answers = {
        script.BASELINE: answers((True, False), (False, False), (True, False)),
        script.parts(0.5): answers((True, True), (True, False), (True, False)),
        script.parts(1.0): answers((True, True), (False, False), (False, False)),
    }
    return exam


def test_the_setting_that_binds_most_is_chosen(script, exam):
    assert exam.best([script.parts(1.0), script.parts(0.5)]) == script.parts(0.5)
    assert exam.best([script.parts(1.0), script.BASELINE]) == script.parts(1.0)  # of equals the first


def test_columns_count_the_scenes_that_they_name(script, exam):
    rows = {name: script.counts(exam, script.parts(0.5), column).tolist() for name, column in script.COLUMNS.items()}
    assert rows["bound"] == [[2, 2], [1, 2], [1, 2]]
    assert rows["bound, nouns differ"] == [[2, 2], [0, 0], [1, 2]]
    assert rows["bound, alike"] == [[0, 0], [1, 2], [0, 0]]
    assert rows["placed, nouns differ"] == [[1, 1], [0, 0], [0, 1]]
    assert rows["placed, alike"] == [[0, 0], [0, 1], [0, 0]]
    assert script.difference(exam, script.parts(0.5), script.COLUMNS["bound"]).startswith("+33.3 [")


def test_a_difference_of_the_same_answers_is_nothing_whatever_scenes_are_drawn(script, exam):
    exam.answers[script.parts(2.0)] = exam.answers[script.BASELINE]
    assert script.difference(exam, script.parts(2.0), script.COLUMNS["bound"]) == "+0.0 [+0.0, +0.0]"


def test_new_text_layers_are_random_and_all_others_stay(script, inputs):
    weights = {name: tensor.clone() for name, tensor in inputs[0].state_dict().items()}
    new = script.with_new_text_layers(weights)
    changed = {name for name in weights if not torch.equal(new[name], weights[name])}
    assert changed and all(name.startswith("text_embedding") or ".cross_attn." in name for name in changed)
    assert {f"blocks.{layer}.cross_attn.{part}.weight" for layer in range(3) for part in "qkvo"} <= changed
    assert new.keys() == weights.keys() and not new["text_embedding.0.bias"].any()
    drawn = [new[f"blocks.{layer}.cross_attn.{part}.weight"] for layer in range(3) for part in "qkvo"]
    assert all(abs(weight.std().item() - 128**-0.5) < 0.002 for weight in drawn)  # Xavier: variance 2 / (128 + 128)


@pytest.mark.slow
def test_a_model_without_relational_parts_is_trained_and_its_reading_is_part_of_the_loss(tmp_path):
    command = [sys.executable, ROOT / "benchmarks" / "zero_shot.py", "train", "--out", tmp_path, "--clips", 16]
    command += ["--copying", 1, "--reading", 2]
    result = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False, cwd=ROOT)
    assert result.returncode == 0, result.stderr
    copying, reading = (
        [json.loads(line)["loss"] for line in (tmp_path / part / "log.jsonl").read_text().splitlines()]
        for part in ("copying", "reading")
    )
    # Attention to one's own of some 30 tokens costs about log 30 at first, and its weight is 0.3.
    assert len(copying) == 1 and len(reading) == 2 and reading[0] - copying[0] > 0.5
    with safe_open(tmp_path / "reading" / "model.safetensors", "pt") as file:
        facts = json.loads(file.metadata()["lumosx_training"])
    assert facts == {"steps": 2, "mcam_ratio": 0.0, "r2pe": False, "csam": False, "text_len": 40}


@pytest.mark.slow
def test_settings_are_chosen_and_measured_on_different_scenes(tmp_path):
    command = [sys.executable, ROOT / "benchmarks" / "zero_shot.py", "measure", "--scenes", 2, "--choice-scenes", 1]
    command += ["--steps", 4, "--json", tmp_path / "answers.json"]
    result = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False, cwd=ROOT)
    assert result.returncode == 0, result.stderr
    first, second = result.stdout.split("measured on 2 scenes of exam seed 990000:")
    assert first.startswith("chosen on 1 scenes of exam seed 990100:") and "best ratio of MCAM: MCAM" in first
    assert "| none, shuffled |" in second and "| R2PE + CSAM + MCAM 0.5 |" in second
    record = json.loads((tmp_path / "answers.json").read_text())
    assert {each["key"] for each in record["none"]} == {"glyphs-990002-0", "glyphs-990002-1"}
    assert all(each["placed"] is not None for answers in record.values() for each in answers)  # all captions say where
