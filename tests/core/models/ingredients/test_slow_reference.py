"""The network agrees with the slow second implementation, and that one with the recorded numbers."""

from __future__ import annotations

import numpy as np
import pytest
import slow_reference as slow
import torch
from recorded_cases import CASES, RELATIVE, face_count, inputs
from small_network import enliven

from lumosx_core import IngredientsConfig, IngredientsModel
from lumosx_core.models.cogvideox.positions import rotary_table


def relative(value: torch.Tensor, expected: np.ndarray) -> float:
    assert tuple(value.shape) == expected.shape
    return float(np.abs(value.double().numpy() - expected).max() / np.abs(expected).max())


def doubles(state: dict[str, torch.Tensor]) -> slow.Weights:
    return {name: tensor.double().numpy() for name, tensor in state.items()}


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
def test_the_slow_reference_reproduces_the_recorded_numbers(recorded_network, recorded_config, recorded, case):
    weights, sizes = doubles(recorded_network.state_dict()), recorded_config.to_dict()
    given = inputs(case, recorded)
    faces = [
        slow.face_tokens(
            weights, sizes, *(recorded[name][face].double().numpy() for name in ("id_cond", "id_vit_hidden"))
        )
        for face in range(face_count(case))
    ]
    sources = [0, 0] if case == "cfg_shared" else [0, 1] if case == "cfg_per_branch" else [0]
    output, logits = slow.forward(
        weights,
        sizes,
        *(given[name].double().numpy() for name in ("latents", "timestep", "text")),
        faces,
        sources,
    )
    assert relative(recorded[f"{case}.output"], output) <= RELATIVE
    expected = recorded[f"{case}.router_logits"]
    assert relative(expected, logits if expected.ndim == 4 else logits[:, 0]) <= RELATIVE


def random_config(random: np.random.Generator) -> IngredientsConfig:
    """Small sizes that differ from one another, so that no two can be mistaken."""
    choose = lambda *values: int(random.choice(values))  # noqa: E731
    heads, queries, face = choose(2, 3), choose(3, 5), choose(20, 28)
    interval = choose(1, 2, 3)
    rows = choose(2, 4)  # in the shape of 30 x 45 tokens
    return IngredientsConfig.from_dict(
        {
            "transformer": {
                "num_attention_heads": heads,
                "attention_head_dim": 16,
                "in_channels": choose(6, 8),
                "out_channels": choose(3, 4),
                "time_embed_dim": choose(12, 24),
                "text_embed_dim": choose(10, 18),
                "num_layers": interval * choose(1, 2),
                "sample_height": 2 * rows,
                "sample_width": 3 * rows,
                "sample_frames": choose(5, 9),
                "max_text_seq_length": choose(3, 6),
                "cross_attn_interval": interval,
                "local_face_scale": float(random.choice([1.0, 0.6])),
            },
            "local_facial_extractor": {
                "dim": 24,
                "vit_in": choose(24, 16),
                "id_in": choose(9, 13),
                "depth": choose(5, 10),
                "dim_head": choose(4, 6),
                "heads": choose(2, 3),
                "num_id_token": choose(2, 5),
                "num_queries": queries,
                "output_dim": face,
                "ff_mult": choose(2, 4),
            },
            "perceiver_cross_attention": {"dim_head": choose(6, 10), "heads": choose(2, 3)},
            "router": {"inner_dim": choose(14, 22)},
        }
    )


@pytest.mark.slow
@pytest.mark.parametrize("guidance", ["shared", "per_branch", "rows"])
@pytest.mark.parametrize("faces", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("short", [False, True], ids=["own frames", "fewer frames"])
def test_the_network_agrees_with_the_slow_reference(faces, guidance, short):
    seed = 100 * faces + 10 * len(guidance) + short
    random = np.random.default_rng(seed)
    torch.manual_seed(seed)
    config = random_config(random)
    network = enliven(IngredientsModel(config)).requires_grad_(False)
    weights, sizes = doubles(network.state_dict()), config.to_dict()
    transformer, extractor = config.transformer, config.local_facial_extractor
    frames = transformer.latent_frames - short
    batch = int(random.choice([1, 2, 4] if guidance == "shared" else [1, 2, 3]))
    latents = torch.randn(batch, frames, transformer.in_channels, transformer.sample_height, transformer.sample_width)
    timestep = torch.from_numpy(random.integers(0, 1000, batch))
    text = torch.randn(batch, transformer.max_text_seq_length, transformer.text_embed_dim)
    id_cond, hidden = torch.randn(faces, extractor.id_in), torch.randn(faces, 5, 7, extractor.vit_in)

    tokens = network.encode_faces(id_cond, hidden)
    expected_tokens = [
        slow.face_tokens(weights, sizes, id_cond[n].double().numpy(), hidden[n].double().numpy()) for n in range(faces)
    ]
    assert relative(tokens, np.array(expected_tokens)) <= RELATIVE

    rows = [int(row) for row in random.integers(0, batch, batch)]
    negatives = [row % max(1, batch // 2) for row in range(batch)]
    sources = {"rows": rows, "shared": negatives, "per_branch": list(range(batch))}[guidance]
    given = {
        "latents": latents,
        "timestep": timestep,
        "text": text,
        "faces": tokens,
        "rope": rotary_table(transformer, frames, transformer.sample_height, transformer.sample_width),
        **({"residual_rows": rows} if guidance == "rows" else {"guidance": guidance}),
    }
    output, logits = network(**given, return_router=True)
    expected, expected_logits = slow.forward(
        weights, sizes, latents.double().numpy(), timestep.numpy(), text.double().numpy(), expected_tokens, sources
    )
    assert relative(output, expected) <= RELATIVE
    if faces > 1:
        assert relative(network(**{**given, "faces": tokens[1:]}), expected) > 100 * RELATIVE  # the faces matter
    expected_logits = expected_logits[:, sorted(set(sources))]
    assert relative(logits, expected_logits[:, 0] if logits.ndim == 3 else expected_logits) <= RELATIVE
