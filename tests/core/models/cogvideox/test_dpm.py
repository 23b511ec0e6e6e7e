"""CogVideoX's schedule and solver: the recorded numbers, those of diffusers, and their own laws."""

import json

import pytest
import torch
from safetensors.torch import load_file

from lumosx_core import LumosXError
from lumosx_core.models.cogvideox.dpm import CogVideoXSchedule, dpm_steps, sample_dpm

SCHEDULE = CogVideoXSchedule()


def relative(ours, theirs):
    return ((ours.double() - theirs.double()).abs().max() / theirs.double().abs().max()).item()


def toy(matrix):
    """The network behind the recorded trajectories."""
    return lambda latents, timestep: torch.tanh(latents @ matrix) - 0.1 * latents


@pytest.fixture(scope="module")
def recorded(golden_ingredients):
    return load_file(golden_ingredients / "schedule.safetensors")


def test_the_noise_levels_are_the_recorded_ones(recorded):
    assert SCHEDULE.alphas_cumprod.dtype == torch.float64
    assert (SCHEDULE.alphas_cumprod - recorded["alphas_cumprod"]).abs().max() <= 1e-12
    assert SCHEDULE.alphas_cumprod[-1] == 0


@pytest.mark.parametrize("steps", [8, 50])
def test_a_run_follows_the_recorded_trajectory(recorded, steps):
    assert torch.equal(SCHEDULE.timesteps(steps), recorded[f"timesteps_{steps}"])
    noise, path = recorded[f"noise_{steps}"], []
    final = sample_dpm(
        toy(recorded[f"toy_matrix_{steps}"]),
        recorded[f"x_init_{steps}"],
        steps,
        noise_of=lambda step, draw: noise[step],
        callback=lambda step, clean, latents: path.append(latents),
    )
    assert relative(torch.stack(path), recorded[f"x_{steps}"]) <= 2e-6
    assert torch.equal(final, path[-1])


def test_noise_is_drawn_as_often_as_recorded(golden_ingredients):
    facts = json.loads((golden_ingredients / "transformer" / "denoise.json").read_text())
    schedule = CogVideoXSchedule.from_dict(facts["scheduler"])
    assert schedule == SCHEDULE
    assert [step.draws for step in schedule.steps(facts["steps"])] == facts["noise_draws_per_step"]


@pytest.mark.parametrize("shift", [1.0, 3.0])
@pytest.mark.parametrize("steps", [1, 2, 6, 7, 30, 50, 61, 333, 700, 1000])
def test_every_number_of_steps_and_shift_is_that_of_diffusers(steps, shift):
    diffusers = pytest.importorskip("diffusers")
    theirs = diffusers.CogVideoXDPMScheduler(
        prediction_type="v_prediction", timestep_spacing="trailing", rescale_betas_zero_snr=True,
        snr_shift_scale=shift, clip_sample=False,
    )  # fmt: skip
    ours = CogVideoXSchedule(snr_shift_scale=shift)
    assert (ours.alphas_cumprod - theirs.alphas_cumprod).abs().max() <= 1e-12
    theirs.set_timesteps(steps)
    timesteps = theirs.timesteps[:steps]
    assert torch.equal(ours.timesteps(steps), timesteps)

    predict = toy(torch.randn(5, 5, generator=torch.Generator().manual_seed(2)) * 0.4)
    latents = start = torch.randn(2, 3, 4, 5, generator=torch.Generator().manual_seed(1))
    generator, old = torch.Generator().manual_seed(3), None
    for i, t in enumerate(timesteps):
        before = timesteps[i - 1] if i else None
        latents, old = theirs.step(predict(latents, None), old, t, before, latents, generator=generator)
    result = sample_dpm(predict, start, steps, ours, generator=torch.Generator().manual_seed(3))
    assert relative(result, latents) <= 2e-5


def test_each_step_receives_the_timestep_of_the_whole_batch():
    seen = []
    sample_dpm(lambda x, t: (seen.append(t), x)[1], torch.zeros(3, 2), 4, generator=torch.Generator())
    assert [t.tolist() for t in seen] == [[t] * 3 for t in (999, 749, 499, 249)]


def test_a_network_that_knows_the_answer_gets_there():
    """With v of a fixed clean image each prediction is that image, and the last step adds no noise."""
    clean = torch.randn(1, 6, generator=torch.Generator().manual_seed(0))
    alphas = SCHEDULE.alphas_cumprod

    def knows(latents, timestep):
        alpha = alphas[timestep].float()[:, None]
        if alpha.min() == 0:
            return -clean
        return (alpha.sqrt() * latents - clean) / (1 - alpha).sqrt()

    result = sample_dpm(knows, torch.randn(1, 6), 10, generator=torch.Generator().manual_seed(1))
    assert (result - clean).abs().max() <= 1e-5


def test_steps_through_a_table_of_noise_levels_are_those_of_the_schedule():
    """What a sampler in ComfyUI needs: sigmas in units of the signal instead of timesteps."""
    own = SCHEDULE.steps(50)
    sigmas = [((1 - step.alpha) / step.alpha) ** 0.5 if step.alpha else float("inf") for step in own]
    steps = dpm_steps([1 / (1 + sigma**2) for sigma in [*sigmas, 0]], [step.timestep for step in own])
    for step, expected in zip(steps, own, strict=True):
        assert step.timestep == expected.timestep and step.draws == expected.draws
        for name in ("alpha", "keep", "signal", "past", "noise"):
            assert getattr(step, name) == pytest.approx(getattr(expected, name), rel=1e-9, abs=1e-12)


def test_the_loop_may_be_written_step_by_step():
    predict = toy(torch.eye(4) * 0.3)
    noise = [torch.randn(1, 4, generator=torch.Generator().manual_seed(i)) for i in range(9)]
    latents, previous = noise[8], None
    for index, step in enumerate(SCHEDULE.steps(8)):
        clean = step.clean(latents, predict(latents, None))
        latents, previous = step.advance(latents, clean, previous, noise[index]), clean
    assert torch.equal(latents, sample_dpm(predict, noise[8], 8, noise_of=lambda step, draw: noise[step]))


@pytest.mark.parametrize("steps", [0, -1, 1001])
def test_steps_without_a_schedule_are_refused(steps):
    with pytest.raises(LumosXError, match=f"steps is {steps}, expected 1 to 1000"):
        SCHEDULE.steps(steps)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"prediction_type": "epsilon"}, "prediction_type = 'epsilon'.*needs 'v_prediction'"),
        ({"rescale_betas_zero_snr": False}, "rescale_betas_zero_snr = 'False'.*needs True"),
        ({"timestep_spacing": "leading"}, "needs 'trailing'"),
        ({"snr_shift_scale": "1"}, "snr_shift_scale = '1', expected a number"),
        ({"beta_end": 0.0001}, "no noise schedule"),
        ({"use_karras_sigmas": True}, "use_karras_sigmas', which CogVideoX's solver does not know"),
    ],
)
def test_a_config_of_another_schedule_is_refused_by_name(change, message):
    with pytest.raises(LumosXError, match=message):
        CogVideoXSchedule.from_dict({"snr_shift_scale": 1.0, **change})


def test_a_released_config_is_read_with_its_class_names():
    config = {"_class_name": "CogVideoXDPMScheduler", "_diffusers_version": "0.32", "clip_sample": False}
    assert CogVideoXSchedule.from_dict({**config, "snr_shift_scale": 3.0}).snr_shift_scale == 3.0


@pytest.mark.parametrize("alphas", [[0.5], [0.5, 0.4], [0.1, 0.1, 1], [0.5, 1.5], [-0.1, 1]])
def test_levels_that_do_not_fall_are_refused(alphas):
    with pytest.raises(LumosXError, match="do not fall at each step"):
        dpm_steps(alphas)
