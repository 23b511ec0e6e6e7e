"""Two processes (gloo) give what one gives with the whole batch: by copies (DDP) and by shared weights (FSDP2)."""

from __future__ import annotations

import socket

import pytest
import torch
from forked import fork_server
from safetensors.torch import load_file

from lumosx_training.loop.tracking.run_log import read_log

pytest.importorskip("accelerate")


@pytest.fixture(scope="module")
def server():
    with fork_server() as server:
        yield server


def together(server, tables, log, task, processes=2):
    """Run a task in so many processes at once, as `accelerate launch` would set them up."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    shared = {"WORLD_SIZE": str(processes), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    started = [
        server.start(
            tables,
            task=task,
            environment=shared | {"RANK": str(rank), "LOCAL_RANK": str(rank), "ACCELERATE_USE_CPU": "true"},
            log=log,
        )
        for rank in range(processes)
    ]
    assert [server.wait(process) for process in started] == [0] * processes, log.read_text()


def tables(output, **loop):
    output.mkdir(exist_ok=True)
    loop = {"steps": 6, "batch_size": 8, "gradient_accumulation_steps": 2, "save_every": 3} | loop
    return {"output": str(output), "training": loop, "data": {"text_dropout": 0.3, "single_reference_dropout": 0.2}}


@pytest.fixture(scope="module")
def alone(server, tmp_path_factory):
    """The folder of a run in one process."""
    output = tmp_path_factory.mktemp("alone")
    assert server.wait(server.start(tables(output), task="gradients", log=output / "out.txt")) == 0
    assert server.wait(server.start(tables(output), log=output / "out.txt")) == 0
    return output


def test_two_processes_give_the_gradient_of_one_with_twice_the_batch(server, alone, tmp_path):
    together(server, tables(tmp_path / "two"), tmp_path / "out.txt", "gradients")
    one, two = (load_file(output / "gradients.safetensors") for output in (alone, tmp_path / "two"))
    assert one.keys() == two.keys()
    for name, gradient in one.items():
        torch.testing.assert_close(two[name], gradient, rtol=1e-4, atol=1e-6, msg=name)
    assert max(gradient.abs().max() for gradient in one.values()) > 1e-3


@pytest.mark.slow
@pytest.mark.parametrize("task", ["train", "train_sharded"])
def test_two_processes_train_as_one_does_and_their_checkpoints_serve_any_number(server, alone, tmp_path, task):
    output = tmp_path / "two"
    together(server, tables(output, steps=3), tmp_path / "out.txt", task)
    together(server, tables(output), tmp_path / "out.txt", task)
    assert "Continuing after step 3" in (tmp_path / "out.txt").read_text()
    one, two = (read_log(each / "log.jsonl") for each in (alone, output))
    for ours, theirs in zip(two, one, strict=True):
        assert ours["step"] == theirs["step"]
        assert ours["loss"] == pytest.approx(theirs["loss"], rel=1e-4)
        assert ours["grad_norm"] == pytest.approx(theirs["grad_norm"], rel=1e-3)
    files = [load_file(each / "model.safetensors") for each in (alone, output)]
    assert files[0].keys() == files[1].keys()
    for name, tensor in files[0].items():
        torch.testing.assert_close(files[1][name], tensor, rtol=0.05, atol=2e-3, msg=name)
    for part in ("model", "ema", "optimizer"):  # files do not depend on the number of processes
        one, two = (
            load_file(each / "checkpoints" / "step-00000006" / f"{part}.safetensors") for each in (alone, output)
        )
        assert {name: (t.shape, t.dtype) for name, t in one.items()} == {n: (t.shape, t.dtype) for n, t in two.items()}
    # One process goes on from what two have left.
    assert server.wait(server.start(tables(output, steps=7), log=tmp_path / "one.txt")) == 0
    assert "Continuing after step 6" in (tmp_path / "one.txt").read_text()
    assert len(read_log(output / "log.jsonl")) == 7
