"""Ingredients (CogVideoX) in a real ComfyUI: from two faces to a video."""

from __future__ import annotations

import json
import time

import pytest
import torch
from comfy_server import Failure
from graphs import frames, latents, node, relative, sampled, saved
from ingredients_graphs import (
    HEIGHT,
    LENGTH,
    PROMPT,
    RELEASE,
    STEPS,
    WIDTH,
    again,
    as_released,
    faces,
    video_graph,
)
from needs import existing
from recorded_prompts import recorded_prompt
from safetensors.torch import save_file

from lumosx_core import Reference, Scene, Subject
from lumosx_core.media.images import read_picture
from lumosx_core.models.ingredients.ingredients_family import INGREDIENTS
from lumosx_core.models.ingredients.pipeline import IngredientsSettings
from lumosx_core.models.ingredients.tiny import TINY_DIRECTORY
from lumosx_core.models.video_pipeline import VideoPipeline

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def release(ingredients_release):
    return ingredients_release


@pytest.fixture(scope="module")
def plain(release) -> torch.Tensor:
    """The latents of the released sampler."""
    return sample(release, as_released(video_graph()))


def sample(server, graph) -> torch.Tensor:
    """The latents of a graph whose sampler is called "sampler"; nothing of it comes from ComfyUI's cache."""
    return latents(server, server.run(with_latent(again(graph))))


def with_latent(graph: dict) -> dict:
    return {**graph, "latent": node("SaveLatent", samples=["sampler", 0], filename_prefix="latent")}


def between(graph: dict, class_type: str, **inputs) -> dict:
    """The graph with a node behind the loader of the model, through which the sampler has it."""
    return {**graph, "changed": node(class_type, model=["model", 0], **inputs)}


def test_two_faces_become_a_video(release):
    outputs = release.run(saved(as_released(video_graph())))
    (path,) = release.saved(outputs, "save")
    assert frames(path).shape == (LENGTH, HEIGHT, WIDTH, 3)
    assert latents(release, outputs).shape == (1, 16, 3, HEIGHT // 8, WIDTH // 8)


def test_the_same_run_gives_the_same_video_and_each_face_matters(release, plain):
    assert torch.equal(sample(release, as_released(video_graph())), plain)
    swapped = video_graph()
    swapped["faces"]["inputs"] |= {"image_1": ["photo_2", 0], "image_2": ["photo_1", 0]}
    assert relative(sample(release, as_released(swapped)), plain) > 1e-3
    assert relative(sample(release, as_released(video_graph(people=1))), plain) > 1e-3
    assert relative(sample(release, as_released(video_graph(people=3))), plain) > 1e-3


def test_a_batch_of_images_is_several_people(release, plain):
    graph = video_graph()
    graph["batch"] = node("ImageBatch", image1=["photo_1", 0], image2=["photo_2", 0])
    graph["faces"]["inputs"]["image_1"] = ["batch", 0]
    del graph["faces"]["inputs"]["image_2"]
    assert torch.equal(sample(release, as_released(graph)), plain)


@pytest.mark.parametrize("guidance", ["shared", "per_branch"])
def test_the_nodes_make_the_video_of_the_program_without_comfyui(release, record_property, guidance):
    """With the same seed, faces and prompt, up to the text encoder, which ComfyUI keeps in float16."""
    photos = [read_picture(release.directory / "input" / "faces" / f"person_{i}.png") for i in (1, 2)]
    scene = Scene(tuple(Subject(Reference("", photo)) for photo in photos))
    settings = IngredientsSettings(
        width=WIDTH, height=HEIGHT, frames=LENGTH, steps=STEPS, seed=7, guidance=guidance, face_crops="as given"
    )
    folder = release.directory / "models" / "diffusers" / RELEASE.strip("/")
    pipeline = VideoPipeline(INGREDIENTS.find_files(folder), INGREDIENTS, device="cpu")
    vae = INGREDIENTS.load_vae(pipeline.files.vae)
    expected = pipeline.sample(pipeline.prepare(scene, PROMPT, settings, vae), settings)
    difference = relative(sample(release, as_released(video_graph(guidance=guidance))) * 0.7, expected)
    record_property("relative difference", difference)
    assert difference < 5e-3


def test_guidance_is_shared_unless_it_is_told_otherwise(release, plain):
    assert relative(sample(release, as_released(video_graph(guidance="per_branch"))), plain) > 1e-3


def test_in_a_batch_of_two_each_video_is_the_one_of_its_noise(release):
    graph = sampled(video_graph())
    both = sample(
        release, {**graph, "video": {**graph["video"], "inputs": {**graph["video"]["inputs"], "batch_size": 2}}}
    )
    assert relative(both[:1], sample(release, graph)) < 1e-4
    assert relative(both[1:], both[:1]) > 0.1


def test_stock_samplers_work(release):
    for sampler, scheduler in (
        ("euler", "simple"),
        ("dpmpp_2m_sde", "simple"),
        ("dpmpp_2m", "karras"),
        ("uni_pc", "normal"),
    ):
        video = sample(release, sampled(video_graph(), sampler_name=sampler, scheduler=scheduler))
        assert video.isfinite().all() and video.std() > 0.1, sampler


def test_another_length_than_the_trained_one_works(release):
    assert sample(release, as_released(video_graph(length=5))).shape[2] == 2


def test_interrupt_leaves_nothing_behind(release, plain):
    run = release.queue(with_latent(again(as_released(video_graph(), steps=400))))
    end = time.monotonic() + 60
    while '"sampler"' not in json.dumps(release.get("/queue")["queue_running"]) and time.monotonic() < end:
        time.sleep(0.05)
    time.sleep(1)
    release.post("/interrupt", {})
    with pytest.raises(Failure, match="interrupted"):
        release.wait(run)
    assert torch.equal(sample(release, as_released(video_graph())), plain)


# Weights


@pytest.fixture(scope="module")
def lora() -> dict[str, torch.Tensor]:
    """A LoRA of one layer of the transformer and one of the router, under the released names."""
    generator = torch.Generator().manual_seed(3)
    return {
        f"{name}.{part}.weight": torch.randn(shape, generator=generator) * 0.5
        for name, outer in (("transformer_blocks.1.attn1.to_q", 64), ("router.0.to_q", 40))
        for part, shape in (("lora_A", (4, 64)), ("lora_B", (outer, 4)))
    }


def kohya(name: str) -> str:
    layer, part, _ = name.rsplit(".", 2)
    return f"lora_unet_{layer.replace('.', '_')}.{ {'lora_A': 'lora_down', 'lora_B': 'lora_up'}[part] }.weight"


def test_a_lora_of_any_origin_changes_the_video_alike(release, plain, lora):
    forms = {
        "own": lambda name: f"diffusion_model.{name}",
        "diffusers": lambda name: f"transformer.{name}",
        "kohya": kohya,
    }
    videos = {}
    for form, rename in forms.items():
        path = release.directory / "models" / "loras" / f"ingredients_{form}.safetensors"
        save_file({rename(name): tensor for name, tensor in lora.items()}, path)
        graph = between(video_graph(), "LoraLoaderModelOnly", lora_name=path.name, strength_model=1.0)
        log = len(release.log.read_text())
        videos[form] = sample(release, as_released(graph, model="changed"))
        assert "lora key not loaded" not in release.log.read_text()[log:]
    assert relative(videos["own"], plain) > 1e-3
    assert torch.equal(videos["diffusers"], videos["own"]) and torch.equal(videos["kohya"], videos["own"])
    assert torch.equal(sample(release, as_released(video_graph())), plain)


@pytest.mark.parametrize(("dtype", "most"), [("fp8_e4m3fn", 0.2), ("fp8_e5m2", 0.4)])
def test_weights_in_fp8_stay_close(release, plain, dtype, most):
    graph = video_graph()
    graph["model"]["inputs"]["weight_dtype"] = dtype
    assert 0 < relative(sample(release, as_released(graph)), plain) < most


def test_the_network_as_one_file_gives_the_same_video(release, plain):
    from lumosx_core.models.ingredients.weights.load import CONFIG, open_network

    network = open_network(release.directory / "models" / "diffusers" / RELEASE.strip("/"))
    path = release.directory / "models" / "diffusion_models" / "ingredients.safetensors"
    tensors = {name: tensor.load().clone() for name, tensor in network.tensors.items()}
    save_file(tensors, path, {CONFIG: json.dumps(network.config.to_dict())})
    graph = video_graph()
    graph["model"]["inputs"]["model_name"] = path.name
    try:
        assert torch.equal(sample(release, as_released(graph)), plain)
    finally:
        path.unlink()


# Templates


def test_the_template_of_the_released_weights_gives_a_video_with_the_miniature(release):
    prompt = recorded_prompt("Ingredients (CogVideoX), two people", release.version)
    changes = {
        "IngredientsLoadModel": {"model_name": RELEASE},
        "IngredientsLoadTextEncoder": {"text_encoder_name": RELEASE},
        "IngredientsLoadVAE": {"vae_name": RELEASE},
        "IngredientsFaces": {"face_encoder_name": RELEASE, "crops": "as given"},
        "IngredientsToVideo": {"width": WIDTH, "height": HEIGHT, "length": LENGTH},
        "IngredientsSigmas": {"steps": STEPS},
    }
    for each in prompt.values():
        each["inputs"] |= changes.get(each["class_type"], {})
    [save] = [number for number, each in prompt.items() if each["class_type"] == "SaveVideo"]
    [video] = [frames(path) for path in release.saved(release.run(prompt), save)]
    assert video.shape == (LENGTH, HEIGHT, WIDTH, 3) and video.std() > 1


def test_the_template_of_the_tiny_model_gives_a_video_as_it_is(release):
    existing(TINY_DIRECTORY / "model_index.json", "ingredients-tiny", "It comes with the program.")
    prompt = recorded_prompt("Ingredients (CogVideoX), tiny model", release.version)
    [save] = [number for number, each in prompt.items() if each["class_type"] == "SaveVideo"]
    [video] = [frames(path) for path in release.saved(release.run(prompt), save)]
    assert video.shape == (9, 6 * 64, 6 * 80, 3) and video.std() > 1


MISSING = """
import builtins
from pathlib import Path
from types import SimpleNamespace
release, image = Path(arguments["release"]), torch.rand(1, 64, 64, 3)
loading = sys.modules["pack.nodes.ingredients.load"]
faces = sys.modules["pack.nodes.ingredients.faces"].IngredientsFaces
loading.path_of = lambda part, name: release
sys.modules["pack.nodes.ingredients.faces"].face_encoder_of = lambda name: release / "face_encoder"
faces.hidden = SimpleNamespace(prompt={}, unique_id="1")
imported = builtins.__import__

def without(package):
    def blocked(name, *rest, **more):
        if name.partition(".")[0] == package:
            raise ModuleNotFoundError(f"No module named {package!r}", name=package)
        return imported(name, *rest, **more)
    return blocked

result = {}
for package, run in (
    ("diffusers", lambda: loading.IngredientsLoadVAE.execute("any/")),
    ("onnxruntime", lambda: faces.execute("any/", "as given", "best", "auto", 0.5, image_1=image)),
):
    for name in [name for name in sys.modules if name.partition(".")[0] == package]:
        del sys.modules[name]
    builtins.__import__ = without(package)
    try:
        run()
        result[package] = "no message"
    except Exception as error:
        result[package] = f"{type(error).__name__}: {error}"
    finally:
        builtins.__import__ = imported
"""


def test_a_missing_package_is_named_with_the_command_that_installs_it(run_in_comfyui, release):
    folder = release.directory / "models" / "diffusers" / RELEASE.strip("/")
    found = run_in_comfyui(MISSING, release=str(folder))
    for package, message in found.items():
        assert message.startswith("MissingPackageError:"), message
        assert f"needs the package '{package}', which is not installed" in message and "pip install" in message


# What a user can do wrong: a message, nothing left behind, and the next run is as before


@pytest.fixture
def refused(release, plain):
    """Run a graph that must fail with all parts in the message."""

    def refused(graph: dict, *parts: str) -> None:
        with pytest.raises(Failure) as failure:
            release.run(with_latent(graph))
        for part in parts:
            assert part in failure.value.message, failure.value.message
        assert "Traceback" not in failure.value.message

    yield refused
    assert torch.equal(sample(release, as_released(video_graph())), plain)


def test_another_resolution_is_refused_by_the_node_and_by_the_model(refused):
    graph = video_graph(width=96)
    refused(as_released(graph), "The video is 96x64", "80x64 only", "Set width 80 and height 64")
    del graph["video"]["inputs"]["model"]
    refused(as_released(graph), "The video is 96x64", "80x64 only")
    refused(as_released(video_graph(width=81)), "width 81 does not fit")


def test_a_long_prompt_is_refused_and_never_cut(refused):
    graph = video_graph(positive_prompt="word " * 300)
    refused(as_released(graph), "The positive prompt has", "the network reads 226", "Shorten it")
    graph = video_graph(negative_prompt="word " * 300)
    refused(as_released(graph), "The negative prompt has")


def test_a_prompt_in_another_script_is_refused(refused):
    refused(as_released(video_graph(positive_prompt="两个男人在窗前的桌边谈话")), "T5 knows", "Write it in English")


def test_faces_that_are_missing_or_too_many(refused):
    refused(as_released(video_graph(people=0)), "No image is connected")
    graph = video_graph(people=1)
    graph["nine"] = node("RepeatImageBatch", image=["photo_1", 0], amount=9)
    graph["faces"]["inputs"]["image_1"] = ["nine", 0]
    refused(as_released(graph), "There are 9 faces", "at most 8", "Remove 1")


def test_a_photo_without_a_face(refused, real_networks, release):
    folder = release.directory / "models" / "insightface"
    folder.mkdir(exist_ok=True)
    (folder / "scrfd_500m_kps.onnx").write_bytes((real_networks / "scrfd_500m_kps.onnx").read_bytes())
    graph = video_graph()
    graph["faces"]["inputs"]["crops"] = "find the face"
    refused(as_released(graph), "Image 1 shows no face", "aligned crop")


def test_conditionings_of_another_kind(refused):
    graph = as_released(video_graph())
    graph["text"] = node("CLIPTextEncode", clip=["clip", 0], text="nothing")
    graph["guider"]["inputs"]["negative"] = ["text", 0]
    refused(graph, "The negative conditioning", "has no faces", "Connect positive and negative")


def test_faces_in_another_model(refused):
    graph = as_released(video_graph())
    del graph["video"]["inputs"]["model"]
    graph["model"] = node("LumosXLoadModel", model_name="lumosx-tiny.safetensors", weight_dtype="default")
    refused(graph, "comes from Ingredients (CogVideoX) To Video", "another one, which would ignore the faces")


def test_another_vae_text_encoder_or_network(refused, release):
    graph = video_graph()
    graph["vae"] = node("LumosXLoadVAE", vae_name="lumosx-tiny-vae.safetensors")
    refused(as_released(graph), "The VAE is of another model", "VAE of CogVideoX")
    graph = video_graph()
    graph["clip"] = node("LumosXLoadTextEncoder", text_encoder_name="lumosx-tiny-umt5.safetensors")
    refused(as_released(graph), "needs the text encoder t5xxl", "umt5xxl")
    graph = video_graph()
    graph["model"]["inputs"]["model_name"] = "stock-tiny.safetensors"
    refused(as_released(graph), "stock-tiny.safetensors cannot be used", "Wan")
    graph = video_graph()
    graph["model"] = node("LumosXLoadModel", model_name="lumosx-tiny.safetensors", weight_dtype="default")
    refused(as_released(graph), "The MODEL is WAN21, expected Ingredients (CogVideoX)")


def test_files_that_are_not_there(release):
    graph = video_graph()
    graph["model"]["inputs"]["model_name"] = "absent/"
    with pytest.raises(Failure, match="download --ingredients"):
        release.run(with_latent(as_released(graph)))
    with pytest.raises(Failure, match="face encoder 'absent/'"):
        release.run(with_latent(as_released({**video_graph(), **faces(face_encoder_name="absent/")})))
