"""A bias between regions of the video and reference images, against attention with a full mask."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch

from lumosx_core import LumosXConfig, LumosXModel, ReferenceLayout, RelationalOptions
from lumosx_core.models.lumosx.mcam import unread_text
from lumosx_core.models.lumosx.region_bias import region_attention, subject_bias
from lumosx_core.scene.encoded import EncodedScene

LAYOUT = ReferenceLayout(1, (2, 1))
VIDEO, IMAGE = 12, 6
LENGTH = VIDEO + 4 * IMAGE


def a_bias(videos: int = 2, strength: float = 1.5):
    regions = torch.rand(videos, 2, VIDEO, generator=torch.Generator().manual_seed(1))
    return regions, subject_bias(regions, LAYOUT, IMAGE, strength)


def test_a_region_is_drawn_to_its_own_images_and_kept_from_those_of_others():
    regions, bias = a_bias()
    added = bias.queries @ bias.keys  # (B, V, L)
    own = 1.5 * (regions[:, 0] - regions[:, 1])
    assert torch.equal(added[:, :, : VIDEO + IMAGE], torch.zeros(2, VIDEO, VIDEO + IMAGE))  # video and background
    first, second = slice(VIDEO + IMAGE, VIDEO + 3 * IMAGE), slice(VIDEO + 3 * IMAGE, LENGTH)
    assert torch.allclose(added[:, :, first], own[..., None].expand(-1, -1, 2 * IMAGE))
    assert torch.allclose(added[:, :, second], -own[..., None].expand(-1, -1, IMAGE))


@pytest.mark.parametrize("weak", [False, True])
def test_attention_with_a_region_bias_is_that_with_a_full_mask(weak):
    chance = torch.Generator().manual_seed(0)
    q, k, v = (torch.randn(2, 3, count, 16, generator=chance) for count in (VIDEO, LENGTH, LENGTH))
    key_bias = torch.randn(LENGTH, generator=chance) if weak else None
    _, bias = a_bias()
    mask = (bias.queries @ bias.keys)[:, None] + (0 if key_bias is None else key_bias)
    expected = ((q.double() @ k.double().transpose(-1, -2)) / 4 + mask).softmax(-1) @ v.double()
    found = region_attention(q, k, v, bias, key_bias)
    assert found.shape == q.shape
    assert torch.allclose(found.double(), expected, atol=1e-5)


def a_model() -> LumosXModel:
    torch.manual_seed(0)
    model = LumosXModel(LumosXConfig(64, 64, 2, 2, text_dim=16, text_len=24, freq_dim=16)).eval()
    torch.nn.init.normal_(model.head.head.weight, std=0.1)
    return model


def a_pass(model, text, change=None, **options):
    """A pass in which `change` takes the relations of each block."""
    chance = torch.Generator().manual_seed(2)
    scene = EncodedScene(torch.randn(1, 16, 4, 4, 6, generator=chance), LAYOUT, torch.zeros(4, 24, dtype=torch.bool))
    video = torch.randn(1, 16, 2, 4, 6, generator=chance)

    def hook(block, arguments):
        tokens, modulation, words, relations, *rest = arguments
        return (tokens, modulation, words, change(relations), *rest)

    hooks = [] if change is None else [block.register_forward_pre_hook(hook) for block in model.blocks]
    with torch.no_grad():
        out = model(video, torch.tensor([500.0]), text, scene, RelationalOptions(**options), include_references=True)
    for each in hooks:
        each.remove()
    return out


@pytest.mark.parametrize("csam", [True, False])
def test_only_the_video_is_routed_and_a_bias_of_nothing_changes_nothing(csam):
    model, text = a_model(), torch.randn(1, 10, 16, generator=torch.Generator().manual_seed(3))
    plain = a_pass(model, text, csam=csam)
    regions = torch.rand(1, 2, VIDEO)
    nothing, something = (
        a_pass(model, text, lambda r, s=s: replace(r, region_bias=subject_bias(regions, LAYOUT, IMAGE, s)), csam=csam)
        for s in (0.0, 3.0)
    )
    assert torch.allclose(nothing, plain, atol=1e-5)
    assert not torch.allclose(something[:, :, :2], plain[:, :, :2], atol=1e-3)
    if csam:  # images never see the video
        assert torch.equal(something[:, :, 2:], plain[:, :, 2:])


@pytest.mark.parametrize("ratio", [0.0, 0.5])
@pytest.mark.parametrize("joined", [True, False])
def test_images_that_read_nothing_are_as_if_there_were_no_prompt(ratio, joined):
    model = a_model()
    texts = [torch.randn(1, 10, 16, generator=torch.Generator().manual_seed(seed)) for seed in (3, 4)]
    unread = torch.tensor([False, True, True, False])
    options = {"mcam_ratio": ratio, "join_text_padding": joined}
    read, other = (a_pass(model, text, lambda r: replace(r, unread=unread), **options)[:, :, 2:] for text in texts)
    same = (read - other).abs().amax(dim=(0, 1, 3, 4)) < 1e-4
    assert same.tolist() == unread.tolist()
    empty = a_pass(model, texts[0][:, :0], **options)[:, :, 2:]
    assert torch.allclose(read[:, :, unread], empty[:, :, unread], atol=1e-4)


def test_rows_like_the_last_one_are_padding():
    text = torch.tensor([[[1.0, 2.0], [3.0, 0.0], [0.5, 0.5], [0.5, 0.5004]]])
    bias = unread_text(text, torch.tensor([True, False]))
    assert bias.shape == (1, 2, 4)
    assert bias[0, 0].lt(-100).tolist() == [True, True, False, False]
    assert not bias[0, 1].any() and math.isfinite(bias.min())
