"""The dense second implementation reproduces the recorded numbers of the official code."""

import json

import pytest
import torch
from dense_reference import dense_forward
from safetensors import safe_open
from safetensors.torch import load_file

CASES = [
    "p1_face_only_aligned",
    "p2_two_subjects_bg_obj",
    "p3_three_subjects_aligned",
    "p4_objects_only_small",
    "p5_two_subjects_shuffled",
    "p6_shared_and_missing_phrase",
]


@pytest.mark.parametrize("name", CASES)
def test_the_dense_reference_reproduces_the_recorded_numbers(golden, golden_weights, name):
    case = load_file(golden / f"case_{name}.safetensors")
    with safe_open(golden / f"case_{name}.safetensors", "pt") as file:
        layout = json.loads(file.metadata()["case"])
    weights = {key: tensor.double() for key, tensor in golden_weights.items()}
    trace = {}
    velocity = dense_forward(
        weights,
        2,
        32,
        case["in.x"],
        case["in.t"],
        case["in.context"][None],
        case["in.cond_latents"].transpose(0, 2),
        layout["n_nonhuman"],
        tuple(layout["groups"]),
        case["in.mask_text_emb"],
        trace=trace,
    )
    assert far(velocity, case["out.final"]) <= 1e-5
    assert torch.equal(trace["rope.pos"].int(), case["rope.pos"])
    assert far(trace["rope.angles"].cos(), case["rope.cos"]) <= 1e-6
    assert far(trace["rope.angles"].sin(), case["rope.sin"]) <= 1e-6
    assert far(trace["time_embedded"], case["time_embedded"][0]) <= 1e-5
    assert far(trace["text_embedded"], case["text_embedded"][0]) <= 1e-5
    assert torch.equal(trace["self_mask"], ranges_as_mask(case))
    bias = case["b0.mcam_bias_cond"]
    video = velocity.shape[2] - case["in.cond_latents"].shape[0]
    video_tokens = video * bias.shape[1] // case["in.cond_latents"].shape[0]
    assert not trace["b0.mcam_bias"][:, :video_tokens].any()
    assert far(trace["b0.mcam_bias"][:, video_tokens:], bias) <= 5e-6
    for key, recorded in load_file(golden / f"acts_{name}.safetensors").items():
        assert far(trace[key], recorded[0]) <= 1e-5, key


def far(ours: torch.Tensor, recorded: torch.Tensor) -> float:
    assert ours.shape == recorded.shape
    return (ours.double() - recorded.double()).abs().max().item()


def ranges_as_mask(case: dict[str, torch.Tensor]) -> torch.Tensor:
    tokens = len(case["rope.pos"])
    mask = torch.zeros(tokens, tokens, dtype=torch.bool)
    for (q0, q1), (k0, k1) in zip(case["csam.q_ranges"].tolist(), case["csam.k_ranges"].tolist(), strict=True):
        mask[q0:q1, k0:k1] = True
    return mask
