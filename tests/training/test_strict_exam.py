"""The strict examination accepts true clips as a VAE gives them back, and refuses each planted fault."""

import random
from dataclasses import replace
from functools import cache

import pytest
import torch

from lumosx_core import LumosXError
from lumosx_core.models.lumosx.tiny import tiny_files
from lumosx_core.models.wan.vae import WanVae
from lumosx_training.glyph_world import Casting, GlyphSource
from lumosx_training.glyph_world.casting import only
from lumosx_training.glyph_world.clip import film
from lumosx_training.glyph_world.exam import EXAM_SEED, Answer, make_questions
from lumosx_training.glyph_world.scoring import judge
from lumosx_training.glyph_world.strict import judge_strictly
from lumosx_training.glyph_world.strict.composition import compose, draw_parts, figure_of, soften, thing_figure
from lumosx_training.glyph_world.strict.evidence import lean
from lumosx_training.glyph_world.strict.faults import FAULTS, applies, plant_fault
from lumosx_training.glyph_world.strict.measuring import measure

SIZE = (9, 64, 80)
SEEN_IN = {  # by which columns a fault must be refused
    "noise frames": {"steady", "scene", "single"},
    "one noise frame": {"steady", "scene", "single"},
    "double exposure": {"clear"},
    "stranger exposure": {"clear"},
    "twice": {"single", "scene"},
    "extra stranger": {"single", "scene"},
    "black background": {"scene"},
    "other background": {"scene"},
    "other structure": {"scene"},
    "missing object": {"scene"},
    "other object": {"scene"},
    "blurred": {"clear"},
    "half blurred heads": {"clear"},
    "frozen": {"steady"},
    "held frame": {"steady"},
    "flicker": {"steady"},
    "swapped halfway": {"steady"},
    "shirts swapped halfway": {"steady"},
    "other pattern": {"pattern"},
    "mean shirts": {"pattern"},
    "missing hat": {"steady"},
    "missing prop": {"steady"},
    "missing legs": {"steady"},
    "foreign frame": {"steady"},
    "somebody missing": {"steady"},
}


def samples(people, count, seed=41, **options):
    options = {"hat": 0.5, "prop": 0.4, "thing": 0.5, **options}
    source = GlyphSource(seed, count, casting=Casting(people=only(people), new=True, **options))
    return [source.sample(key) for key in source.keys()]  # noqa: SIM118 (a source is no dict)


@cache
def scenes_for_faults():
    return samples(2, 12, seed=42)


@cache
def vae():
    return WanVae.load(tiny_files().vae)


def rebuilt(frames):
    return vae().decode_frames(vae().encode_video(frames))


def columns_that_fail(verdict):
    seen = {name for name in ("steady", "clear", "pattern") if not all(getattr(verdict, name))}
    return seen | {name for name in ("scene", "single") if not getattr(verdict, name)}


def test_a_composition_is_the_filmed_frame():
    for sample in samples(3, 3, thing=0) + samples(2, 3, thing=1):
        scene, frames = sample.scene, sample.clip.frames
        figures = [figure_of(draw_parts(person)) for person in scene.people]
        thing = None
        if scene.thing is not None:
            thing = thing_figure(scene.thing), (scene.thing_x * 80 - 9, 64 - 3 - 34)
        for frame, regions in zip(frames, sample.clip.regions, strict=True):
            corners = [each["person"][:2] for each in regions]
            drawn = compose(scene, figures, corners, thing, 64, 80).frame.permute(1, 2, 0)
            torch.testing.assert_close(drawn, frame, rtol=0, atol=1e-5)


def test_a_double_exposure_leans_by_its_fraction():
    chance = torch.Generator().manual_seed(0)
    true, other, loss = torch.rand(3, 3, 20, 20, generator=chance).unbind(0)
    exposure = 0.6 * true + 0.4 * other
    assert lean(exposure - true, other - true) == pytest.approx(0.4)
    assert lean(true - true, other - true) == 0 and lean(other - true, other - true) == pytest.approx(1)
    assert lean(exposure - true, torch.zeros(3, 20, 20)) == 0
    assert abs(lean(soften(loss) - 0.5, other - true)) < 0.1


def test_softening_keeps_what_is_even_and_spreads_a_point_evenly():
    assert torch.allclose(soften(torch.full((3, 9, 12), 0.3)), torch.tensor(0.3))
    point = torch.zeros(1, 21, 25)
    point[0, 10, 12] = 1
    soft = soften(point)[0]
    assert soft.sum() == pytest.approx(1) and torch.allclose(soft, soft.flip(0)) and torch.allclose(soft, soft.flip(1))
    rows = torch.arange(21.0) - 10
    assert (soft.sum(1) * rows.square()).sum().sqrt() == pytest.approx(1.3, abs=0.05)


def test_people_are_found_where_they_are_filmed():
    for sample in samples(2, 4):
        tracks = measure(sample.clip.frames, sample.scene).tracks
        for corners, regions in zip(tracks.people, sample.clip.regions, strict=True):
            for (x, y), region in zip(corners, regions, strict=True):
                assert abs(x - region["person"][0]) <= 0.25 and abs(y - region["person"][1]) <= 0.25
        if sample.scene.thing is not None:
            assert all(abs(x - (sample.scene.thing_x * 80 - 9)) <= 0.3 for x, _ in tracks.thing)


@pytest.mark.slow
@pytest.mark.parametrize("people", [1, 2, 3])
def test_true_clips_pass_after_the_vae_as_before(people):
    clips = [(sample, rebuilt(sample.clip.frames)) for sample in samples(people, 4)]
    before = [judge_strictly(sample.clip.frames, sample.scene).passed for sample, _ in clips]
    after = [judge_strictly(frames, sample.scene).passed for sample, frames in clips]
    assert all(before) and sum(after) >= len(after) - 1


@pytest.mark.slow
@pytest.mark.parametrize("fault", SEEN_IN)
def test_a_planted_fault_is_refused_by_the_column_for_it(fault):
    scene = next(sample.scene for sample in scenes_for_faults() if applies(fault, sample.scene))
    verdict = judge_strictly(plant_fault(fault, scene, SIZE, 0, rebuilt), scene)
    assert columns_that_fail(verdict) & SEEN_IN[fault] and not verdict.passed


def test_every_fault_is_examined():
    assert SEEN_IN.keys() | {"exchanged places"} == FAULTS.keys()


def test_a_fault_is_the_same_every_time_and_spoils_nothing_it_was_not_planted_in():
    sample = samples(2, 1)[0]
    before = sample.clip.frames.clone()
    for name in ("one noise frame", "double exposure", "half blurred heads", "missing legs"):
        first, again = (plant_fault(name, sample.scene, SIZE, 3) for _ in range(2))
        assert torch.equal(first, again) and first.shape == before.shape
        assert not torch.allclose(first, before)
    assert torch.equal(sample.clip.frames, before)
    noisy = plant_fault("one noise frame", sample.scene, SIZE, 3)
    changed = [number for number in range(9) if not torch.equal(noisy[number], before[number])]
    assert len(changed) == 1 and changed != [4]


def test_the_middle_frame_alone_would_pass_eight_frames_of_noise():
    sample = samples(2, 1, hat=0, prop=0)[0]
    frames = plant_fault("noise frames", sample.scene, SIZE, 0)
    assert all(verdict.bound for verdict in judge(frames, sample.scene))
    assert not judge_strictly(frames, sample.scene).passed


def test_a_scene_with_an_extra_person_is_single_for_who_is_in_it():
    """The same clip is right for the scene that has both, and wrong for that without one of them."""
    chance = random.Random(1)
    scene = Casting(people=only(2), new=True, hat=0, prop=0, thing=0).scene(chance)
    frames = film(scene).frames
    assert judge_strictly(frames, scene).single
    assert not judge_strictly(frames, replace(scene, people=scene.people[:1])).single


def test_what_is_hidden_behind_somebody_is_not_there():
    """An object that is missing fits best where a person hides it, and would be believed to be there."""
    scene = samples(1, 1, thing=1)[0].scene
    behind = replace(scene, thing_x=scene.people[0].x)
    assert not judge_strictly(film(behind).frames, behind).scene
    assert judge_strictly(film(scene).frames, scene).scene


def test_one_frame_is_judged_without_asking_it_to_move():
    sample = samples(1, 1)[0]
    assert judge_strictly(sample.clip.frames[:1], sample.scene).passed


def test_a_clip_passes_only_if_people_stand_where_the_caption_says():
    sample = samples(2, 1)[0]
    verdicts = tuple(judge(sample.clip.frames, sample.scene))
    strict = judge_strictly(sample.clip.frames, sample.scene)
    assert Answer("a", verdicts, True, strict).passed and Answer("a", verdicts, None, strict).passed
    assert not Answer("a", verdicts, False, strict).passed
    unbound = (replace(verdicts[0], face=False), verdicts[1])
    assert not Answer("a", unbound, True, strict).passed
    with pytest.raises(LumosXError, match="strict=True"):
        assert Answer("a", verdicts, True).passed


def test_an_exam_takes_no_seed_of_training_and_fresh_seeds_give_fresh_scenes():
    with pytest.raises(LumosXError, match=f"Use {EXAM_SEED} or more"):
        make_questions(tiny_files(), 1, 1, seed=EXAM_SEED - 1)
    usual, again, fresh = (make_questions(tiny_files(), 1, 1, **seed) for seed in ({}, {}, {"seed": EXAM_SEED + 10}))
    assert usual[0].sample.scene == again[0].sample.scene != fresh[0].sample.scene
    assert fresh[0].sample.key == f"glyphs-{EXAM_SEED + 11}-0"
