"""The network as its users call it: faces, batches, branches, hooks, and what it says to a wrong input."""

from __future__ import annotations

import pytest
import torch
from small_network import SMALL, TOKENS, random_inputs, small_network
from torch.utils.checkpoint import checkpoint

from lumosx_core import IngredientsConfig, IngredientsModel, LumosXError

ROUNDING = 2e-5


@pytest.fixture(scope="module")
def network() -> IngredientsModel:
    return small_network().requires_grad_(False)


def largest_difference(a: torch.Tensor, b: torch.Tensor) -> float:
    return ((a - b).abs().max() / b.abs().max()).item()


# Faces


@pytest.mark.parametrize("faces", range(1, 9))
def test_any_number_of_faces_works_with_the_same_weights(network, faces):
    output, logits = network(**random_inputs(network, faces=faces), return_router=True)
    assert output.shape == (1, 3, 3, 4, 6) and output.isfinite().all()
    assert logits.shape == (2, TOKENS, faces)


def test_the_order_of_the_faces_is_only_that_of_the_logits(network):
    given = random_inputs(network, faces=3)
    output, logits = network(**given, return_router=True)
    turned, turned_logits = network(**{**given, "faces": given["faces"][[2, 0, 1]]}, return_router=True)
    assert largest_difference(turned, output) <= ROUNDING
    assert largest_difference(turned_logits, logits[..., [2, 0, 1]]) <= ROUNDING


def test_a_face_given_twice_is_the_face_once(network):
    one = random_inputs(network, faces=1)
    twice = {**one, "faces": one["faces"].repeat(2, 1, 1)}
    assert largest_difference(network(**twice), network(**one)) <= ROUNDING


def test_each_face_changes_the_video(network):
    given = random_inputs(network, faces=3)
    whole = network(**given)
    for face in range(3):
        others = {**given, "faces": given["faces"][[n for n in range(3) if n != face]]}
        assert largest_difference(network(**others), whole) > 0.01


def test_faces_are_encoded_each_for_itself(network):
    torch.manual_seed(1)
    embedding, hidden = torch.randn(3, 10), torch.randn(3, 5, 7, 24)
    together = network.encode_faces(embedding, hidden)
    for face in range(3):
        alone = network.encode_faces(embedding[face : face + 1], hidden[face : face + 1])
        assert largest_difference(alone[0], together[face]) <= ROUNDING


def test_prepared_faces_serve_every_step(network):
    given = random_inputs(network)
    prepared = network.prepare_faces(given["faces"])
    for timestep in (999, 500, 1):
        step = {**given, "timestep": torch.tensor([timestep])}
        assert torch.equal(network(**{**step, "faces": prepared}), network(**step))


def test_faces_prepared_in_bfloat16_follow_the_dtype_of_the_network(network):
    given = random_inputs(network)
    coarse = network.prepare_faces(given["faces"]).to(torch.device("cpu"), torch.bfloat16)
    assert coarse.layers[0].value.dtype == torch.bfloat16
    assert largest_difference(network(**{**given, "faces": coarse}), network(**given)) < 0.03


# Branches


def test_shared_guidance_adds_the_negatives_residual_to_both(network):
    given = random_inputs(network, batch=4)
    shared = network(**given)
    assert torch.equal(shared, network(**given, residual_rows=[0, 1, 0, 1]))
    own = network(**given, guidance="per_branch")
    assert largest_difference(shared[:2], own[:2]) <= ROUNDING  # the negatives have their own either way
    assert largest_difference(shared[2:], own[2:]) > 0.01


@pytest.mark.parametrize("batch", [1, 2, 3, 4])
def test_per_branch_rows_are_independent(network, batch):
    given = random_inputs(network, batch=batch)
    together = network(**given, guidance="per_branch")
    for row in range(batch):
        alone = {name: given[name][row : row + 1] for name in ("latents", "timestep", "text")}
        assert largest_difference(network(**{**given, **alone}), together[row : row + 1]) <= ROUNDING


def test_residual_rows_name_the_row_of_each_residual(network):
    """ComfyUI's batch may have the positive first."""
    given = random_inputs(network, batch=2)
    swapped = {name: given[name].flip(0) for name in ("latents", "timestep", "text")}
    output = network(**{**given, **swapped}, residual_rows=[1, 1])
    assert largest_difference(output.flip(0), network(**given)) <= ROUNDING


@pytest.mark.parametrize(
    ("batch", "options", "shape"),
    [
        (1, {}, (2, TOKENS, 2)),
        (2, {}, (2, TOKENS, 2)),
        (4, {}, (2, 2, TOKENS, 2)),
        (1, {"guidance": "per_branch"}, (2, TOKENS, 2)),
        (2, {"guidance": "per_branch"}, (2, 2, TOKENS, 2)),
        (3, {"residual_rows": [2, 0, 2]}, (2, 2, TOKENS, 2)),
    ],
)
def test_logits_have_an_axis_of_rows_where_several_are_computed(network, batch, options, shape):
    observed = {}
    _, logits = network(
        **random_inputs(network, batch=batch), **options, return_router=True, observe=observed.__setitem__
    )
    assert logits.shape == shape
    assert sorted(observed) == [0, 1]
    for layer, weights in observed.items():
        assert torch.equal(weights.reshape(logits[layer].shape), logits[layer].softmax(-1))


# Positions


def test_without_rotation_the_output_is_another(network):
    given = random_inputs(network)
    assert largest_difference(network(**{**given, "rope": None}), network(**given)) > 0.01


@pytest.mark.parametrize("frames", [1, 2, 4, 5])
def test_another_number_of_frames_has_computed_positions(network, frames):
    given = random_inputs(network, frames=frames)
    output = network(**given)
    assert output.shape[1] == frames
    other = small_network().requires_grad_(False)
    other.patch_embed.pos_embedding.zero_()
    assert torch.equal(other(**given), output)  # the learned table is not used
    assert not torch.equal(other(**random_inputs(network)), network(**random_inputs(network)))


# Computation


def test_another_attention_function_is_used(network):
    given, calls = random_inputs(network), []

    def attend(query, key, value):
        calls.append(query.shape)
        return torch.softmax(query @ key.transpose(-2, -1) / 4, dim=-1) @ value

    expected = network(**given)
    own, network.attention = network.attention, attend
    try:
        assert largest_difference(network(**given), expected) <= ROUNDING
    finally:
        network.attention = own
    assert calls == [(1, 3, 5 + TOKENS, 16)] * 4


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_in_half_precision_inputs_are_cast_and_logits_are_float32(dtype):
    network = small_network(dtype=dtype).requires_grad_(False)
    output, logits = network(**random_inputs(network), return_router=True)
    assert output.dtype == dtype and logits.dtype == torch.float32
    assert output.isfinite().all()


def test_large_logits_do_not_leave_the_range_of_float16():
    """The products are not scaled: those of 2048 channels can be larger than 65504."""
    network = small_network(dtype=torch.float16).requires_grad_(False)
    for router in network.router:
        router.to_q.weight.mul_(300)
        router.to_kv.weight.mul_(300)
    output, logits = network(**random_inputs(network), return_router=True)
    assert logits.abs().max() > 65504 and output.isfinite().all()


def test_under_autocast_the_router_still_multiplies_in_float32(network):
    given = random_inputs(network)
    expected, expected_logits = network(**given, return_router=True)
    with torch.autocast("cpu", torch.bfloat16):
        output, logits = network(**given, return_router=True)
        image = torch.randn(1, TOKENS, network.config.transformer.width)
        keys = network.prepare_faces(given["faces"]).layers[0].router
        query = network.router[0].to_q(network.router[0].norm2(image))
        routed = network.router[0](image, keys)
    assert query.dtype == torch.bfloat16 and torch.equal(routed, query.float() @ keys.float().T)
    assert largest_difference(output.float(), expected) < 0.05
    assert largest_difference(logits, expected_logits) < 0.05


def test_gradients_reach_every_parameter_but_the_position_table():
    network = small_network()
    extractor = network.config.local_facial_extractor
    given = random_inputs(network)
    faces = network.encode_faces(torch.randn(2, extractor.id_in), torch.randn(2, 5, 7, extractor.vit_in))
    network(**{**given, "faces": faces}).square().mean().backward()
    without = {name for name, p in network.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0}
    assert without == {"patch_embed.pos_embedding"}


@pytest.mark.slow  # the first recomputation imports a part of PyTorch
def test_recomputed_blocks_have_bit_identical_gradients():
    gradients = []
    for recompute in (False, True):
        network = small_network()
        if recompute:
            for block in network.blocks:
                block.forward = lambda *given, own=block.forward: checkpoint(own, *given, use_reentrant=False)
        network(**random_inputs(network)).square().mean().backward()
        gradients.append({name: p.grad for name, p in network.named_parameters() if p.grad is not None})
    assert gradients[0].keys() == gradients[1].keys()
    assert all(torch.equal(gradients[0][name], gradients[1][name]) for name in gradients[0])


@pytest.mark.slow
def test_the_released_network_has_the_names_and_bytes_of_the_release():
    network = IngredientsModel(IngredientsConfig(), device="meta", dtype=torch.bfloat16)
    state = network.state_dict()
    assert len(state) == 1491
    assert sum(tensor.numel() * tensor.element_size() for tensor in state.values()) == 12_875_039_168


# Errors


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"latents": torch.zeros(1, 6, 3, 4, 6)}, r"latents have shape \(1, 6, 3, 4, 6\), expected \(B, F, 6"),
        ({"latents": torch.zeros(1, 3, 6, 4, 8)}, "8 x 4 pixels, .* 6 x 4 only. Make the video 48 x 32"),
        ({"timestep": torch.tensor([1, 2])}, r"timestep has shape \(2,\), expected \(1,\)"),
        ({"text": torch.zeros(1, 4, 12)}, r"text has shape \(1, 4, 12\), expected \(1, 5, 12\). Pad the prompt"),
        ({"text": torch.zeros(2, 5, 12)}, r"expected \(1, 5, 12\)"),
        ({"faces": torch.zeros(0, 4, 28)}, "1 or more"),
        ({"faces": torch.zeros(4, 28)}, r"faces have shape \(4, 28\)"),
        ({"faces": torch.zeros(2, 4, 27)}, r"expected \(1 or more, 4, 28\)"),
        ({"rope": (torch.zeros(5, 16), torch.zeros(5, 16))}, "for 3 latent frames"),
        ({"guidance": "both"}, "guidance is 'both', expected one of 'shared', 'per_branch'"),
        ({"residual_rows": [1]}, r"residual_rows is \[1\], expected 1 numbers from 0 to 0"),
        ({"residual_rows": [0, 0]}, "expected 1 numbers"),
    ],
)
def test_a_wrong_input_is_refused(network, change, message):
    with pytest.raises(LumosXError, match=message):
        network(**{**random_inputs(network), **change})


def test_an_odd_batch_is_not_negatives_and_positives(network):
    with pytest.raises(LumosXError, match=r"The batch has 3 rows, .* residual_rows"):
        network(**random_inputs(network, batch=3))


def test_faces_prepared_by_another_network_are_refused(network):
    deeper = {**SMALL, "transformer": {**SMALL["transformer"], "num_layers": 6}}
    prepared = IngredientsModel(IngredientsConfig.from_dict(deeper)).prepare_faces(torch.zeros(1, 4, 28))
    with pytest.raises(LumosXError, match="prepared for 3 injections, .* has 2"):
        network(**{**random_inputs(network), "faces": prepared})


@pytest.mark.parametrize(
    ("embedding", "hidden", "message"),
    [
        ((2, 9), (2, 5, 7, 24), r"id_cond has shape \(2, 9\), expected \(faces, 10\)"),
        ((10,), (1, 5, 7, 24), "id_cond"),
        ((2, 10), (1, 5, 7, 24), r"expected \(2, 5, tokens, 24\)"),
        ((2, 10), (2, 4, 7, 24), "at 5 depths"),
        ((2, 10), (2, 5, 7, 23), "id_vit_hidden"),
    ],
)
def test_wrong_features_of_faces_are_refused(network, embedding, hidden, message):
    with pytest.raises(LumosXError, match=message):
        network.encode_faces(torch.zeros(embedding), torch.zeros(hidden))
