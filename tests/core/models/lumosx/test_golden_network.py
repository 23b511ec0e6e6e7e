"""The network gives the numbers that the official LumosX code gave: every stage of it, in six scenes."""

from __future__ import annotations

from collections import defaultdict
from functools import partial

import pytest
import torch
from golden_cases import CASES, attended_keys, csam, largest_difference, read_golden_case, relative_rms

from lumosx_core import LumosXModel
from lumosx_core.models.lumosx.block import cross_attention, self_attention
from lumosx_core.models.lumosx.mcam import CELL, cell_bias
from lumosx_core.models.lumosx.r2pe import rotary_table, token_positions
from lumosx_core.models.lumosx.relations import Relations

OUTPUT, ACTIVATION, BIAS, ROTATION = 1e-4, 1e-4, 2e-5, 1e-6
HALF_PRECISION = 1.5e-2  # relative RMS; bfloat16 inside PyTorch's own autocast gave the official code 4e-3 to 6e-3


@pytest.fixture(scope="module", params=CASES)
def case(request, golden):
    return read_golden_case(golden, request.param)


@pytest.fixture(scope="module")
def stages(case, golden_model):
    """Activations of the model's layers in one run of the case, by the name of the layer; "final" is the end."""
    seen = defaultdict(list)

    def keep(name, _module, inputs, output):
        seen[name] = output
        seen[f"{name} in"] = inputs

    hooks = [module.register_forward_hook(partial(keep, name)) for name, module in golden_model.named_modules() if name]
    try:
        with torch.no_grad():
            seen["final"] = golden_model(*case.inputs, include_references=True)
    finally:
        for hook in hooks:
            hook.remove()
    return seen


def test_velocity_of_all_frames(case, stages):
    assert largest_difference(stages["final"], case.tensors["out.final"]) <= OUTPUT


@torch.no_grad()
def test_velocity_of_the_video_alone(case, golden_model):
    velocity = golden_model(*case.inputs)
    assert largest_difference(velocity, case.tensors["out.final"][:, :, : case.frames]) <= OUTPUT


def test_time_and_text_embeddings(case, stages):
    assert largest_difference(stages["time_embedding"], case.tensors["time_embedded"]) <= ACTIVATION
    assert largest_difference(stages["text_embedding"], case.tensors["text_embedded"]) <= ACTIVATION


def test_tokens_before_the_first_block(golden, golden_model):
    case = read_golden_case(golden, "p4_objects_only_small")
    entered = []
    hook = golden_model.blocks[0].register_forward_pre_hook(lambda _module, inputs: entered.append(inputs[0]))
    with torch.no_grad():
        golden_model(*case.inputs)
    hook.remove()
    assert largest_difference(entered[0], case.activations["tokens0"]) <= ACTIVATION


@pytest.mark.parametrize("block", [0, 1])
def test_output_of_each_block(case, stages, block):
    assert largest_difference(stages[f"blocks.{block}"], case.activations[f"b{block}.out"]) <= ACTIVATION


@torch.no_grad()
def test_self_and_cross_attention_of_the_first_block(case, stages, golden_model):
    block = golden_model.blocks[0]
    x, modulation, text, relations = stages["blocks.0 in"]
    shift, scale, gate = (block.modulation + modulation).unbind(dim=2)[:3]
    attended = self_attention(block.self_attn, block.norm1(x) * (1 + scale) + shift, relations)
    assert largest_difference(attended, case.activations["b0.self_attn"]) <= ACTIVATION
    heard = cross_attention(block.cross_attn, block.norm3(x + attended * gate), text, relations)
    assert largest_difference(heard, case.activations["b0.cross_attn"]) <= ACTIVATION
    # ... and the block itself computes no other attention than these two.
    assert largest_difference(stages["blocks.0.self_attn.o"], case.activations["b0.self_attn"]) <= ACTIVATION
    assert largest_difference(stages["blocks.0.cross_attn.o"], case.activations["b0.cross_attn"]) <= ACTIVATION


def test_bias_of_the_pictures_in_the_first_block(case, stages):
    q, k = (stages[f"blocks.0.cross_attn.norm_{x}"].unflatten(-1, (2, 128)).transpose(1, 2) for x in "qk")
    words = stages["blocks.0 in"][3].words
    bias = cell_bias(q[:, :, case.video_tokens :], k, words, case.grid, ratio=0.5)[0]  # (R, C, N, J)
    of_tokens = bias[:, cell_of_each_token(case.grid)].flatten(0, 1).transpose(0, 1)
    assert largest_difference(of_tokens, case.tensors["b0.mcam_bias_cond"]) <= BIAS


def cell_of_each_token(grid):
    """Looked up by a token's running number, as if lines were as long as the padded grid's."""
    columns = -(-grid[1] // CELL)
    padded_width = columns * CELL
    return [p // padded_width // CELL * columns + p % padded_width // CELL for p in range(grid[0] * grid[1])]


def test_rotary_positions(case, stages):
    positions = token_positions(case.layout, case.frames, *case.grid)
    assert torch.equal(positions.int(), case.tensors["rope.pos"])
    cos, sin = rotary_table(positions, head_dim=128)
    assert largest_difference(cos, case.tensors["rope.cos"]) <= ROTATION
    assert largest_difference(sin, case.tensors["rope.sin"]) <= ROTATION
    relations = stages["blocks.0 in"][3]
    assert torch.equal(relations.cos, cos) and torch.equal(relations.sin, sin)


def test_groups_of_the_layout_are_the_recorded_key_ranges(case):
    video, tokens = case.video_tokens, case.picture_tokens
    groups = [[video + g.start * tokens, video + g.stop * tokens] for g in case.layout.groups]
    assert case.tensors["csam.q_ranges"].tolist() == [[0, video], *groups]
    assert case.tensors["csam.k_ranges"].tolist() == [[0, video + case.layout.pictures * tokens], *groups]


def test_queries_reach_exactly_the_recorded_key_ranges(case):
    tokens = len(case.tensors["rope.pos"])
    recorded = torch.zeros(tokens, tokens, dtype=torch.bool)
    for queries, keys in zip(case.tensors["csam.q_ranges"], case.tensors["csam.k_ranges"], strict=True):
        recorded[slice(*queries), slice(*keys)] = True
    reach = partial(csam, layout=case.layout, image_tokens=case.picture_tokens)
    assert torch.equal(attended_keys(reach, tokens), recorded)


@torch.no_grad()
def test_exchanging_the_subjects_exchanges_their_pictures_and_changes_the_video(golden, golden_model):
    case, exchanged = (read_golden_case(golden, name) for name in (CASES[1], CASES[4]))
    now_at = exchanged.facts["cond_permutation"]
    assert torch.equal(exchanged.tensors["in.cond_latents"], case.tensors["in.cond_latents"][now_at])
    before, after = (golden_model(*c.inputs, include_references=True) for c in (case, exchanged))
    pictures_before, pictures_after = (velocity[:, :, case.frames :] for velocity in (before, after))
    assert largest_difference(pictures_after, pictures_before[:, :, now_at]) <= 1e-5
    assert largest_difference(after[:, :, : case.frames], before[:, :, : case.frames]) >= 1e-3


@pytest.fixture(scope="module")
def half_precision_models(golden_config, golden_weights):
    models = {dtype: LumosXModel(golden_config, dtype=dtype) for dtype in (torch.bfloat16, torch.float16)}
    for model in models.values():
        model.load_state_dict(golden_weights)
    return models


@torch.no_grad()
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
def test_weights_of_half_precision_stay_close(case, half_precision_models, dtype):
    velocity = half_precision_models[dtype](*case.inputs, include_references=True)
    assert velocity.dtype == torch.float32
    assert relative_rms(velocity, case.tensors["out.final"]) <= HALF_PRECISION


@torch.no_grad()
def test_autocast_to_bfloat16_stays_close(case, golden_model):
    with torch.autocast("cpu", torch.bfloat16):
        velocity = golden_model(*case.inputs, include_references=True)
    assert velocity.dtype == torch.float32
    assert relative_rms(velocity, case.tensors["out.final"]) <= HALF_PRECISION


def test_relations_are_built_from_what_the_model_was_given(case, stages):
    relations = stages["blocks.0 in"][3]
    assert isinstance(relations, Relations)
    assert (relations.layout, relations.grid, relations.mcam_ratio) == (case.layout, case.grid, 0.5)
    assert stages["blocks.1 in"][3] is relations  # once for all blocks
