"""Best of N as a schedule: who starts, who goes on, what it costs; and runs that are paused between two steps."""

from __future__ import annotations

import pytest
import torch

from lumosx_core import LumosXError
from lumosx_core.sampling.best_of import BestOf, Shortlist, describe_choice
from lumosx_core.sampling.schedule import flow_sigmas
from lumosx_core.sampling.solver import SolverState, advance, sample_dpmpp_2m


def curved_prediction(latents, sigma, step):
    """Depends on its input and on the step, so that any slip in the state changes the end."""
    return torch.tanh(latents) * (1 - sigma) + 0.1 * step


@pytest.mark.parametrize("pauses", [(4,), (1, 2, 3), (0, 15), (16,)])
def test_a_run_that_was_paused_ends_with_the_same_bits(pauses):
    noise = torch.randn(2, 3, 4, generator=torch.Generator().manual_seed(0))
    sigmas = flow_sigmas(16, 3.0)
    expected = sample_dpmpp_2m(curved_prediction, noise, sigmas)
    state, steps = SolverState(0, noise), []
    for pause in (*pauses, 16):
        state = advance(curved_prediction, state, sigmas, pause, lambda step, *_: steps.append(step)).to("cpu")
        assert state.step == pause
    assert torch.equal(state.latents, expected)
    assert steps == list(range(16))


def test_what_the_last_step_predicted_belongs_to_the_state():
    noise, sigmas = torch.randn(8, generator=torch.Generator().manual_seed(1)), flow_sigmas(8, 3.0)
    paused = advance(curved_prediction, SolverState(0, noise), sigmas, 4)
    forgetful = SolverState(paused.step, paused.latents)
    ends = [advance(curved_prediction, state, sigmas, 8).latents for state in (paused, forgetful)]
    assert not torch.equal(*ends)


@pytest.mark.parametrize(
    ("plan", "steps", "scored", "taken", "restarted"),
    [
        (BestOf(), 16, 4, 28, 32),  # 1.75 and 2 runs
        (BestOf(4, 0.25, 2), 50, 13, 4 * 13 + 2 * 37, 4 * 13 + 2 * 50),
        (BestOf(3, 0.01), 10, 1, 3 + 9, 3 + 10),
        (BestOf(3, 1.0), 10, 10, 30, 30),  # scored at the end, nothing is left to do
        (BestOf(1), 1, 1, 1, 1),
    ],
)
def test_steps_before_the_score_and_in_all(plan, steps, scored, taken, restarted):
    assert plan.scored_steps(steps) == scored
    assert plan.steps_taken(steps) == taken and plan.steps_taken(steps, restarts=True) == restarted


def test_seeds_follow_the_first_and_0_follows_the_largest():
    assert BestOf(3).seeds_from(5) == [5, 6, 7]
    assert BestOf(3).seeds_from(2**64 - 2) == [2**64 - 2, 2**64 - 1, 0]


def test_the_best_go_on_and_the_earlier_of_equal_ones():
    shortlist: Shortlist[str] = Shortlist(2)
    for seed, score in ((5, 0.5), (6, 0.9), (7, 0.5), (8, 0.7), (9, 0.7)):
        shortlist.offer(seed, score, f"state of {seed}")
        assert len(shortlist.candidates) <= 2  # the states of all others are gone
    assert [(each.seed, each.state) for each in shortlist.candidates] == [(6, "state of 6"), (8, "state of 8")]
    assert shortlist.scores == {5: 0.5, 6: 0.9, 7: 0.5, 8: 0.7, 9: 0.7}


def test_a_score_that_is_no_number_is_refused():
    with pytest.raises(LumosXError, match="score of seed 3 is not a number"):
        Shortlist(1).offer(3, float("nan"), None)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ((0,), "number of seeds is 0, expected 1 to 256"),
        ((257,), "number of seeds is 257"),
        ((4, 0.0), "score_after is 0, expected a fraction of the steps, more than 0"),
        ((4, 1.5), "score_after is 1.5"),
        ((4, float("nan")), "score_after is nan"),
        ((4, 0.25, 0), "0 videos are to be kept of 4 seeds. Keep 1 to 4"),
        ((4, 0.25, 5), "5 videos are to be kept of 4 seeds"),
    ],
)
def test_impossible_plans_are_refused(values, message):
    with pytest.raises(LumosXError, match=message):
        BestOf(*values)


def test_the_choice_is_described_seed_by_seed():
    text = describe_choice({5: 0.5, 6: 0.9, 7: 0.7}, [6], 16, 4, 24)
    assert text.splitlines() == [
        "Seed 5: score 0.500 after 4 of 16 steps, stopped.",
        "Seed 6: score 0.900 after 4 of 16 steps, finished.",
        "Seed 7: score 0.700 after 4 of 16 steps, stopped.",
        "24 steps in all, as many as 1.50 runs.",
    ]
    text = describe_choice({5: 0.5, 6: 0.9, 7: 0.7}, [6, 7], 16, 4, 36)
    assert "Seed 6: score 0.900 after 4 of 16 steps, finished as video 0." in text
    assert "Seed 7: score 0.700 after 4 of 16 steps, finished as video 1." in text
