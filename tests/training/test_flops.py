"""The count of operations is what torch itself counts while the network runs."""

import math

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from lumosx_core import EncodedScene, LumosXConfig, LumosXModel, ReferenceLayout, RelationalOptions
from lumosx_training.flops import forward_flops, step_flops
from lumosx_training.lora import LoraSettings, add_lora

CONFIG = LumosXConfig(dim=256, ffn_dim=128, num_heads=2, num_layers=2, text_dim=32, text_len=16)
RELEASED = RelationalOptions()
LAYOUT, FRAMES, GRID = ReferenceLayout(1, (3, 2)), 2, (8, 8)


def attention(q, k, v, attn_mask=None):
    """In plain products: torch counts no operations for its own attention on the CPU."""
    scores = q @ k.transpose(-1, -2) / math.sqrt(q.shape[-1])
    return torch.softmax(scores if attn_mask is None else scores + attn_mask, -1) @ v


def counted(
    layout: ReferenceLayout, settings: LoraSettings | None = None, options: RelationalOptions = RELEASED
) -> tuple[int, int]:
    """Operations of the forward pass, and of both passes."""
    model = LumosXModel(CONFIG)
    model.attention = attention
    torch.nn.init.normal_(model.head.head.weight)
    if settings:
        add_lora(model, settings)
    video, pictures = torch.randn(1, 16, FRAMES, 16, 16), torch.randn(1, 16, layout.pictures, 16, 16)
    words = torch.rand(layout.pictures, 16) < 0.3
    with FlopCounterMode(display=False) as counter:
        scene = EncodedScene(pictures, layout, words)
        out = model(video, torch.tensor([300.0]), torch.randn(1, 16, 32), scene, options)
        forward = counter.get_total_flops()
        out.square().mean().backward()
        return forward, counter.get_total_flops()


@pytest.mark.parametrize("options", [RelationalOptions(), RelationalOptions(csam=False, mcam_ratio=0.0)])
@pytest.mark.parametrize("layout", [LAYOUT, ReferenceLayout(2)])
def test_a_step_on_everything_is_counted_as_torch_counts_it(options, layout):
    forward, both = counted(layout, options=options)
    assert sum(forward_flops(CONFIG, layout, FRAMES, GRID, options).values()) == forward
    assert step_flops(CONFIG, layout, FRAMES, GRID, options=options) == both


@pytest.mark.parametrize(
    ("targets", "most"), [(LoraSettings().targets, 0.0), (("self_attn.q", "self_attn.k", "self_attn.v"), 0.01)]
)
def test_a_step_on_a_lora_is_counted_as_torch_counts_it(targets, most):
    pytest.importorskip("peft")
    settings = LoraSettings(rank=4, targets=targets)
    _, both = counted(LAYOUT, settings)
    assert step_flops(CONFIG, LAYOUT, FRAMES, GRID, rank=4, targets=targets) == pytest.approx(both, rel=most)


def test_the_released_model_at_its_released_size_needs_398_teraflop_a_forward_pass():
    parts = forward_flops(LumosXConfig(), ReferenceLayout(2, (3, 3)), 21, (30, 52))
    # What all 30 layers would need for everything; in the last one, eight of 29 frames only give keys and values.
    known = {
        "self-attention core": 282.1,
        "self-attention projections": 25.6,
        "cross-attention": 17.2,
        "feed-forward": 74.7,
    }
    saved = {"self-attention core": 0.0, "self-attention projections": 0.5, "cross-attention": 0.5, "feed-forward": 1.0}
    expected = {name: flops * (1 - saved[name] * 8 / 29 / 30) for name, flops in known.items()}
    expected["self-attention core"] = known["self-attention core"] - 0.21  # 2 groups of 3 pictures and 2 alone
    assert {name: flops / 1e12 for name, flops in parts.items() if name in known} == pytest.approx(expected, abs=0.06)
    assert sum(parts.values()) / 1e12 == pytest.approx(398.5, abs=0.3)
