"""The router of Ingredients (CogVideoX) is recorded while a video is sampled, and drawn."""

from __future__ import annotations

import pytest
import torch
from comfy_server import Failure
from graphs import latents, node
from ingredients_graphs import HEIGHT, LENGTH, STEPS, WIDTH, again, as_released, video_graph
from PIL import Image

pytestmark = pytest.mark.slow
LAYERS = 2


def recorded(people: int = 2, guidance: str = "shared", batch: int = 1, images: bool = True, **choice) -> dict:
    """The graph with a recorder before the sampler and a map behind it."""
    graph = again(video_graph(people, guidance, batch_size=batch))
    graph["record"] = node("IngredientsRecordRouter", model=["model", 0], **{"steps": "", "layers": "", **choice})
    graph = as_released(graph, model="record")
    over = {"images": ["decode", 0]} if images else {}
    return {
        **graph,
        "decode": node("VAEDecode", samples=["sampler", 0], vae=["vae", 0]),
        "map": node("IngredientsRouterMap", router=["record", 1], samples=["sampler", 0], frames=3, **over),
        "text": node("PreviewAny", source=["map", 3]),
        "fractions": node("PreviewAny", source=["map", 1]),
        "latent": node("SaveLatent", samples=["sampler", 0], filename_prefix="latent"),
    }


def test_the_map_shows_all_layers_and_each_and_the_video_stays_what_it_was(ingredients_release):
    server = ingredients_release
    plain = {**as_released(again(video_graph()))}
    plain["latent"] = node("SaveLatent", samples=["sampler", 0], filename_prefix="latent")
    outputs = server.run(recorded())
    assert torch.equal(latents(server, outputs), latents(server, server.run(plain)))
    (sheet,) = server.saved(outputs, "map")
    with Image.open(sheet) as image:
        image.load()
        assert image.width > 900 and image.height > 400
    report = outputs["text"]["text"][0]
    assert f"the mean of {LAYERS} layers" in report and "Face 1 (Image 1)" in report and "Face 2 (Image 2)" in report


def test_a_batch_has_a_map_for_each_video(ingredients_release):
    outputs = ingredients_release.run(recorded(batch=2, images=False))
    assert len(ingredients_release.saved(outputs, "map")) == 2
    assert outputs["text"]["text"][0].startswith("Video 1\n")


def test_one_face_owns_everything(ingredients_release):
    assert "There is one face" in ingredients_release.run(recorded(people=1))["text"]["text"][0]


def test_a_choice_of_steps_and_layers_is_checked(ingredients_release):
    report = ingredients_release.run(recorded(steps="1", layers="1"))["text"]["text"][0]
    assert "the mean of 1 layers" in report
    for choice, message in (
        ({"layers": "2"}, "the router of this MODEL has 2 layers"),
        ({"steps": "9"}, f"the sampler took {STEPS} steps"),
        ({"steps": "x"}, "expected numbers from 1 on"),
    ):
        with pytest.raises(Failure, match=message):
            ingredients_release.run(recorded(**choice))


def test_other_samples_and_other_images_are_refused(ingredients_release):
    graph = recorded()
    graph["map"]["inputs"]["samples"] = ["video", 2]
    with pytest.raises(Failure, match="No recording belongs to these samples"):
        ingredients_release.run(graph)
    graph = recorded()
    graph["map"]["inputs"]["images"] = ["video", 3]
    with pytest.raises(Failure, match=f"images has 1 frames, but these samples decode to {LENGTH}"):
        ingredients_release.run(graph)
    assert (WIDTH, HEIGHT) == (80, 64)


INTERRUPTED = """
import comfy.model_management, comfy.samplers
from pathlib import Path
from pack.lumosx_core.attention_map.number_choice import NumberChoice
from pack.lumosx_core.models.ingredients.faces.face_encoder import FaceFeatures
from pack.nodes.bridges.ingredients.faces import Faces, attach_faces
from pack.nodes.bridges.ingredients.loading import load_patcher
from pack.nodes.bridges.ingredients.router import record_router
from pack.nodes.ingredients.sampling import IngredientsSigmas

torch.set_grad_enabled(False)
patcher = load_patcher(Path(arguments["release"]))
every = NumberChoice.read("", "steps", 1)
model, records = record_router(patcher, every, every)
sizes, generator = patcher.model.config.local_facial_extractor, torch.Generator().manual_seed(0)
features = FaceFeatures(
    torch.randn(2, sizes.id_in, generator=generator), torch.randn(2, 5, 17, sizes.vit_in, generator=generator)
)
faces = Faces((), features, ("a", "b"))
image = torch.randn(1, 16, 1, 8, 10, generator=generator)
text = [attach_faces([[torch.randn(1, 226, 64, generator=generator), {}]], faces, image) for _ in range(2)]

def sample(stop_at=None):
    guider = comfy.samplers.CFGGuider(model)
    guider.set_conds(*text)
    guider.set_cfg(6.0)
    noise = torch.randn(1, 16, 3, 8, 10, generator=torch.Generator().manual_seed(1))
    def report(step, *rest):
        if step == stop_at:
            comfy.model_management.interrupt_current_processing(True)
            comfy.model_management.throw_exception_if_processing_interrupted()
    sigmas, solver = IngredientsSigmas.execute(3).args[0], comfy.samplers.sampler_object("euler")
    return guider.sample(noise, torch.zeros_like(noise), solver, sigmas, None, report, True, 0)

first = sample()
interrupted = False
kept = len(records._runs)
try:
    sample(stop_at=1)
except comfy.model_management.InterruptProcessingException:
    interrupted = True
options = model.model_options["transformer_options"]
again = sample()
record = records.find(again)
result = {
    "interrupted": interrupted,
    "kept": [kept, len(records._runs)],
    "left": [key for key in options if key.startswith("ingredients")],
    "same": torch.equal(first, again),
    "shape": list(record.weights.shape),
    "sums": (record.weights.sum(dim=2) - 1).abs().max().item(),
}
"""


def test_an_interrupted_run_leaves_nothing(run_in_comfyui, ingredients_release):
    folder = ingredients_release.directory / "models" / "diffusers" / "Ingredients"
    found = run_in_comfyui(INTERRUPTED, release=str(folder))
    assert found["interrupted"] and found["same"] and found["kept"] == [1, 1] and found["left"] == []
    assert found["shape"] == [1, LAYERS, 2, 3, 4, 5] and found["sums"] < 1e-5
