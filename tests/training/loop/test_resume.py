"""A run that was stopped goes on to the last bit as if it had not been."""

from __future__ import annotations

import json
import os
import signal

import pytest
import torch
from fakes import SIZES, FakeCache, tiny_config
from forked import fork_server, wait_for
from safetensors.torch import load_file

from lumosx_core.errors import LumosXError
from lumosx_core.scene.layout import ReferenceLayout
from lumosx_training.loop.tracking.run_log import RunLog, read_log
from lumosx_training.loop.trainer import Trainer

pytest.importorskip("accelerate")

LAYOUTS = [ReferenceLayout(1, (2,))] * 5 + [ReferenceLayout(0, (1, 2))] * 5
EVERYTHING = {
    "data": {"text_dropout": 0.3, "reference_dropout": 0.2, "single_reference_dropout": 0.2},
    "optimizer": {"learning_rate": 3e-3, "schedule": "cosine", "warmup_steps": 3, "weight_decay": 0.1},
    "timesteps": {"sampling": "logit_normal", "shift": 2.0},
    "model": {"mcam_ratio_start": 8.0, "mcam_ratio": 0.5, "mcam_ratio_steps": 6},
}


@pytest.fixture(scope="module")
def server():
    with fork_server() as server:
        yield server


def train(output, steps, said=None, **tables):
    loop = {"steps": 8, "batch_size": 4, "save_every": 100} | tables.pop("training", {})
    config = tiny_config(output, **(EVERYTHING | tables), training=loop)
    run = Trainer(config, cache=FakeCache(LAYOUTS), say=[].append if said is None else said.append)
    if steps < 8:  # stops as a signal would
        prepared = run.loader.steps
        run.loader.steps = lambda start, stop: stopping(prepared(start, stop), steps - start)
    return run.run()


def stopping(batches, count):
    for place, batch in enumerate(batches):
        if place == count - 1:
            os.kill(os.getpid(), signal.SIGTERM)
        yield batch


def state(output, step=8):
    folder = output / "checkpoints" / f"step-{step:08d}"
    return {f"{path.stem} {name}": t for path in folder.glob("*.safetensors") for name, t in load_file(path).items()}


def losses(output):
    return [(line["step"], line["loss"], line["lr"], line["grad_norm"]) for line in read_log(output / "log.jsonl")]


def assert_equal_runs(one, other):
    assert losses(one) == losses(other)
    assert state(one).keys() == state(other).keys() and state(one)
    assert [name for name, tensor in state(one).items() if not torch.equal(tensor, state(other)[name])] == []


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory):
    output = tmp_path_factory.mktemp("unbroken")
    train(output, 8)
    return output


@pytest.mark.parametrize("workers", [0, 2])
def test_stopped_twice_a_run_ends_in_the_same_bits(unbroken, tmp_path, workers):
    data = EVERYTHING["data"] | {"num_workers": workers}
    said = []
    for steps in (3, 4, 8):
        outcome = train(tmp_path, steps, said, data=data)
        assert (outcome.step, outcome.stopped_by) == (steps, signal.SIGTERM if steps < 8 else None)
        assert (outcome.file is not None) == (steps == 8)
    assert "Continuing after step 4" in " ".join(said)
    assert_equal_runs(unbroken, tmp_path)


def test_moments_averages_and_weights_are_all_saved(unbroken):
    names = set(state(unbroken))
    assert {"model head.head.weight", "ema head.head.weight", "optimizer head.head.weight|exp_avg_sq"} <= names


def test_a_lora_with_dropout_continues_to_the_bit(unbroken, tmp_path):
    pytest.importorskip("peft")
    tables = {"model": {"file": str(unbroken / "model.safetensors")}, "lora": {"rank": 2, "dropout": 0.5}}
    for name, stops in (("whole", (8,)), ("parts", (5, 8))):
        for steps in stops:
            train(tmp_path / name, steps, **tables)
    assert_equal_runs(tmp_path / "whole", tmp_path / "parts")
    assert all(".lora_" in name for name in state(tmp_path / "whole"))


def test_a_finished_run_does_nothing_more(unbroken):
    before = state(unbroken)
    assert train(unbroken, 8).step == 8
    assert all(torch.equal(tensor, before[name]) for name, tensor in state(unbroken).items())


def test_averaging_that_is_turned_on_later_begins_with_the_weights(tmp_path):
    train(tmp_path, 3, ema={"decay": 0.0})
    assert not (tmp_path / "checkpoints" / "step-00000003" / "ema.safetensors").exists()
    config = tiny_config(tmp_path, ema={"decay": 0.9}, training={"steps": 8})
    run = Trainer(config, cache=FakeCache(LAYOUTS), say=[].append)
    assert run.done == 3
    assert all(torch.equal(average, run.parameters[name]) for name, average in run.ema.averages.items())


def test_another_network_in_the_same_folder_is_refused(unbroken):
    with pytest.raises(LumosXError, match="belongs to a run of another model or LoRA.*training.output"):
        train(unbroken, 8, model={"sizes": SIZES | {"ffn_dim": 32}})


def test_a_damaged_checkpoint_is_named_and_the_one_before_it_serves(tmp_path):
    train(tmp_path, 3)
    train(tmp_path, 5)
    newest = tmp_path / "checkpoints" / "step-00000005"
    file = newest / "optimizer.safetensors"
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(LumosXError, match="step-00000005 is damaged: optimizer.safetensors.*Remove this folder"):
        train(tmp_path, 8)
    for path in newest.iterdir():
        path.unlink()
    newest.rmdir()
    assert train(tmp_path, 8).step == 8


def test_the_log_is_cut_where_the_run_resumes(tmp_path):
    lines = [json.dumps({"step": step, "loss": step / 2}) for step in range(1, 6)]
    (tmp_path / "log.jsonl").write_text("\n".join(lines) + '\n{"step": 6, "lo')
    log = RunLog(tmp_path, done=3)
    log.write(4, loss=9.0)
    log.close()
    assert [(line["step"], line["loss"]) for line in read_log(tmp_path / "log.jsonl")] == [
        (1, 0.5),
        (2, 1.0),
        (3, 1.5),
        (4, 9.0),
    ]


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_saves_and_leaves_with_its_own_exit_code(server, tmp_path, number, code):
    output, log = tmp_path / "run", tmp_path / "log.txt"
    tables = {"output": str(output), "training": {"steps": 100_000, "save_every": 100_000}}
    process = server.start(tables, log=log)
    wait_for(lambda: len(read_log(output / "log.jsonl")) >= 3)
    os.kill(process, number)
    assert server.wait(process) == code
    done = len(read_log(output / "log.jsonl"))
    assert [path.name for path in (output / "checkpoints").iterdir()] == [f"step-{done:08d}"]
    assert "saving after this step" in log.read_text() and "Traceback" not in log.read_text()


def test_ctrl_c_in_a_terminal_reaches_the_workers_too_and_still_saves(server, tmp_path):
    output, log = tmp_path / "run", tmp_path / "log.txt"
    loop = {"steps": 100_000, "save_every": 100_000}
    tables = {"output": str(output), "training": loop, "data": {"num_workers": 2}, "own_group": True}
    process = server.start(tables, log=log)
    wait_for(lambda: len(read_log(output / "log.jsonl")) >= 3)
    os.killpg(process, signal.SIGINT)
    assert server.wait(process) == 130
    done = len(read_log(output / "log.jsonl"))
    assert [path.name for path in (output / "checkpoints").iterdir()] == [f"step-{done:08d}"]
    assert log.read_text().count("saving after this step") == 1 and "Traceback" not in log.read_text()


def test_a_second_ctrl_c_leaves_at_once(server, tmp_path):
    output, log = tmp_path / "run", tmp_path / "log.txt"
    tables = {"output": str(output), "training": {"steps": 100_000, "save_every": 100_000}}
    process = server.start(tables | {"stuck_at": 3}, log=log)
    wait_for(lambda: "stuck" in log.read_text())
    os.kill(process, signal.SIGINT)
    wait_for(lambda: "saving after this step" in log.read_text())
    os.kill(process, signal.SIGINT)
    assert server.wait(process) == 130
    assert not (output / "checkpoints").exists()


@pytest.mark.slow
def test_handlers_are_those_from_before_after_a_run(unbroken):
    before = [signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)]
    train(unbroken, 8)
    assert [signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)] == before
