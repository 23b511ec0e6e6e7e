"""Best of N without ComfyUI: the chosen seed, its bits, and what is refused, with lumosx-tiny at few steps."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from lumosx_core import LumosXError
from lumosx_core.attention_map.best_of_seeds import check_best_of, sample_best
from lumosx_core.attention_map.early_score import early_score
from lumosx_core.attention_map.record import AttentionRecord
from lumosx_core.models.lumosx.pipeline import LumosXPipeline, Settings
from lumosx_core.models.lumosx.tiny import tiny_files
from lumosx_core.sampling.best_of import BestOf
from lumosx_core.scene.case_folder import read_case
from lumosx_core.scene.layout import ReferenceLayout

pytest.importorskip("sentencepiece")

CASE = Path(__file__).resolve().parents[3] / "examples" / "two_people"
SETTINGS = Settings(width=64, height=48, frames=5, steps=4, shift=3.0, cfg=1.0, seed=3)


@pytest.fixture(scope="module")
def pipeline():
    return LumosXPipeline(tiny_files(), device="cpu")


@pytest.fixture(scope="module")
def conditions(pipeline):
    case = read_case(CASE)
    vae = pipeline.family.load_vae(pipeline.files.vae)
    return pipeline.prepare(case.scene, case.prompt, SETTINGS, vae)


@pytest.mark.parametrize("changes", [{}, {"cfg": 3.0}, {"cfg": 3.0, "negative_references": "dropped"}])
def test_what_is_finished_is_bit_identical_to_a_run_of_its_seed(pipeline, conditions, changes):
    settings = replace(SETTINGS, **changes)
    best = sample_best(pipeline, conditions, settings, BestOf(3, 0.5, 2))
    assert list(best.scores) == [3, 4, 5] and len(set(best.scores.values())) == 3
    assert best.seeds == sorted(best.scores, key=lambda seed: -best.scores[seed])[:2]
    assert best.steps_taken == 3 * 2 + 2 * 2
    for seed, latents in zip(best.seeds, best.latents, strict=True):
        plain = pipeline.sample(conditions, replace(settings, seed=seed))
        assert torch.equal(latents[None], plain)


def test_the_negative_pass_has_no_part_in_the_score(pipeline, conditions):
    """In the first step both see the same noise, so guidance alone changes nothing."""
    plan = BestOf(2, 0.25)
    plain, guided = (sample_best(pipeline, conditions, replace(SETTINGS, cfg=cfg), plan) for cfg in (1.0, 3.0))
    assert plain.scores == guided.scores


def test_progress_counts_the_steps_of_all_seeds_and_each_score_is_reported(pipeline, conditions):
    steps, scores = [], []
    best = sample_best(
        pipeline,
        conditions,
        SETTINGS,
        BestOf(2, 0.25),
        progress=lambda *each: steps.append(each),
        scored=lambda seed, score: scores.append((seed, score)),
    )
    assert steps == [("sampling", done, 2 + 3) for done in range(6)]
    assert scores == list(best.scores.items())


def test_other_families_and_batches_are_refused(pipeline):
    case = read_case(CASE)
    with pytest.raises(LumosXError, match=r"batch is 2, but best of N makes one video of each seed. Leave out --batch"):
        check_best_of(pipeline, case.scene, replace(SETTINGS, batch=2))
    with pytest.raises(LumosXError, match="The scene has no subjects"):
        check_best_of(pipeline, replace(case.scene, subjects=()), SETTINGS)


def a_record(own: float, seen: tuple[bool, ...] = (True,) * 4) -> AttentionRecord:
    """Two people of two images each on the left and right of a frame, each looking at its own by this much more."""
    mass = torch.full((1, 4, 1, 4, 6), 0.01)
    mass[:, :2, :, :, :2] += own
    mass[:, 2:, :, :, 4:] += own
    return AttentionRecord(mass, seen, ReferenceLayout(0, (2, 2)), ("a", "b", "c", "d"))


def test_the_score_is_higher_where_people_look_at_their_own():
    scores = [early_score(a_record(own)) for own in (0.01, 0.05, 0.5)]
    assert scores == sorted(scores) and scores[0] < scores[1] < scores[2] <= 1


def test_people_who_are_not_seen_yet_do_not_count():
    half = early_score(a_record(0.5, (True, True, False, False)))
    assert half == pytest.approx(1, abs=0.05)
    for record in (None, a_record(0.5, (False,) * 4)):
        with pytest.raises(LumosXError, match="No subject was seen in the steps before the score"):
            early_score(record)
