"""The MODEL of Ingredients (CogVideoX) computes the recorded numbers, whatever the order of the branches."""

from __future__ import annotations

import pytest

pytestmark = pytest.mark.slow

LOAD = """
import comfy.lora, comfy.samplers
from pathlib import Path
from safetensors.torch import load_file
from pack.lumosx_core.files.stored_tensor import StoredTensor
from pack.lumosx_core.models.cogvideox.dpm import CogVideoXSchedule
from pack.lumosx_core.models.family import OpenNetwork
from pack.lumosx_core.models.ingredients.config import IngredientsConfig
from pack.lumosx_core.models.ingredients.faces.face_encoder import FaceFeatures
from pack.nodes.bridges.ingredients.faces import KEY, Faces, attach_faces
from pack.nodes.bridges.ingredients.loading import patcher_of, with_guidance
from pack.nodes.bridges.ingredients.model import ROWS
from pack.nodes.ingredients.sampling import IngredientsSigmas, sample_as_released

torch.set_grad_enabled(False)
folder = Path(arguments["golden"]) / "transformer"
sections = json.loads((folder / "config.json").read_text())
sections.pop("data")
tensors = {name: StoredTensor.of(tensor) for name, tensor in load_file(folder / "weights.safetensors").items()}
network = OpenNetwork(folder, IngredientsConfig.from_dict(sections), tensors)

def relative(found, expected):
    return ((found - expected).abs().max() / expected.abs().max()).item()
"""

FORWARD = (
    LOAD
    + """
recorded = load_file(folder / "golden.safetensors")
faces = Faces((), FaceFeatures(recorded["id_cond"][:2], recorded["id_vit_hidden"][:2]), ("a", "b"))
latents = recorded["latents"].transpose(1, 2)
patcher = patcher_of(network)

def velocity(model, guidance, order):
    sigma = model.model_sampling.sigmas[recorded["timestep"].long()]
    scale = sigma.view(-1, 1, 1, 1, 1)
    noisy = latents[:, :4] * (1 + scale**2).sqrt()
    rows = torch.tensor([[0, 1], [0, 0]])
    clean = model.apply_model(
        noisy[order], sigma[order], latents[order, 4:], recorded["text"][order], None,
        {"ingredients_guidance": guidance}, **{KEY: faces, ROWS: rows[order]},
    )
    back = [order.index(row) for row in range(2)]
    return ((latents[:, :4] / (1 + scale**2).sqrt() - clean[back]) * (1 + scale**2).sqrt() / scale).transpose(1, 2)

result = {}
for guidance in ("shared", "per_branch"):
    for order in ([0, 1], [1, 0]):
        found = velocity(patcher.model, guidance, order)
        result[f"{guidance} {order}"] = relative(found, recorded[f"cfg_{guidance}.output"])
# As ComfyUI loads where memory is short: every layer fetches its weights when it computes.
patcher.patch_model(device_to=torch.device("cpu"), lowvram_model_memory=1)
layers = [module for module in patcher.model.modules() if hasattr(module, "comfy_cast_weights")]
result["fetched"] = sum(layer.comfy_cast_weights for layer in layers)
result["offloaded"] = relative(velocity(patcher.model, "shared", [0, 1]), recorded["cfg_shared.output"])
"""
)


def test_both_orders_of_the_branches_give_the_recorded_output_also_when_weights_are_offloaded(
    run_in_comfyui, golden_ingredients, record_property
):
    found = run_in_comfyui(FORWARD, golden=str(golden_ingredients))
    assert found.pop("fetched") > 50
    record_property("errors", found)
    assert len(found) == 5 and max(found.values()) <= 2e-5, found


SAMPLE = (
    LOAD
    + """
recorded = load_file(folder / "golden_denoise.safetensors")
features = FaceFeatures(recorded["id_cond"][:2], recorded["id_vit_hidden"][:2])
faces = Faces((), features, ("a", "b"))
image = recorded["model_inputs"][0, 1, :1, 4:].transpose(0, 1)[None] / 0.7
text = {name: attach_faces([[recorded[name], {}]], faces, image) for name in ("positive", "negative")}

def sample(videos=1, noise_of=None):
    path = []
    guider = comfy.samplers.CFGGuider(patcher_of(network))
    guider.set_conds(text["positive"], text["negative"])
    guider.set_cfg(6.0)
    noise = recorded["initial_latents"].transpose(1, 2).repeat(videos, 1, 1, 1, 1)
    draws = lambda step, draw: recorded["noise"][step].transpose(0, 1)[None].repeat(videos, 1, 1, 1, 1)
    sampler = comfy.samplers.KSAMPLER(sample_as_released, {"noise_of": draws})
    sigmas = IngredientsSigmas.execute(4).args[0]
    report = lambda step, clean, latents, steps: path.append((latents / (1 + sigmas[step] ** 2).sqrt())[0])
    samples = guider.sample(noise, torch.zeros_like(noise), sampler, sigmas, None, report, True, 0)
    return samples * 0.7, path

shifted = patcher_of(network, schedule=CogVideoXSchedule(snr_shift_scale=3.0))
one, path = sample()
expected = recorded["latents"].transpose(1, 2)
simple = comfy.samplers.calculate_sigmas(patcher_of(network).model.model_sampling, "simple", 50)
result = {
    "steps": [relative(found, after) for found, after in zip([*path[1:], one[0]], expected)],
    "batch of two": [relative(video, expected[-1]) for video in sample(2)[0]],
    "another schedule": relative(
        comfy.samplers.calculate_sigmas(shifted.model.model_sampling, "simple", 50)[1:50],
        IngredientsSigmas.execute(50, shifted).args[0][1:50],
    ),
    "of another shift": relative(
        IngredientsSigmas.execute(50, shifted).args[0][1:50], 3**0.5 * IngredientsSigmas.execute(50).args[0][1:50]
    ),
    "the stock schedule": torch.equal(simple, IngredientsSigmas.execute(50).args[0]),
}
"""
)


def test_the_released_sampler_follows_the_recorded_run_step_by_step(
    run_in_comfyui, golden_ingredients, record_property
):
    found = run_in_comfyui(SAMPLE, golden=str(golden_ingredients))
    record_property("errors", found)
    assert len(found["steps"]) == 4 and max(found["steps"]) <= 5e-5
    assert max(found["batch of two"]) <= 5e-5
    assert found["the stock schedule"]
    assert found["another schedule"] <= 1e-6 and found["of another shift"] <= 0.2


BRANCHES = (
    LOAD
    + """
import logging
from pack.nodes.bridges.ingredients import model as ingredients_model
recorded = load_file(folder / "golden_denoise.safetensors")
faces = Faces((), FaceFeatures(recorded["id_cond"][:2], recorded["id_vit_hidden"][:2]), ("a", "b"))
image = recorded["model_inputs"][0, 1, :1, 4:].transpose(0, 1)[None] / 0.7
text = {name: attach_faces([[recorded[name], {}]], faces, image) for name in ("positive", "negative")}
said = []
ingredients_model.run_notice = lambda title, text: said.append(text)

class Backwards(comfy.samplers.CFGGuider):
    # As other guiders do, it passes the negative branch first; ComfyUI calls both by their place in the list.
    def predict_noise(self, x, timestep, model_options={}, seed=None):
        conds = [self.conds["negative"], self.conds["positive"]]
        negative, positive = comfy.samplers.calc_cond_batch(self.inner_model, conds, x, timestep, model_options)
        return negative + self.cfg * (positive - negative)

def sample(kind=comfy.samplers.CFGGuider, guidance="shared", cfg=6.0, memory=None):
    said.clear()
    patcher = with_guidance(patcher_of(network), guidance)
    if memory is not None:
        patcher.model.memory_required = lambda *rest, **more: memory
    guider = kind(patcher)
    guider.set_conds(text["positive"], text["negative"])
    guider.set_cfg(cfg)
    noise = recorded["initial_latents"].transpose(1, 2)
    samples = guider.sample(
        noise, torch.zeros_like(noise), comfy.samplers.sampler_object("euler"), IngredientsSigmas.execute(3).args[0],
        None, None, True, 0,
    )
    return samples, len(said), bool(patcher.model_options["transformer_options"].get(KEY))

model = patcher_of(network).model
shape = [2, 16, 13, 60, 90]
kept_free = model.memory_required(shape) / model.memory_required(shape, {"c_crossattn": [[2, 226, 4096]]})
shared, warned, left = sample()
per_branch, quiet, _ = sample(guidance="per_branch")
separate, separate_warned, _ = sample(memory=1e30)
alone, alone_warned, _ = sample(cfg=1.0)
backwards, _, _ = sample(Backwards)
result = {
    "shared differs": relative(shared, per_branch) > 1e-3,
    "backwards": relative(backwards, shared),
    "separate is per branch": relative(separate, per_branch),
    "warnings": [warned, quiet, separate_warned, alone_warned],
    "left": left,
    "kept free": kept_free,
}
"""
)


def test_branches_are_told_apart_by_the_rows_and_separate_ones_are_warned_of_once(run_in_comfyui, golden_ingredients):
    found = run_in_comfyui(BRANCHES, golden=str(golden_ingredients))
    assert found["shared differs"]
    assert found["backwards"] <= 1e-4
    assert found["separate is per branch"] <= 1e-4
    assert found["warnings"] == [0, 0, 1, 1]
    assert not found["left"]
    assert found["kept free"] > 1.5  # which ComfyUI asks for before it batches the branches


TEXT = """
from pathlib import Path
from pack.lumosx_core.models.cogvideox.t5 import T5Encoder
from pack.nodes.bridges.ingredients.text import encode_prompt, load_t5, prepared

torch.set_grad_enabled(False)
release = Path(arguments["release"])
clip, core = prepared(load_t5(release)), T5Encoder(release)
result = []
for prompt in ("", "Two men talk at a table in front of a window.", "A caf\\u00e9 \\u4eba " * 9):
    found = encode_prompt(clip, prompt, "prompt")[0][0][0]
    ids, expected = core.encode_all([prompt])[0]
    own = [token for token, _ in clip.tokenize(prompt)["t5xxl"][0]]
    result.append([((found - expected).abs().max() / expected.abs().max()).item(), own[: len(ids)] == ids, len(own)])
"""

VAE = """
from pathlib import Path
from pack.lumosx_core.models.cogvideox.vae import CogVideoXVae
from pack.nodes.bridges.ingredients.vae import CogVideoXHostVae, encode_canvas

torch.set_grad_enabled(False)
release, generator = Path(arguments["release"]), torch.Generator().manual_seed(0)
core, host = CogVideoXVae.load(release), CogVideoXHostVae(CogVideoXVae.load(release))
canvas = torch.rand(64, 80, 3, generator=generator)
result = {"canvas": (encode_canvas(host, canvas) * 0.7 - core.encode_images(canvas[None])).abs().max().item()}
for frames in (1, 2, 3):
    latents = torch.randn(2, 16, frames, 8, 10, generator=generator)
    expected = torch.stack([core.decode_frames(video) for video in latents.split(1)])
    decoded = host.decode(latents / 0.7)
    result[f"{frames} latent frames"] = [(decoded - expected).abs().max().item(), list(decoded.shape)]
"""


@pytest.fixture(scope="module")
def release(tmp_path_factory):
    pytest.importorskip("onnx")
    from miniature import write_miniature

    return write_miniature(tmp_path_factory.mktemp("release") / "Ingredients")


def test_the_text_encoder_of_comfyui_gives_what_ours_does(run_in_comfyui, release):
    for error, same_ids, length in run_in_comfyui(TEXT, release=str(release)):
        assert error <= 5e-3 and same_ids and length == 226  # ComfyUI keeps the weights in float16


def test_the_vae_is_ours(run_in_comfyui, release):
    found = run_in_comfyui(VAE, release=str(release))
    assert found.pop("canvas") <= 1e-5
    assert [shape for _, shape in found.values()] == [[2, frames, 64, 80, 3] for frames in (1, 5, 9)]
    assert max(error for error, _ in found.values()) <= 1e-5
