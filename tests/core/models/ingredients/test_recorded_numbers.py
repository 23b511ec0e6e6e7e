"""The network reproduces the numbers that were recorded from the reference code."""

from __future__ import annotations

import pytest
import torch
from recorded_cases import CASES, PROBABILITY, RELATIVE, deviations, inputs, relative, run

from lumosx_core import IngredientsModel
from lumosx_core.models.cogvideox.positions import rotary_table
from lumosx_core.models.ingredients.routing_loss import routing_loss, routing_losses


@pytest.fixture(scope="module")
def found(recorded_network, recorded) -> dict[str, float]:
    return deviations(recorded_network, recorded)


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
def test_faces_prepared_once_change_no_bit(recorded_network, recorded, case):
    arguments = inputs(case, recorded)
    faces = recorded["unit.face_tokens"][:2]
    prepared = recorded_network.prepare_faces(faces)
    assert torch.equal(recorded_network(**arguments, faces=faces), recorded_network(**arguments, faces=prepared))


def test_the_weights_that_are_observed_are_the_recorded_ones(recorded_network, recorded):
    observed = {}
    faces = recorded["unit.face_tokens"][:2]
    recorded_network(**inputs("cfg_per_branch", recorded), faces=faces, observe=observed.__setitem__)
    weights = torch.stack([observed[layer] for layer in sorted(observed)])
    assert weights.shape == recorded["cfg_per_branch.router_probs"].shape
    assert (weights - recorded["cfg_per_branch.router_probs"]).abs().max() <= PROBABILITY


def test_the_rotation_is_bit_identical_to_the_recorded_one(recorded_config, recorded):
    for frames, prefix in ((3, ""), (2, "short.")):
        cos, sin = rotary_table(recorded_config.transformer, frames, 8, 12)
        assert torch.equal(cos, recorded[f"{prefix}rope_cos"]) and torch.equal(sin, recorded[f"{prefix}rope_sin"])


def test_the_routing_loss_is_as_recorded(recorded_network, recorded):
    _, logits = run(recorded_network, "n2", recorded)
    labels = recorded["loss.labels"]
    assert relative(routing_losses(logits, labels), recorded["loss.per_layer"]) <= RELATIVE
    assert relative(routing_loss(logits, labels), recorded["loss.value"]) <= RELATIVE


@pytest.mark.parametrize("case", CASES)
def test_in_bfloat16_the_network_is_near_the_recorded_numbers(recorded_config, recorded_network, recorded, case):
    """The reference code in bfloat16 is up to 1.4e-2 from its outputs in float32, and 3.3e-2 from the weights."""
    model = IngredientsModel(recorded_config, dtype=torch.bfloat16)
    model.load_state_dict(recorded_network.state_dict())
    with torch.no_grad():
        output, logits = run(model, case, recorded)
    assert output.dtype == torch.bfloat16 and logits.dtype == torch.float32
    assert relative(output.float(), recorded[f"{case}.output"]) <= 1.4e-2
    assert (logits.softmax(-1) - recorded[f"{case}.router_probs"]).abs().max() <= 6e-2
