"""Self-routing without ComfyUI: regions, masks and boxes, and runs that are routed or left as they are."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from lumosx_core import LumosXError
from lumosx_core.attention_map.record import AttentionPass, AttentionRecord
from lumosx_core.attention_map.self_routing.generate_routed import generate_routed, sample_routed
from lumosx_core.attention_map.self_routing.measured_regions import measured_regions
from lumosx_core.attention_map.self_routing.routed_run import RoutedRun
from lumosx_core.attention_map.self_routing.routing import SelfRouting, box_mask, mask_region
from lumosx_core.models.lumosx.pipeline import LumosXPipeline, Settings
from lumosx_core.models.lumosx.tiny import tiny_files
from lumosx_core.scene.case_folder import read_case
from lumosx_core.scene.layout import ReferenceLayout

CASE = Path(__file__).resolve().parents[3] / "examples" / "two_people"
SETTINGS = Settings(width=64, height=48, frames=5, steps=4, shift=3.0, cfg=1.0, seed=3)
LAYOUT, LABELS = ReferenceLayout(1, (2, 1)), ("room", "man", "coat", "woman")


def a_record(left: float, right: float, seen=(True,) * 4) -> AttentionRecord:
    """The man is looked at on the left by so much, the woman on the right, on a ground of 1."""
    mass = torch.ones(2, 4, 2, 4, 6)
    mass[:, 1:3, :, :, :3] += left
    mass[:, 3, :, :, 3:] += right
    return AttentionRecord(mass, seen, LAYOUT, LABELS)


def test_each_subject_has_its_side_and_equal_areas_however_loud_it_is():
    regions = measured_regions(a_record(1.0, 0.3))
    assert regions.shape == (2, 2, 2, 4, 6)
    assert (regions[:, 0, ..., :3] > 0.6).all() and (regions[:, 1, ..., 3:] > 0.6).all()
    areas = regions.flatten(2).sum(dim=-1)
    assert torch.allclose(areas, torch.tensor(24.0), rtol=0.02)
    assert (regions.sum(dim=1) <= 1 + 1e-5).all() and (regions >= 0).all()


def test_a_subject_that_was_not_seen_has_no_region_and_one_alone_has_none_either():
    assert not measured_regions(a_record(1.0, 1.0, (True, True, True, False))).any()
    assert not measured_regions(a_record(1.0, 1.0, (True, False, False, False))).any()


def test_a_tracked_mask_follows_the_latent_frames():
    mask = torch.zeros(9, 8, 12)
    mask[0, :, :6] = 1  # the first frame is a latent frame of its own
    mask[1:5, :, 6:] = 1
    mask[5:7, :4] = 1  # half of the last four
    region = mask_region(mask, 3, (4, 6), 1)
    expected = torch.zeros(3, 4, 6)
    expected[0, :, :3], expected[1, :, 3:], expected[2, :2] = 1, 1, 0.5
    assert torch.equal(region, expected)
    assert torch.equal(mask_region(mask[:1], 3, (4, 6), 1), expected[:1].expand(3, -1, -1))
    with pytest.raises(LumosXError, match="The mask of subject 2 has 8 frames, but the video has 9"):
        mask_region(mask[:8], 3, (4, 6), 2)


def test_a_box_is_the_part_of_the_frame_that_it_says():
    region = mask_region(box_mask((0.5, 0, 1, 0.25), 1), 1, (4, 6), 1)
    expected = torch.zeros(1, 4, 6)
    expected[0, 0, 3:] = 1
    assert torch.equal(region, expected)
    for box in ((0.5, 0, 0.5, 1), (0, 0, 1.2, 1), (0, 0, float("nan"), 1)):
        with pytest.raises(LumosXError, match="The box of subject 3 is .*, expected left, top, right, bottom"):
            box_mask(box, 3)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"strength": -1.0}, "is -1, expected 0 .off. to 8. Use 0"),
        ({"strength": float("nan")}, "is nan, expected 0 .off. to 8. Use 1"),
        ({"start": 0.6, "end": 0.4}, "Self-routing begins at 0.6 and ends at 0.4"),
        ({"masks": (None, torch.zeros(1, 4, 4))}, "The mask of subject 2 is empty"),
        ({"masks": (torch.full((1, 4, 4), float("inf")),)}, "expected finite numbers"),
    ],
)
def test_settings_that_cannot_be_are_refused(settings, message):
    with pytest.raises(LumosXError, match=message):
        SelfRouting(**settings)


def a_run(masks=(), steps=8) -> RoutedRun:
    return RoutedRun(SelfRouting(2.0, masks=masks), LAYOUT, LABELS, 1, 2, (2, 3), steps, 3)


def a_pass() -> AttentionPass:
    return AttentionPass((0, 1, 2, 3), range(2), (0,), torch.ones(4, 6))


def look(run: RoutedRun) -> list[int]:
    """The layers that are observed in a pass; they are shown an attention in which the man is on the left."""
    watch, chance = run.watch(a_pass), torch.Generator().manual_seed(0)
    layers = [layer for layer in range(3) if watch(layer) is not None]
    for layer in layers:
        q = torch.randn(1, 1, 12, 8, generator=chance)
        k = torch.randn(1, 1, 36, 8, generator=chance)
        q.view(1, 1, 2, 2, 3, 8)[..., 0, 0] = 8
        q.view(1, 1, 2, 2, 3, 8)[..., 2, 0] = -8
        k[:, :, :12, 0], k[:, :, 12:, 0] = 0, 0
        k[:, :, 18:30, 0], k[:, :, 30:, 0] = 2, -2
        watch(layer)(q, k)
    return layers


def test_regions_are_measured_each_quarter_of_the_run_and_never_in_vain():
    run = a_run()
    measured = []
    for step in range(1, 9):
        run.begin(step)
        measured += [step] if look(run) else []
    assert measured == [2, 4, 6]  # not in the last step: none would follow


def relations():
    from lumosx_core.models.lumosx.relations import Relations

    return Relations(LAYOUT, (2, 3), torch.zeros(36, 2), torch.zeros(36, 2), torch.zeros(4, 8))


def test_the_bias_follows_what_was_measured_and_covers_only_who_is_shown():
    run = a_run()
    for step in (1, 2):
        run.begin(step)
        assert run.route(relations(), (0, 1, 2, 3), range(2), 1).region_bias is None
        look(run)
    run.begin(3)
    routed = run.route(relations(), (0, 1, 2, 3), range(2), 2)
    added = (routed.region_bias.queries @ routed.region_bias.keys).view(2, 2, 2, 3, 6, 6)
    assert torch.equal(added[0], added[1])  # both rows of the batch
    assert (added[..., 0, 3, :] > 1).all() and (added[..., 2, 5, :] > 1).all()  # the man left, the woman right
    assert (added[..., 2, 3, :] < -1).all() and not added[..., :3, :].any()
    assert routed.unread is None
    fewer = replace(relations(), layout=ReferenceLayout(1, (1,)), cos=torch.zeros(24, 2))
    alone = run.route(fewer, (0, 3), range(2), 1)
    assert alone.region_bias.keys.shape == (1, 24)


def test_masks_hold_at_once_and_their_subjects_read_no_words():
    left = torch.zeros(1, 2, 3)
    left[..., :1] = 1
    run = a_run((None, left))
    run.begin(1)
    routed = run.route(relations(), (0, 1, 2, 3), range(2), 1)
    woman = (routed.region_bias.queries @ routed.region_bias.keys).view(2, 2, 3, 36)[..., 30]
    assert (woman[..., 0] == 2).all() and not woman[..., 1:].any()
    assert routed.unread.tolist() == [False, False, False, True]
    with pytest.raises(LumosXError, match="a mask for subject 3, but the scene has 2 subjects"):
        a_run((None, None, left))


@pytest.fixture(scope="module")
def pipeline():
    pytest.importorskip("sentencepiece")
    return LumosXPipeline(tiny_files(), device="cpu")


@pytest.fixture(scope="module")
def conditions(pipeline):
    case = read_case(CASE)
    return pipeline.prepare(case.scene, case.prompt, SETTINGS, pipeline.family.load_vae(pipeline.files.vae))


@pytest.mark.parametrize("changes", [{}, {"cfg": 3.0, "batch": 2}, {"cfg": 3.0, "negative_references": "dropped"}])
def test_off_it_changes_no_bit_and_on_it_does(pipeline, conditions, changes):
    settings = replace(SETTINGS, **changes)
    plain = pipeline.sample(conditions, settings)
    assert torch.equal(sample_routed(pipeline, conditions, settings, SelfRouting(0.0)), plain)
    measured = sample_routed(pipeline, conditions, settings, SelfRouting(3.0))
    drawn = sample_routed(pipeline, conditions, settings, SelfRouting(3.0, masks=(box_mask((0, 0, 0.5, 1), 1),)))
    assert not torch.allclose(measured, plain, atol=1e-3)
    assert not torch.allclose(drawn, measured, atol=1e-3)
    assert torch.equal(pipeline.sample(conditions, settings), plain)  # nothing is left on the network


def test_other_families_and_scenes_of_nobody_are_refused(pipeline):
    case = read_case(CASE)
    with pytest.raises(LumosXError, match="The scene has no subjects, so there is nobody to route"):
        generate_routed(pipeline, replace(case.scene, subjects=()), case.prompt, SETTINGS, SelfRouting())
