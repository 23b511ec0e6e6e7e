"""Killed at any moment, a run goes on from its last checkpoint and ends as if nothing had happened."""

from __future__ import annotations

import random
import time

import pytest
import torch
from forked import fork_server, wait_for
from safetensors.torch import load_file

from lumosx_training.loop.checkpoints.checkpoint import Checkpoints
from lumosx_training.loop.tracking.run_log import read_log

pytest.importorskip("accelerate")

EVERY, STEPS = 3, 60


@pytest.fixture(scope="module")
def server():
    with fork_server() as server:
        yield server


def tables(output):
    loop = {"steps": STEPS, "batch_size": 2, "save_every": EVERY}
    optimizer = {"learning_rate": 3e-3, "schedule": "cosine", "warmup_steps": 10}
    return {"output": str(output), "training": loop, "optimizer": optimizer, "data": {"num_workers": 1}}


@pytest.mark.slow
def test_killed_at_ten_random_moments_a_run_loses_nothing_but_the_steps_since_the_last_checkpoint(server, tmp_path):
    broken, unbroken = tmp_path / "broken", tmp_path / "unbroken"
    reference = server.start(tables(unbroken), log=tmp_path / "unbroken.txt")
    moments = random.Random(1)
    last = 0
    for life in range(10):
        log = tmp_path / f"life{life}.txt"
        process = server.start(tables(broken), log=log)
        until = last + moments.randint(1, 5)
        wait_for(lambda log=log, first=last + 1: f"step {first}/" in log.read_text())
        wait_for(lambda until=until: len(read_log(broken / "log.jsonl")) >= until)
        time.sleep(moments.uniform(0, 0.05))  # in the middle of a step or of a checkpoint
        assert server.kill(process) == -9
        if last:
            assert f"Continuing after step {last} " in log.read_text()
        done = len(read_log(broken / "log.jsonl"))
        checkpoint = Checkpoints(broken).latest()
        # The newest one may have been under way when the kill came; every one before it must be there.
        assert (checkpoint.step if checkpoint else 0) >= (done - 1) // EVERY * EVERY
        last = checkpoint.step if checkpoint else 0
        if checkpoint:
            assert all(dict(checkpoint.tensors(part)) for part in ("model", "ema", "optimizer"))
    assert last < STEPS  # no life has reached the end
    assert server.wait(server.start(tables(broken), log=tmp_path / "end.txt")) == 0
    assert server.wait(reference) == 0

    lines = [[(e["step"], e["loss"], e["grad_norm"]) for e in read_log(o / "log.jsonl")] for o in (broken, unbroken)]
    assert lines[0] == lines[1]
    for part in ("model", "ema", "optimizer"):
        ends = [load_file(o / "checkpoints" / f"step-{STEPS:08d}" / f"{part}.safetensors") for o in (broken, unbroken)]
        assert ends[0].keys() == ends[1].keys()
        assert all(torch.equal(tensor, ends[1][name]) for name, tensor in ends[0].items())
    assert sorted(path.name for path in (broken / "checkpoints").iterdir()) == ["step-00000057", "step-00000060"]
