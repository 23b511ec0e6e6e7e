"""The network reproduces the numbers that were recorded from the reference code."""

from __future__ import annotations

import pytest
import torch
from recorded_cases import CASES, PROBABILITY, RELATIVE, deviations, inputs, relative, run

from lumosx_core.models.cogvideox.positions import rotary_table
from lumosx_core.models.ingredients.routing_loss import routing_loss, routing_losses


@pytest.fixture(scope="module")
def found(miniature, recorded) -> dict[str, float]:
    return deviations(miniature, recorded)


@pytest.mark.parametrize(
    "part", ["face_tokens", "router0_logits_n2", "router1_logits_n3", "cross_attn0_id0", "cross_attn1_id1"]
)
def test_a_part_is_as_recorded(found, part):
    assert found[f"unit.{part}"] <= 1


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("value", ["output", "router_logits", "router_probs"])
def test_a_forward_pass_is_as_recorded(found, case, value):
    assert found[f"{case}.{value}"] <= 1


@pytest.mark.parametrize("case", CASES)
def test_faces_prepared_once_change_no_bit(miniature, recorded, case):
    arguments = inputs(case, recorded)
    faces = recorded["unit.face_tokens"][:2]
    prepared = miniature.prepare_faces(faces)
    assert torch.equal(miniature(**arguments, faces=faces), miniature(**arguments, faces=prepared))


def test_the_weights_that_are_observed_are_the_recorded_ones(miniature, recorded):
    observed = {}
    faces = recorded["unit.face_tokens"][:2]
    miniature(**inputs("cfg_per_branch", recorded), faces=faces, observe=observed.__setitem__)
    weights = torch.stack([observed[layer] for layer in sorted(observed)])
    assert weights.shape == recorded["cfg_per_branch.router_probs"].shape
    assert (weights - recorded["cfg_per_branch.router_probs"]).abs().max() <= PROBABILITY


def test_the_rotation_is_bit_identical_to_the_recorded_one(miniature_config, recorded):
    for frames, prefix in ((3, ""), (2, "short.")):
        cos, sin = rotary_table(miniature_config.transformer, frames, 8, 12)
        assert torch.equal(cos, recorded[f"{prefix}rope_cos"]) and torch.equal(sin, recorded[f"{prefix}rope_sin"])


def test_the_routing_loss_is_as_recorded(miniature, recorded):
    _, logits = run(miniature, "n2", recorded)
    labels = recorded["loss.labels"]
    assert relative(routing_losses(logits, labels), recorded["loss.per_layer"]) <= RELATIVE
    assert relative(routing_loss(logits, labels), recorded["loss.value"]) <= RELATIVE


def test_the_miniature_in_bfloat16_is_near_the_recorded_numbers(
    golden_ingredients, miniature_config, recorded, miniature
):
    """As near as the reference code is in bfloat16."""
    from lumosx_core import IngredientsModel

    model = IngredientsModel(miniature_config, dtype=torch.bfloat16)
    model.load_state_dict(miniature.state_dict())
    model.eval().requires_grad_(False)
    output, logits = run(model, "n2", recorded)
    assert output.dtype == torch.bfloat16 and logits.dtype == torch.float32
    assert relative(output.float(), recorded["n2.output"]) <= 1.4e-2
    assert (logits.softmax(-1) - recorded["n2.router_probs"]).abs().max() <= 3.3e-2
