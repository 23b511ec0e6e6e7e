"""The schedule, the solver and the objective keep their own laws, whatever the network predicts."""

from __future__ import annotations

import math

import pytest
import torch
from golden_cases import largest_difference

from lumosx_core import LumosXError
from lumosx_core.models.lumosx.spec import SPEC
from lumosx_core.sampling.objective import noisy_latents, velocity_loss
from lumosx_core.sampling.schedule import flow_sigmas, flow_timesteps, timesteps_at
from lumosx_core.sampling.solver import sample_dpmpp_2m

# Schedule


def test_noise_falls_from_one_to_zero_and_the_shift_keeps_it_high_for_longer():
    plain, shifted = flow_sigmas(20, 1.0), flow_sigmas(20, 8.0)
    for sigmas in (plain, shifted):
        assert sigmas.dtype == torch.float32 and sigmas.shape == (21,)
        assert sigmas[0] == 1 and sigmas[-1] == 0
        assert (sigmas.diff() < 0).all()
    assert largest_difference(plain, torch.linspace(1, 0, 21)) <= 1e-7
    assert (shifted[1:-1] > plain[1:-1]).all()


def test_the_released_run_has_fifty_steps_and_a_shift_of_eight():
    timesteps = flow_timesteps(SPEC.steps, SPEC.shift)
    assert timesteps.dtype == torch.int64 and timesteps.shape == (50,)
    assert timesteps[:4].tolist() == [1000, 997, 994, 992]
    assert timesteps[-2:].tolist() == [250, 140]


def test_timesteps_of_a_table_from_here_are_recognised():
    for steps in (*range(1, 61), 75, 100, 250, 1000):
        for shift in (0.5, 1.0, 2.5, 3.0, 5.0, 7.25, 8.0, 12.0, 17.0):
            assert torch.equal(timesteps_at(flow_sigmas(steps, shift)), flow_timesteps(steps, shift)), (steps, shift)


def test_recognising_a_table_is_needed_where_float32_rounds_up_to_a_whole_timestep():
    sigmas = flow_sigmas(40, 3.0)
    received, cut = timesteps_at(sigmas), (sigmas[:-1] * 1000).long()
    assert received[[12, 36]].tolist() == [874, 249]
    assert cut[[12, 36]].tolist() == [875, 250]
    assert (received != cut).sum() == 2


def test_any_other_table_is_cut_as_it_is():
    sigmas = torch.tensor([1.0, 0.8759, 0.25, 0.0301, 0.0])
    assert timesteps_at(sigmas).tolist() == [1000, 875, 250, 30]
    assert timesteps_at(sigmas.double()).dtype == torch.int64
    almost = flow_sigmas(40, 3.0)
    almost[5] += 1e-4
    assert torch.equal(timesteps_at(almost), (almost[:-1] * 1000).long())
    assert timesteps_at(flow_sigmas(10, 8.0)[4:]).tolist() == (flow_sigmas(10, 8.0)[4:-1] * 1000).long().tolist()


def test_tables_that_end_in_noise_or_have_one_step_are_cut_too():
    assert timesteps_at(torch.tensor([1.0, 0.0])).tolist() == [1000]
    assert timesteps_at(torch.tensor([1.0, 0.9, 0.5])).tolist() == [1000, 900]
    assert timesteps_at(torch.tensor([1.0, 1.0, 0.0])).tolist() == [1000, 1000]


@pytest.mark.parametrize("table", [flow_sigmas, flow_timesteps])
@pytest.mark.parametrize(
    ("steps", "shift", "message"),
    [
        (0, 8.0, "steps is 0, expected 1 or more"),
        (-3, 8.0, "steps is -3, expected 1 or more"),
        (50, 0.0, "shift is 0.0, expected more than 0"),
        (50, -1.0, "shift is -1.0, expected more than 0"),
        (50, math.inf, "shift is inf, expected more than 0"),
        (50, math.nan, "shift is nan, expected more than 0"),
    ],
)
def test_impossible_runs_are_refused(table, steps, shift, message):
    with pytest.raises(LumosXError, match=message):
        table(steps, shift)


# Solver


def test_latents_move_on_the_straight_line_to_clean_latents_that_never_change():
    noise, clean = torch.randn(2, 3, 4, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64).unbind(0)
    sigmas, path = flow_sigmas(12, 5.0).double(), []
    end = sample_dpmpp_2m(lambda *_: clean, noise, sigmas, lambda _step, _clean, latents: path.append(latents))
    assert torch.equal(end, clean)
    for sigma, latents in zip(sigmas[:-1], path, strict=True):
        assert largest_difference(latents, (1 - sigma) * clean + sigma * noise) <= 1e-12


SPREAD = 0.5  # of normally distributed clean latents, for which the best prediction and the path are known exactly


def best_prediction(latents, sigma, _step):
    return (1 - sigma) * SPREAD**2 / ((1 - sigma) ** 2 * SPREAD**2 + sigma**2) * latents


def exact_latents(noise, sigma):
    return noise * math.sqrt((1 - sigma) ** 2 * SPREAD**2 + sigma**2)


def error_at_the_end(steps, start=0.95, end=0.05):
    # Short and long steps in turn, so that the solver has to weigh its correction by their ratio.
    ends = torch.cat([torch.zeros(1), torch.tensor([1.0, 2.0]).repeat(steps // 2).cumsum(0)]).double() / (1.5 * steps)
    log_snr = torch.lerp(*(torch.logit(torch.tensor(1 - sigma).double()) for sigma in (start, end)), ends)
    start_latents = exact_latents(torch.ones(1, dtype=torch.float64), start)
    latents = sample_dpmpp_2m(best_prediction, start_latents, torch.sigmoid(-log_snr))
    return abs(latents.item() - exact_latents(1.0, end))


@pytest.mark.parametrize("steps", [32, 64, 128])
def test_twice_the_steps_make_a_quarter_of_the_error(steps):
    assert error_at_the_end(steps) / error_at_the_end(2 * steps) == pytest.approx(4, abs=0.3)


def test_a_run_from_pure_noise_ends_close_to_the_exact_latents():
    noise = torch.randn(1000, generator=torch.Generator().manual_seed(1))
    end = sample_dpmpp_2m(best_prediction, noise, flow_sigmas(200, 3.0))
    assert largest_difference(end, SPREAD * noise) <= 0.02


def test_each_step_predicts_then_reports_then_moves():
    events = []

    def predict_clean(latents, sigma, step):
        events.append(("predict", step, sigma.item(), latents))
        return latents / 2

    def report(step, clean, latents):
        events.append(("report", step, clean, latents))

    noise, sigmas = torch.ones(2, 3), torch.tensor([1.0, 0.75, 0.5, 0.0])
    end = sample_dpmpp_2m(predict_clean, noise, sigmas, report)
    assert [event[:2] for event in events] == [(kind, step) for step in range(3) for kind in ("predict", "report")]
    assert [event[2] for event in events[::2]] == [1.0, 0.75, 0.5]
    for (*_, seen), (*_, clean, reported) in zip(events[::2], events[1::2], strict=True):
        assert reported is seen  # not yet moved
        assert torch.equal(clean, seen / 2)
    assert not torch.equal(events[2][3], noise)
    assert torch.equal(end, events[-1][2])
    assert torch.equal(noise, torch.ones(2, 3))  # the caller's noise is not written to


def test_without_a_report_the_result_is_the_same():
    noise, sigmas = torch.ones(3), flow_sigmas(5, 8.0)
    reported = sample_dpmpp_2m(best_prediction, noise, sigmas, lambda *_: None)
    assert torch.equal(sample_dpmpp_2m(best_prediction, noise, sigmas), reported)


# Objective


def test_time_decides_how_much_noise_there_is():
    clean, noise = torch.full((3, 2, 2), 4.0), torch.full((3, 2, 2), -1.0)
    noisy, velocity = noisy_latents(clean, noise, torch.tensor([0.0, 500.0, 1000.0]))
    assert noisy[:, 0, 0].tolist() == [4.0, 1.5, -1.0]
    assert torch.equal(velocity, noise - clean)


def test_the_fraction_of_the_time_counts():
    noisy, _ = noisy_latents(torch.zeros(1, 1), torch.ones(1, 1), torch.tensor([123.75]))
    assert noisy.item() == pytest.approx(0.12375)


def test_latents_less_their_noise_share_of_the_velocity_are_clean():
    clean, noise = torch.randn(2, 4, 3, 2, 2, generator=torch.Generator().manual_seed(2)).unbind(0)
    timestep = torch.tensor([100.0, 400.0, 700.0, 950.0])
    noisy, velocity = noisy_latents(clean, noise, timestep)
    assert largest_difference(noisy - timestep.view(4, 1, 1, 1) / 1000 * velocity, clean) <= 1e-6


def test_each_video_has_its_own_mean_squared_error_in_float32():
    velocity = torch.tensor([[1.0, 3.0], [0.0, 0.0]], dtype=torch.bfloat16)[:, :, None]
    loss = velocity_loss(velocity, torch.zeros(2, 2, 1, dtype=torch.bfloat16))
    assert loss.tolist() == [5.0, 0.0]
    assert loss.dtype == torch.float32


def test_noise_that_rises_is_refused():
    with pytest.raises(LumosXError, match="do not fall"):
        sample_dpmpp_2m(lambda latents, sigma, step: latents, torch.zeros(1), torch.tensor([0.0, 0.5, 1.0]))
