"""Checkpointing and block offload save memory and change nothing else: outputs and gradients keep every bit."""

import gc
import itertools
import weakref

import pytest
import torch

from lumosx_core import EncodedScene, LumosXConfig, LumosXError, LumosXModel, ReferenceLayout
from lumosx_training.lora import LoraSettings, add_lora, lora_state_dict
from lumosx_training.memory.gradient_checkpointing import checkpoint_blocks
from lumosx_training.memory.offload import offload_blocks

pytest.importorskip("peft")
CONFIG = LumosXConfig(dim=256, ffn_dim=128, num_heads=2, num_layers=4, text_dim=32, text_len=16)


def model_with(way: str, dropout: float = 0.0) -> LumosXModel:
    """The same model every time, as it is or with a LoRA whose B matrices are not zero."""
    torch.manual_seed(0)
    model = LumosXModel(CONFIG, dtype=torch.float32 if way == "full" else torch.bfloat16)
    torch.nn.init.normal_(model.head.head.weight, std=0.02)
    if way == "lora":
        add_lora(model, LoraSettings(rank=2, alpha=4.0, dropout=dropout))
        for name, parameter in model.named_parameters():
            if "lora_B" in name:
                torch.nn.init.normal_(parameter, std=0.02)
    return model.train()


def inputs() -> tuple:
    random = torch.Generator().manual_seed(1)
    video, pictures = torch.randn(2, 16, 2, 4, 6, generator=random), torch.randn(2, 16, 3, 4, 6, generator=random)
    text, words = torch.randn(2, 5, 32, generator=random), torch.rand(3, 16, generator=random) < 0.3
    return video, torch.tensor([300.0, 700.0]), text, EncodedScene(pictures, ReferenceLayout(1, (2,)), words)


def step(model: LumosXModel, autocast: bool = False) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    """Output and gradients of one training step."""
    torch.manual_seed(2)
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        out = model(*inputs())
    out.square().mean().backward()
    return out.detach(), {name: p.grad for name, p in model.named_parameters() if p.grad is not None}


def same(one, other) -> bool:
    (out, gradients), (other_out, other_gradients) = one, other
    assert gradients.keys() == other_gradients.keys() and gradients
    return torch.equal(out, other_out) and all(torch.equal(gradients[n], other_gradients[n]) for n in gradients)


def checkpointed(model):
    checkpoint_blocks(model)


def checkpointed_with_inputs_on_the_cpu(model):
    checkpoint_blocks(model, inputs_on_cpu=True)


def offloaded(model):
    offload_blocks(model, "cpu", keep_trainable=False)


def offloaded_but_what_is_trained(model):
    offload_blocks(model, "cpu", inputs_on_cpu=True)


def both(model):
    checkpoint_blocks(model)
    offload_blocks(model, "cpu", keep_trainable=False)
    checkpoint_blocks(model)


SAVINGS = [checkpointed, checkpointed_with_inputs_on_the_cpu, offloaded, both]


@pytest.mark.parametrize("autocast", [False, True])
@pytest.mark.parametrize(
    ("way", "saving"),
    [*itertools.product(["full", "lora"], SAVINGS), ("lora", offloaded_but_what_is_trained)],
)
def test_output_and_gradients_keep_every_bit(way, saving, autocast):
    plain = step(model_with(way, dropout=0.3), autocast)
    model = model_with(way, dropout=0.3)
    names = list(model.state_dict())
    saving(model)
    assert same(step(model, autocast), plain)
    assert list(model.state_dict()) == names


def test_a_second_step_and_a_look_in_between_change_nothing():
    """The order of the blocks starts over, also after a forward pass without a backward pass."""
    plain, model = model_with("lora"), model_with("lora")
    offload_blocks(model, "cpu")
    for each in (plain, model):
        optimizer = torch.optim.SGD([p for p in each.parameters() if p.requires_grad], lr=0.1)
        step(each)
        optimizer.step()
        optimizer.zero_grad()
        with torch.no_grad():
            each(*inputs())
        each(*inputs())
    assert same(step(model), step(plain))


def activations_kept(model: LumosXModel) -> int:
    """The number of values that the forward pass keeps for the backward pass."""
    kept = {}

    def pack(tensor):
        kept[tensor.data_ptr()] = tensor.numel()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        model(*inputs())
    return sum(kept.values())


def test_checkpointing_keeps_little_more_than_each_blocks_input():
    plain, model = model_with("full"), model_with("full")
    checkpoint_blocks(model)
    stream = 2 * (2 + 3) * 2 * 3 * CONFIG.dim
    assert activations_kept(model) < activations_kept(plain) / 3
    assert activations_kept(model) > CONFIG.num_layers * stream  # the hooks of this test see them


def test_without_gradients_nothing_is_kept_or_computed_twice():
    model = model_with("full")
    calls = []
    model.blocks[0].register_forward_hook(lambda *_: calls.append(1))
    checkpoint_blocks(model)
    with torch.no_grad():
        assert not model(*inputs()).requires_grad
    assert calls == [1]


@pytest.fixture
def quick_collection():
    """Keeps the garbage collector from walking through all imported packages again and again."""
    gc.freeze()
    yield
    gc.unfreeze()


class Watch:
    """Records which block is fetched when, and how many blocks' weights live at the same time."""

    def __init__(self, offload, monkeypatch):
        self.fetched, self.most, self.alive = [], 0, {}
        copy = offload._copy

        def watched(index):
            copies = copy(index)
            self.fetched.append(index)
            visit = len(self.fetched)
            weight = next(each for each in copies.values() if each.ndim == 2)
            self.alive[visit] = weakref.ref(weight.untyped_storage())
            gc.collect()
            self.most = max(self.most, sum(each() is not None for each in self.alive.values()))
            return copies

        monkeypatch.setattr(offload, "_copy", watched)


@pytest.mark.parametrize("way", ["full", "lora"])
def test_each_block_is_fetched_once_a_pass_in_the_order_of_use_and_two_are_there_at_a_time(
    way, monkeypatch, quick_collection
):
    model = model_with(way)
    watch = Watch(offload_blocks(model, "cpu", keep_trainable=way == "lora"), monkeypatch)
    for _ in range(2):
        step(model)
    assert watch.fetched == 2 * [0, 1, 2, 3, 3, 2, 1, 0]
    assert watch.most == 2
    gc.collect()
    assert all(each() is None for each in watch.alive.values())


def test_what_is_trained_stays_and_the_lora_can_be_saved():
    model = model_with("lora")
    before = {name: tensor.clone() for name, tensor in lora_state_dict(model).items()}
    offload = offload_blocks(model, "cpu")
    assert not any("lora_" in name for block in offload.blocks for name in block)
    after = lora_state_dict(model)
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_a_model_in_which_nothing_could_leave_is_refused():
    with pytest.raises(LumosXError, match="Every weight of the blocks is trained"):
        offload_blocks(model_with("full"), "cpu")
