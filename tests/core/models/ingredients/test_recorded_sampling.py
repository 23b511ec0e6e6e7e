"""The recorded run: two faces, guidance 6, four steps through the network and the solver."""

import json

import pytest
import torch
from recorded_cases import relative
from safetensors.torch import load_file

from lumosx_core.models.cogvideox.dpm import CogVideoXSchedule, sample_dpm

TOLERANCE = 5e-5


@pytest.fixture(scope="module")
def run(golden_ingredients):
    return load_file(golden_ingredients / "transformer" / "golden_denoise.safetensors")


@pytest.fixture(scope="module")
def facts(golden_ingredients):
    return json.loads((golden_ingredients / "transformer" / "denoise.json").read_text())


@pytest.mark.parametrize("spread", ["together", "as recorded"])
def test_the_whole_guided_loop_follows_the_recorded_one(recorded_network, run, facts, spread):
    """Either every step continues from our own latents, or from the recorded ones, so that no error can hide."""
    model, scale, steps = recorded_network, facts["guidance_scale"], facts["steps"]
    faces = model.encode_faces(run["id_cond"], run["id_vit_hidden"])
    text = torch.cat([run["negative"], run["positive"]])
    image = run["image_latents"].expand(2, -1, -1, -1, -1)
    rope = run["rope_cos"], run["rope_sin"]
    inputs, outputs, path, timesteps = [], [], [], []

    def predict_v(latents, timestep):
        if spread == "as recorded":
            latents = run["model_inputs"][len(inputs), :1, :, : latents.shape[2]]
        inputs.append(torch.cat([latents.expand(2, -1, -1, -1, -1), image], dim=2))
        timesteps.append(timestep.item())
        outputs.append(model(inputs[-1], timestep.expand(2), text, faces, rope=rope))
        negative, positive = outputs[-1].chunk(2)
        return negative + scale * (positive - negative)

    final = sample_dpm(
        predict_v,
        run["initial_latents"],
        steps,
        CogVideoXSchedule.from_dict(facts["scheduler"]),
        noise_of=lambda step, draw: run["noise"][step],
        callback=lambda step, clean, latents: path.append(latents),
    )
    assert timesteps == run["timesteps"].tolist()
    for step in range(steps):
        assert relative(inputs[step], run["model_inputs"][step]) <= TOLERANCE
        assert relative(outputs[step], run["model_outputs"][step]) <= TOLERANCE
        assert relative(path[step][0], run["latents"][step]) <= TOLERANCE
    assert relative(final, run["final"]) <= TOLERANCE


def test_another_noise_or_another_guidance_leads_elsewhere(recorded_network, run, facts):
    """What the test above could overlook, would it not look at these."""
    step = CogVideoXSchedule().steps(facts["steps"])[1]
    negative, positive = run["model_outputs"][1].split(1)
    latents = run["model_inputs"][1, :1, :, : negative.shape[2]]
    first = CogVideoXSchedule().steps(facts["steps"])[0]

    def after(scale, noise, previous):
        clean = step.clean(latents, negative + scale * (positive - negative))
        return relative(step.advance(latents, clean, previous, noise)[0], run["latents"][1])

    v = run["model_outputs"][0, :1] + 6 * (run["model_outputs"][0, 1:] - run["model_outputs"][0, :1])
    previous = first.clean(run["initial_latents"], v)
    assert after(6.0, run["noise"][1], previous) <= TOLERANCE
    assert after(5.9, run["noise"][1], previous) > 1e-3
    assert after(6.0, run["noise"][0], previous) > 1e-2
