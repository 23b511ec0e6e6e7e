"""The dense second implementation is right where numbers are recorded, and the model agrees with it everywhere else."""

import functools
import json
from dataclasses import dataclass

import pytest
import torch
from dense_reference import Switches, dense_forward
from golden_cases import CASES
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from model_calls import predict
from safetensors import safe_open
from safetensors.torch import load_file

from lumosx_core import LumosXConfig, LumosXModel, ReferenceLayout


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


@dataclass(frozen=True)
class Trial:
    """One random call of the network; latents, text and masks follow from the seed."""

    layout: ReferenceLayout
    frames: int
    height: int
    width: int
    batch: int = 1
    text_rows: int = 24
    own_references: bool = False  # one set of reference latents for each video of the batch
    mask_density: float = 0.3
    heads: int = 1
    layers: int = 1
    switches: Switches = Switches()  # noqa: RUF009 - immutable
    seed: int = 0


TEXT_LEN, TEXT_DIM = 24, 32
MOST_TOKENS = 1000


@st.composite
def trials(draw) -> Trial:
    layout = ReferenceLayout(
        draw(st.integers(0, 3)), tuple(draw(st.lists(st.integers(0, 5), min_size=0, max_size=6), label="subjects"))
    )
    frames = draw(st.integers(1, 5))
    width = draw(st.integers(1, 37))
    rows = MOST_TOKENS // ((frames + layout.pictures) * ((width + 1) // 2))
    return Trial(
        layout,
        frames,
        draw(st.integers(1, max(1, min(37, 2 * rows)))),
        width,
        batch=draw(st.integers(1, 3)),
        text_rows=draw(st.integers(1, TEXT_LEN)),
        own_references=draw(st.booleans()),
        mask_density=draw(st.sampled_from([0.0, 0.1, 0.5, 1.0])),
        heads=draw(st.integers(1, 2)),
        layers=draw(st.integers(1, 2)),
        switches=Switches(draw(st.sampled_from([0.0, 0.5, 1.0])), draw(st.booleans()), draw(st.booleans())),
        seed=draw(st.integers(0, 2**16)),
    )


@settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
@example(Trial(ReferenceLayout(1, (3, 2)), frames=1, height=9, width=11))  # a still: one frame, as many as a group of 1
@example(Trial(ReferenceLayout(0, (4, 1)), frames=4, height=10, width=22))  # as many frames as pictures in a group
@example(Trial(ReferenceLayout(2, (0, 3, 0, 1)), frames=2, height=7, width=19, batch=2))  # subjects without pictures
@example(Trial(ReferenceLayout(0, (0, 0)), frames=2, height=8, width=8))  # nothing but subjects without pictures
@example(Trial(ReferenceLayout(0), frames=3, height=6, width=5, batch=2, text_rows=3))  # plain Wan
@example(Trial(ReferenceLayout(3), frames=2, height=37, width=18))  # no subject; more than two cells high
@given(trials())
def test_the_model_agrees_with_the_dense_reference_on_any_layout(trial):
    assert disagreement(trial) <= 2e-5  # rounding alone reaches 4e-6


def disagreement(trial: Trial) -> float:
    """Largest difference over all frames between LumosXModel in float32 and the dense reference in float64."""
    random = torch.Generator().manual_seed(trial.seed)
    pictures = trial.layout.pictures

    def latents(batch, frames):
        # Neighbouring pixels resemble each other as in a real latent, so that the mean over a cell is not just noise.
        noise = torch.randn(batch, 16, frames, trial.height, trial.width, generator=random)
        return 0.5 * noise + torch.randn(batch, 16, frames, 1, 1, generator=random)

    model = random_model(trial.heads, trial.layers)
    video = latents(trial.batch, trial.frames)
    timestep = torch.randint(0, 1001, (trial.batch,), generator=random)
    text = torch.randn(trial.batch, trial.text_rows, TEXT_DIM, generator=random)
    references = latents(trial.batch if trial.own_references else 1, pictures) if pictures else None
    phrase_mask = torch.rand(pictures, TEXT_LEN, generator=random) < trial.mask_density
    with torch.no_grad():
        ours = predict(
            model,
            *(video, timestep, text, references, trial.layout, phrase_mask),
            include_references=True,
            **trial.switches._asdict(),
        )
        dense = dense_forward(
            {name: tensor.double() for name, tensor in model.state_dict().items()},
            trial.heads,
            TEXT_LEN,
            *(video, timestep, text, references, trial.layout.standalone, trial.layout.subjects, phrase_mask),
            trial.switches,
        )
    return far(ours, dense)


@functools.cache
def random_model(heads: int, layers: int) -> LumosXModel:
    """A small model in which every part leaves its mark on the output."""
    config = LumosXConfig(
        dim=128 * heads,
        ffn_dim=192,
        num_heads=heads,
        num_layers=layers,
        text_dim=TEXT_DIM,
        text_len=TEXT_LEN,
    )
    model = LumosXModel(config).eval().requires_grad_(False)
    random = torch.Generator().manual_seed(7)
    for name, parameter in model.named_parameters():
        spread = parameter[0].numel() ** -0.5 if name.endswith("weight") and parameter.ndim > 1 else 0.2
        parameter.normal_(0, spread, generator=random)
        if "norm" in name and name.endswith("weight"):
            parameter.add_(1.5)  # lively attention: sharper than uniform
    return model


@pytest.mark.parametrize(
    "changed", [Switches(mcam_ratio=0.0), Switches(r2pe=False), Switches(csam=False)], ids=["mcam", "r2pe", "csam"]
)
def test_each_relation_matters_far_beyond_the_tolerance_of_the_comparison(changed):
    """Otherwise the agreement above would say nothing about it."""
    random = torch.Generator().manual_seed(3)
    video, references = (torch.randn(1, 16, n, 10, 18, generator=random) for n in (2, 5))
    text = torch.randn(1, TEXT_LEN, TEXT_DIM, generator=random)
    phrase_mask = torch.rand(5, TEXT_LEN, generator=random) < 0.3
    call = (video, torch.tensor([500]), text, references, ReferenceLayout(0, (3, 2)), phrase_mask)
    # Two layers: what a picture reads from the text in the first reaches the video in the second.
    difference = far(*(predict(random_model(1, 2), *call, **switches._asdict()) for switches in (Switches(), changed)))
    assert difference >= 1e-2
