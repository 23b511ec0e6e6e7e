"""The learning rate of each step, and the arguments of AdamW."""

from __future__ import annotations

import pytest
import torch

from lumosx_core import LumosXConfig, LumosXModel
from lumosx_core.errors import LumosXError, MissingPackageError
from lumosx_training.loop.config import OptimizerSettings
from lumosx_training.loop.optimizer import learning_rate, make_optimizer

MODEL = LumosXConfig(dim=32, ffn_dim=32, num_heads=2, num_layers=1, text_dim=8, text_len=8, freq_dim=8)


def rates(**settings):
    made = OptimizerSettings(learning_rate=1.0, **settings)
    return [learning_rate(made, step, 10) for step in range(10)]


def test_warm_up_rises_to_the_full_rate_and_constant_stays():
    assert rates(warmup_steps=4) == [0.25, 0.5, 0.75, 1, 1, 1, 1, 1, 1, 1]


def test_linear_falls_evenly():
    assert rates(schedule="linear") == pytest.approx([1 - step / 10 for step in range(10)])


def test_cosine_falls_slowly_then_fast_then_slowly_to_its_smallest_rate():
    drawn = rates(schedule="cosine", warmup_steps=2, min_lr_ratio=0.1)
    assert drawn[:3] == [0.5, 1, 1]
    assert drawn[6] == pytest.approx(0.55)
    assert 0.1 < drawn[9] < 0.14
    assert drawn == sorted(drawn[:2]) + sorted(drawn[2:], reverse=True)


def test_weight_decay_holds_matrices_and_nothing_else():
    model = LumosXModel(MODEL)
    decayed, free = make_optimizer(model, OptimizerSettings(weight_decay=0.3)).param_groups
    assert (decayed["weight_decay"], free["weight_decay"]) == (0.3, 0.0)
    names = {parameter: name for name, parameter in model.named_parameters()}
    assert len(decayed["params"]) + len(free["params"]) == len(names)
    assert {"blocks.0.modulation", "blocks.0.norm3.weight", "head.head.bias"} <= {names[p] for p in free["params"]}
    assert {"blocks.0.ffn.0.weight", "patch_embedding.weight"} <= {names[p] for p in decayed["params"]}


def test_only_what_requires_gradients_is_trained():
    model = LumosXModel(MODEL).requires_grad_(False)
    with pytest.raises(LumosXError, match="No parameter"):
        make_optimizer(model, OptimizerSettings())
    model.head.head.bias.requires_grad_(True)
    [group] = make_optimizer(model, OptimizerSettings()).param_groups
    assert [p is model.head.head.bias for p in group["params"]] == [True]


def test_adamw_is_fused_where_it_can_be():
    assert make_optimizer(LumosXModel(MODEL), OptimizerSettings()).defaults["fused"]
    assert not make_optimizer(LumosXModel(MODEL, dtype=torch.bfloat16), OptimizerSettings()).defaults["fused"]


def test_a_missing_8_bit_optimiser_is_named(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "bitsandbytes.optim", None)
    with pytest.raises(MissingPackageError, match="bitsandbytes"):
        make_optimizer(LumosXModel(MODEL), OptimizerSettings(name="adamw8bit"))
