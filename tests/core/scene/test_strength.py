"""Strength and time of a picture: 1 is the released model, 0 a scene without it, and what lies between is in order."""

from functools import partial

import pytest
import torch
from model_calls import predict

from lumosx_core import (
    EncodedScene,
    LumosXConfig,
    LumosXError,
    LumosXModel,
    Reference,
    ReferenceLayout,
    RelationalOptions,
    Scene,
    Subject,
)
from lumosx_core.models.lumosx.pipeline import Settings
from lumosx_core.sampling.schedule import flow_sigmas, sigma_at
from lumosx_core.scene.strength import Strengths

CONFIG = LumosXConfig(dim=64, ffn_dim=64, num_heads=1, num_layers=2, text_dim=16, text_len=12, freq_dim=32)
LAYOUT = ReferenceLayout(1, (2, 3))


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    model = LumosXModel(CONFIG)
    torch.nn.init.normal_(model.head.head.weight, std=0.1)  # it starts at zero, and everything would be equal
    return model.eval()


@pytest.fixture(scope="module")
def inputs():
    generator = torch.Generator().manual_seed(1)

    def draw(*shape):
        return torch.randn(shape, generator=generator)

    mask = torch.rand(6, 12, generator=generator) < 0.3
    return draw(1, 16, 2, 6, 4), torch.tensor([500]), draw(1, 9, 16), draw(1, 16, 6, 6, 4), mask


@torch.no_grad()
def run(model, inputs, strengths, layout=LAYOUT, **options):
    video, timestep, text, references, mask = inputs
    scene = EncodedScene(references, layout, mask, strengths)
    return model(video, timestep, text, scene.at(0.5, lambda fraction: 1 - fraction), RelationalOptions(**options))


def test_a_strength_of_1_everywhere_is_the_released_model_to_the_bit(model, inputs):
    video, timestep, text, references, mask = inputs
    with torch.no_grad():
        released = predict(model, video, timestep, text, references, LAYOUT, mask)
    assert torch.equal(run(model, inputs, (1.0,) * 6), released)


def test_a_picture_of_strength_0_is_not_there(model, inputs):
    video, timestep, text, references, mask = inputs
    kept = [0, 1, 3, 5]  # a member of each subject is gone
    with torch.no_grad():
        without = predict(model, video, timestep, text, references[:, :, kept], ReferenceLayout(1, (1, 2)), mask[kept])
    assert torch.equal(run(model, inputs, (1, 1, 0, 1, 0, 1)), without)


def test_a_subject_without_seen_pictures_is_no_subject(model, inputs):
    video, timestep, text, references, mask = inputs
    with torch.no_grad():
        without = predict(model, video, timestep, text, references[:, :, :3], ReferenceLayout(1, (2,)), mask[:3])
    assert torch.equal(run(model, inputs, (1, 1, 1, 0, 0, 0)), without)


def test_a_subject_that_is_gone_no_longer_counts_among_the_others(model, inputs):
    """MCAM takes the mean over the other subjects' words."""
    video, timestep, text, references, mask = inputs
    with torch.no_grad():
        without = predict(model, video, timestep, text, references[:, :, :5], ReferenceLayout(1, (1, 2, 1)), mask[:5])
    assert torch.equal(run(model, inputs, (1, 1, 1, 1, 1, 0), ReferenceLayout(1, (1, 2, 1, 1))), without)


def test_without_any_seen_picture_the_network_is_plain_wan(model, inputs):
    video, timestep, text, _, _ = inputs
    with torch.no_grad():
        plain = predict(model, video, timestep, text)
    torch.testing.assert_close(run(model, inputs, (0,) * 6), plain)


def test_two_equal_pictures_of_half_the_strength_are_one_picture(inputs):
    """Where positions do not tell them apart, their weights in the video's attention add up to those of one."""
    torch.manual_seed(0)
    model = LumosXModel(CONFIG).eval()
    torch.nn.init.normal_(model.head.head.weight, std=0.1)
    for block in model.blocks:  # queries of zero have no position
        torch.nn.init.zeros_(block.self_attn.q.weight)
        torch.nn.init.zeros_(block.self_attn.q.bias)
    video, timestep, text, references, mask = inputs
    one = (video, timestep, text, references[:, :, :1], mask[:1])
    two = (video, timestep, text, references[:, :, [0, 0]], mask[[0, 0]])
    expected = run(model, one, (1.0,), ReferenceLayout(1), mcam_ratio=0.0)
    assert (run(model, two, (1.0, 1.0), ReferenceLayout(2), mcam_ratio=0.0) - expected).abs().max() > 1e-4
    torch.testing.assert_close(
        run(model, two, (0.5, 0.5), ReferenceLayout(2), mcam_ratio=0.0), expected, atol=1e-5, rtol=1e-4
    )


@pytest.mark.parametrize("csam", [True, False])
def test_only_the_video_looks_more_or_less_not_the_pictures_at_each_other(inputs, csam):
    """In a single layer, where nothing has come back from the video yet."""
    torch.manual_seed(0)
    model = LumosXModel(LumosXConfig(**(vars(CONFIG) | {"num_layers": 1}))).eval()
    torch.nn.init.normal_(model.head.head.weight, std=0.1)
    video, timestep, text, references, mask = inputs
    with torch.no_grad():
        released, stronger = (
            predict(
                model,
                video,
                timestep,
                text,
                references,
                LAYOUT,
                mask,
                include_references=True,
                strengths=strengths,
                csam=csam,
            )
            for strengths in (None, (1, 1, 5, 1, 1, 1))
        )
    torch.testing.assert_close(stronger[:, :, 2:], released[:, :, 2:], atol=1e-6, rtol=1e-5)
    assert (stronger[:, :, :2] - released[:, :, :2]).abs().max() > 1e-3


def test_more_strength_moves_the_video_further_from_the_scene_without(model, inputs):
    without = run(model, inputs, (1, 1, 1, 0, 1, 1))
    distances = [(run(model, inputs, (1, 1, 1, s, 1, 1)) - without).norm().item() for s in (0.1, 1.0, 3.0)]
    assert 0 < distances[0] < distances[1] < distances[2]


def test_the_network_refuses_a_strength_of_0(model, inputs):
    video, timestep, text, references, mask = inputs
    with pytest.raises(LumosXError, match="numbers above 0.*EncodedScene.at"):
        predict(model, video, timestep, text, references, LAYOUT, mask, strengths=(1, 1, 1, 1, 1, 0))
    with pytest.raises(LumosXError, match="expected 6 numbers"):
        predict(model, video, timestep, text, references, LAYOUT, mask, strengths=(1, 1))


@pytest.mark.parametrize("steps", [4, 10, 50])
@pytest.mark.parametrize("shift", [1.0, 8.0])
def test_a_span_is_a_share_of_the_steps_and_neighbours_share_none(steps, shift):
    strengths = Strengths((2.0, 1.0, 1.0), ((0.0, 0.5), (0.5, 1.0), (0.0, 1.0)))

    def level(share):
        return sigma_at(share, shift)

    seen = [strengths.at(sigma, level) for sigma in flow_sigmas(steps, shift)[:-1].tolist()]
    assert seen == [(2.0, 0.0, 1.0)] * (steps // 2) + [(0.0, 1.0, 1.0)] * (steps // 2)


@pytest.mark.parametrize("sigma", [14.6, 1.4, 1.0, 1e-6, 0.0])
def test_released_pictures_are_seen_at_every_level_also_beyond_the_schedule(sigma):
    assert Strengths.constant((1.0, 1.0)).at(sigma, partial(sigma_at, shift=8.0)) == (1.0, 1.0)


def test_a_scene_gathers_the_strengths_of_its_images_in_the_networks_order():
    def picture(strength):
        return Reference("", torch.zeros(2, 2, 3), strength)

    first = Subject(picture(0.5), (picture(2.0),), strength=0.5, start=0.25)
    scene = Scene((first, Subject(picture(1.0), end=0.5)), objects=(picture(3.0),), background=picture(1.0))
    assert scene.strengths.values == (1.0, 3.0, 0.25, 1.0, 1.0)
    assert scene.strengths.spans == ((0, 1), (0, 1), (0.25, 1), (0.25, 1), (0, 0.5))


@pytest.mark.parametrize("strength", [-0.1, 11, float("nan"), float("inf")])
def test_an_impossible_strength_is_refused(strength):
    with pytest.raises(LumosXError, match="expected 0"):
        Reference("hat", torch.zeros(2, 2, 3), strength)
    with pytest.raises(LumosXError, match="expected 0"):
        Subject(None, strength=strength)


@pytest.mark.parametrize(("start", "end"), [(0.5, 0.5), (0.6, 0.4), (-0.1, 1), (0, 1.1), (float("nan"), 1)])
def test_an_impossible_span_is_refused(start, end):
    with pytest.raises(LumosXError, match="0 <= start < end <= 1"):
        Subject(None, start=start, end=end)


def test_references_of_the_negative_pass_are_kept_dropped_or_zeroed():
    with pytest.raises(LumosXError, match="kept, dropped, zeroed"):
        Settings(negative_references="half")
