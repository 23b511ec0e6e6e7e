"""The state of a run as named tensors: one whole tensor in memory at a time, and every kind of optimizer."""

from __future__ import annotations

import io
import weakref

import pytest
import torch
from safetensors.torch import load
from torch import nn

from lumosx_core.errors import LumosXError
from lumosx_core.files.safetensors_file import data_size, in_file_order, write_safetensors
from lumosx_core.files.stored_tensor import StoredTensor
from lumosx_training.loop.checkpoints.sharded_state import load_optimizer_state, optimizer_state, stored, take_part

TENSORS = {
    "bytes": torch.arange(5, dtype=torch.uint8),
    "half": torch.arange(6.0).bfloat16().reshape(2, 3),
    "number": torch.tensor(7.0),
    "eight bits": torch.tensor([0.5, -2.0]).to(torch.float8_e4m3fn),
    "none": torch.empty(0, 4),
    "long": torch.tensor([2**40, -1]),
}


def test_a_streamed_file_is_a_safetensors_file():
    file = io.BytesIO()
    write_safetensors(file, in_file_order(stored(TENSORS)), {"lumosx_training": "{}"})
    read = load(file.getvalue())
    assert read.keys() == TENSORS.keys()
    for name, tensor in TENSORS.items():
        assert (read[name].dtype, read[name].shape) == (tensor.dtype, tensor.shape)
        assert torch.equal(read[name].float(), tensor.float()), name
    assert data_size(stored(TENSORS)) == sum(tensor.nbytes for tensor in TENSORS.values())


@pytest.mark.parametrize("work", [lambda tensors: write_safetensors(io.BytesIO(), in_file_order(tensors)), take_part])
def test_one_tensor_is_in_memory_at_a_time_and_all_processes_load_in_the_same_order(work):
    order, last = [], None

    def loading(name):
        def load():
            nonlocal last
            assert last is None or last() is None, "the tensor before this one is still in memory"
            order.append(name)
            tensor = torch.zeros(10)
            last = weakref.ref(tensor)
            return tensor

        return load

    names = ["c", "a", "b"]
    work({name: StoredTensor(torch.Size([10]), torch.float32, loading(name)) for name in names})
    assert order == sorted(names)


class EightBit(torch.optim.Optimizer):
    """Keeps its state as bitsandbytes does: step as a plain number, and quantised moments nested in `state_dict()`."""

    def __init__(self, parameters):
        super().__init__(parameters, {"lr": 0.1})

    @torch.no_grad()
    def step(self, closure=None):
        for parameter in self.param_groups[0]["params"]:
            state = self.state[parameter]
            if not state:
                state |= {"step": 0, "state1": torch.zeros_like(parameter, dtype=torch.uint8), "scale": torch.zeros(3)}
            state["step"] += 1
            state["state1"] += 3
            state["scale"] += 0.5

    def state_dict(self):
        content = super().state_dict()
        content["state"] = {
            key: {"step": each["step"], "nested": {name: each[name] for name in ("state1", "scale")}}
            for key, each in content["state"].items()
        }
        return content

    def load_state_dict(self, state_dict):
        flat = {key: {"step": each["step"], **each["nested"]} for key, each in state_dict["state"].items()}
        super().load_state_dict({**state_dict, "state": flat})


def trained(kind, steps=3):
    torch.manual_seed(0)
    network = nn.Linear(4, 2)
    optimizer = kind(network.parameters())
    for _ in range(steps):
        network(torch.ones(1, 4)).sum().backward()
        optimizer.step()
        optimizer.zero_grad()
    return network, optimizer


def read(tensors):
    return {name: tensor.load().clone() for name, tensor in tensors.items()}


@pytest.mark.parametrize("kind", [EightBit, torch.optim.AdamW], ids=lambda kind: kind.__name__)
def test_an_optimizer_gets_its_state_back_and_keeps_its_settings(kind):
    saved = read(optimizer_state(*trained(kind)))
    network, optimizer = trained(kind, steps=0)
    before = {name: parameter.clone() for name, parameter in network.named_parameters()}
    optimizer.param_groups[0]["lr"] = 0.25
    load_optimizer_state(network, optimizer, saved.items())
    again = read(optimizer_state(network, optimizer))
    assert again.keys() == saved.keys() and all(torch.equal(again[name], saved[name]) for name in saved)
    assert optimizer.param_groups[0]["lr"] == 0.25
    assert all(torch.equal(before[name], parameter) for name, parameter in network.named_parameters())


def test_names_are_those_of_earlier_versions():
    assert set(optimizer_state(*trained(torch.optim.AdamW))) == {
        f"{name}|{key}" for name in ("weight", "bias") for key in ("step", "exp_avg", "exp_avg_sq")
    }
    eight_bit = {f"{name}|{key}" for name in ("weight", "bias") for key in ("step|number", "state1", "scale")}
    assert set(optimizer_state(*trained(EightBit))) == eight_bit


def test_a_parameter_without_saved_state_starts_afresh():
    saved = {name: t for name, t in read(optimizer_state(*trained(torch.optim.AdamW))).items() if "weight" in name}
    network, optimizer = trained(torch.optim.AdamW, steps=0)
    load_optimizer_state(network, optimizer, saved.items())
    assert all(not tensor.any() for tensor in optimizer.state[network.bias].values())
    assert optimizer.state[network.weight]["step"] == 3


@pytest.mark.parametrize("wrong", [{"other|exp_avg": torch.zeros(2)}, {"weight|exp_avg": torch.zeros(3, 3)}])
def test_the_state_of_other_parameters_is_refused(wrong):
    with pytest.raises(LumosXError, match="belongs to other parameters or another optimizer"):
        load_optimizer_state(*trained(torch.optim.AdamW), wrong.items())
