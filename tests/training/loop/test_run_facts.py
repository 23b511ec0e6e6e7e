"""Changes between a checkpoint and the run that resumes from it are reported, and nothing else."""

from __future__ import annotations

import hashlib
import json

import pytest
from fakes import FakeCache, tiny_config
from safetensors import safe_open

from lumosx_core.errors import LumosXError
from lumosx_core.files.file_hash import sha256_of
from lumosx_core.scene.layout import ReferenceLayout
from lumosx_training.loop.checkpoints.run_facts import changes, run_facts
from lumosx_training.loop.trainer import Trainer
from lumosx_training.lora.export import export_lora

pytest.importorskip("accelerate")

LAYOUTS = [ReferenceLayout(1, (2,))] * 4


def facts(clips=("a", "b"), base=None, **tables):
    return json.loads(json.dumps(run_facts(tiny_config("out", **tables), clips, base)))


def train(output, layouts=LAYOUTS, **tables):
    said = []
    outcome = Trainer(tiny_config(output, **tables), cache=FakeCache(layouts), say=said.append).run()
    return outcome, "\n".join(said)


def test_every_setting_that_matters_is_named_with_both_values():
    before = facts()
    now = facts(
        training={"steps": 9, "output": "elsewhere", "keep": 7},
        optimizer={"betas": [0.8, 0.9]},
        data={"prefetch_factor": 3},
    )
    assert changes(before, now) == ["training.steps 4 -> 9", "optimizer.betas [0.9, 0.999] -> [0.8, 0.9]"]
    assert changes(before, facts()) == []


def test_other_clips_and_another_base_are_named():
    assert changes(facts(), facts(clips=("a", "b", "c"))) == ["the clips (2 then, 3 now)"]
    assert changes(facts(), facts(clips=("a", "x"))) == ["the clips (2 then, 2 now)"]
    assert changes(facts(base="1"), facts(base="2")) == ["the content of model.file"]


def test_a_checkpoint_of_an_older_program_lacks_settings_and_is_compared_in_the_rest():
    before = facts()
    del before["config"]["optimizer"]["max_grad_norm"], before["clips"], before["base_sha256"]
    assert changes(before, facts(optimizer={"max_grad_norm": 2.0}, training={"seed": 1})) == ["training.seed 0 -> 1"]
    assert changes({}, facts()) == []


def test_a_checkpoint_with_old_names_of_settings_is_compared_under_the_new_ones():
    before = facts(optimizer={"warmup_steps": 3})
    optimizer = before["config"]["optimizer"]
    optimizer["clip"], optimizer["warmup"] = optimizer.pop("max_grad_norm"), optimizer.pop("warmup_steps")
    assert changes(before, facts(optimizer={"warmup_steps": 4})) == ["optimizer.warmup_steps 3 -> 4"]


def test_a_run_that_continues_with_another_schedule_or_cache_says_so(tmp_path):
    train(tmp_path)
    _, said = train(tmp_path, training={"steps": 4})
    assert "Continuing after step 4" in said and "Changed since" not in said
    _, said = train(tmp_path, [*LAYOUTS, *LAYOUTS], training={"steps": 5})
    assert "used from here on: training.steps 4 -> 5, the clips (4 then, 8 now)" in said


def test_a_run_that_is_further_than_it_shall_go_is_refused(tmp_path):
    train(tmp_path)
    with pytest.raises(LumosXError, match="training.steps is 3, but .*step-00000004 has more.*Set training.steps to 4"):
        train(tmp_path, training={"steps": 3})


def test_a_lora_names_the_file_it_is_for_in_its_own_file_and_in_one_made_of_a_checkpoint(tmp_path):
    pytest.importorskip("peft")
    base, _ = train(tmp_path / "base")
    lora, _ = train(tmp_path / "lora", model={"file": str(base.file)}, lora={"rank": 2})
    exported = export_lora(tmp_path / "lora" / "checkpoints" / "step-00000004", tmp_path / "exported.safetensors")
    for path in (lora.file, exported):
        with safe_open(path, framework="pt") as file:
            assert file.metadata()["lumosx_base_sha256"] == hashlib.sha256(base.file.read_bytes()).hexdigest()


def test_the_hash_is_that_of_the_whole_file(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"x" * (2**20 + 1))
    assert sha256_of(path) == hashlib.sha256(path.read_bytes()).hexdigest()
