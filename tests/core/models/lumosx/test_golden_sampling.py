"""Schedule, solver, guided sampling and training loss give the numbers of the official LumosX code."""

from __future__ import annotations

import json

import pytest
import torch
from golden_cases import largest_difference, read_golden_case, relative_norm
from safetensors import safe_open
from safetensors.torch import load_file

from lumosx_core import LumosXModel
from lumosx_core.sampling.objective import noisy_latents, velocity_loss
from lumosx_core.sampling.schedule import flow_sigmas, flow_timesteps, timesteps_at
from lumosx_core.sampling.solver import sample_dpmpp_2m

TRAJECTORY, GUIDED, OUTPUT, LOSS, GRADIENT = 2e-5, 5e-4, 1e-4, 1e-5, 1e-4


@pytest.fixture(scope="module")
def scheduler(golden):
    return load_file(golden / "scheduler.safetensors")


@pytest.fixture(scope="module")
def sampling(golden):
    return load_file(golden / "sampling_e2e.safetensors")


@pytest.fixture(scope="module")
def sampled_case(golden):
    return read_golden_case(golden, case_behind(golden / "sampling_e2e.safetensors"))


def case_behind(path):
    with safe_open(path, "pt") as file:
        return file.metadata()["case"]


@pytest.mark.parametrize(
    ("table", "steps", "shift"),
    [("table_50_8", 50, 8), ("table_25_8", 25, 8), ("table_40_3", 40, 3), ("s10", 10, None), ("s16", 16, None)],
)
def test_noise_levels_and_timesteps_are_exact(scheduler, table, steps, shift):
    if shift is None:
        shift = scheduler[f"{table}.shift"].item()
    sigmas = flow_sigmas(steps, shift)
    assert torch.equal(sigmas, scheduler[f"{table}.sigmas"])
    assert torch.equal(flow_timesteps(steps, shift), scheduler[f"{table}.timesteps"])
    assert torch.equal(timesteps_at(sigmas), scheduler[f"{table}.timesteps"])


@pytest.mark.parametrize("run", ["s10", "s16"])
def test_solver_follows_the_recorded_trajectory(scheduler, run):
    a, b, recorded = (scheduler[f"{run}.{name}"] for name in ("A", "B", "trajectory"))
    steps, shift = len(recorded) - 1, scheduler[f"{run}.shift"].item()
    timesteps = flow_timesteps(steps, shift)

    def predict_clean(latents, sigma, step):
        return latents - sigma * (a * latents + b * torch.cos(3 * timesteps[step] / 1000))

    trajectory = []
    end = sample_dpmpp_2m(
        predict_clean,
        scheduler[f"{run}.z0"],
        flow_sigmas(steps, shift),
        lambda _step, _clean, latents: trajectory.append(latents),
    )
    assert largest_difference(torch.stack([*trajectory, end]), recorded) <= TRAJECTORY


@torch.no_grad()
def test_first_step_of_guided_sampling_with_and_without_the_prompt(sampling, sampled_case, golden_model):
    noise, timestep = sampling["latents"][0], sampling["timesteps"][:1]
    for text, recorded in ((sampled_case.text, "step0.cond"), (sampling["context_null"][None], "step0.uncond")):
        velocity = golden_model(noise, timestep, text, sampled_case.scene, include_references=True)
        assert largest_difference(velocity, sampling[recorded]) <= OUTPUT, recorded


@torch.no_grad()
def test_guided_sampling_from_noise_to_video(sampling, sampled_case, golden_model):
    recorded, guidance = sampling["latents"], sampling["cfg_scale"].item()
    sigmas = flow_sigmas(len(recorded) - 1, sampling["shift"].item())
    timesteps = timesteps_at(sigmas)
    assert torch.equal(timesteps, sampling["timesteps"])

    def predict_clean(latents, sigma, step):
        # Without the prompt: other text, but the same pictures and the positions of the prompt's own words.
        cond, uncond = (
            golden_model(latents, timesteps[step, None], text, sampled_case.scene)
            for text in (sampled_case.text, sampling["context_null"][None])
        )
        return latents - sigma * (uncond + guidance * (cond - uncond))

    trajectory = []
    end = sample_dpmpp_2m(predict_clean, recorded[0], sigmas, lambda _step, _clean, z: trajectory.append(z))
    assert largest_difference(torch.stack([*trajectory, end]), recorded) <= GUIDED


@pytest.fixture(scope="module")
def training(golden):
    return load_file(golden / "training.safetensors")


@pytest.fixture(scope="module")
def trained_step(golden, golden_config, golden_weights, training):
    """One backward pass: (noisy latents, loss, gradients by parameter name)."""
    case = read_golden_case(golden, case_behind(golden / "training.safetensors"))
    model = LumosXModel(golden_config)
    model.load_state_dict(golden_weights)
    timestep = training["t_float"]
    noisy, target = noisy_latents(training["x0"], training["noise"], timestep)
    loss = velocity_loss(model(noisy, timestep.long(), case.text, case.scene), target)
    loss.mean().backward()
    return noisy, loss.detach(), {name: parameter.grad for name, parameter in model.named_parameters()}


def test_training_mixes_noise_and_tells_the_time_as_released(training, trained_step):
    assert torch.equal(training["t_float"].long(), training["t_model"])
    assert largest_difference(trained_step[0], training["x_t"]) <= 1e-6


def test_training_loss(training, trained_step):
    assert largest_difference(trained_step[1], training["loss"]) <= LOSS


def test_gradients_of_the_training_loss(training, trained_step):
    recorded = {name.removeprefix("grad."): tensor for name, tensor in training.items() if name.startswith("grad.")}
    assert len(recorded) == 11
    for name, gradient in recorded.items():
        assert relative_norm(trained_step[2][name], gradient) <= GRADIENT, name


def test_size_of_the_gradient_of_every_parameter(golden, training, trained_step):
    with safe_open(golden / "training.safetensors", "pt") as file:
        names = json.loads(file.metadata()["gradnorm_order"])
    assert sorted(names) == sorted(trained_step[2])
    for name, recorded in zip(names, training["gradnorm"].tolist(), strict=True):
        assert trained_step[2][name].norm().item() == pytest.approx(recorded, rel=GRADIENT), name
