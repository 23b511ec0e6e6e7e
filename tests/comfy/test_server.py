"""Whole workflows over POST /prompt in a real ComfyUI, with photographs and the tiny preset."""

import time

import numpy as np
import pytest
import torch
from comfy_server import STOCK_TINY
from graphs import (
    CASE,
    HEIGHT,
    LENGTH,
    PROMPT,
    WIDTH,
    custom_sampled,
    frames,
    latents,
    node,
    relative,
    sample,
    sampled,
    saved,
    scene_graph,
    uncached,
)
from PIL import Image
from safetensors.torch import save_file

from lumosx_core.models.lumosx.pipeline import LumosXPipeline, Settings
from lumosx_core.models.wan.vae import LATENT_MEAN, LATENT_STD, WanVae
from lumosx_core.scene.case_folder import read_case


def test_two_people_become_a_playable_video_with_the_stock_sampler(server):
    outputs = server.run(saved(sampled(scene_graph())))
    (path,) = server.saved(outputs, "save")
    video = frames(path)
    assert path.suffix == ".mp4"
    assert video.shape == (LENGTH, HEIGHT, WIDTH, 3)
    assert video.std() > 1


def test_the_pictures_change_the_video(server):
    graph = scene_graph()
    swapped = scene_graph()
    swapped["man"]["inputs"]["attribute_1"] = ["sweater", 0]
    swapped["woman"]["inputs"]["attribute_1"] = ["jacket", 0]
    first, second = sample(server, sampled(graph)), sample(server, sampled(swapped))
    assert (first - second).abs().max() > 1e-3


def test_a_fourth_attribute_and_a_fourth_object_come_through_further_nodes(server):
    """The contact sheet shows them in the person's row and among the objects, as if they were on one node."""

    def sheet(graph):
        # A new prompt each time: otherwise ComfyUI answers an equal one from its cache, without outputs.
        prompt = PROMPT + " " * len(seen)
        seen.append(graph)
        graph["sheet"] = node("LumosXPreviewScene", scene=["scene", 0], prompt=prompt)
        (path,) = server.saved(server.run(graph), "sheet")
        return Image.open(path).convert("RGB")

    seen = []
    direct, grown = scene_graph(), scene_graph()
    jacket_and_shirt = {
        name: value for name, value in direct["man"]["inputs"].items() if not name.startswith(("attribute_1", "face"))
    }
    del direct["scene"]["inputs"]["subjects.subject_2"], grown["scene"]["inputs"]["subjects.subject_2"]
    grown["shirt_only"] = node("LumosXSubject", **jacket_and_shirt)
    for name in jacket_and_shirt:
        del grown["man"]["inputs"][name]
    grown["man"]["inputs"]["more.more_attributes_2"] = ["shirt_only", 0]
    grown["lamp_only"] = node("LumosXScene", object_1=["lamp", 0], object_1_phrase="white lamp")
    grown["scene"]["inputs"] |= {"object_1": ["shirt", 0], "object_1_phrase": "white shirt"}
    direct["scene"]["inputs"] |= {"object_2": ["shirt", 0], "object_2_phrase": "white shirt"}
    grown["scene"]["inputs"]["subjects.subject_3"] = ["lamp_only", 0]
    assert np.array_equal(sheet(direct), sheet(grown))


def test_a_run_repeats_exactly(server):
    graph = sampled(scene_graph())
    assert torch.equal(sample(server, graph), sample(server, graph))


def test_a_lora_from_the_stock_loader_changes_the_video_and_strength_zero_does_not(server):
    generator = torch.Generator().manual_seed(1)
    lora = {}
    for layer in ("blocks.0.self_attn.q", "blocks.1.cross_attn.v", "blocks.2.ffn.0"):
        rows = 512 if "ffn" in layer else 256
        lora[f"diffusion_model.{layer}.lora_A.weight"] = torch.randn(4, 256, generator=generator)
        lora[f"diffusion_model.{layer}.lora_B.weight"] = torch.randn(rows, 4, generator=generator) * 0.1
    save_file(lora, server.directory / "models" / "loras" / "test.safetensors")

    def with_lora(strength):
        graph = scene_graph()
        graph["lora"] = node(
            "LoraLoaderModelOnly", model=["model", 0], lora_name="test.safetensors", strength_model=strength
        )
        return sample(server, sampled(graph, model="lora"))

    plain = sample(server, sampled(scene_graph()))
    assert (with_lora(1.0) - plain).abs().max() > 1e-3
    assert torch.equal(with_lora(0.0), plain)
    assert "not loaded" not in server.log.read_text()


def test_a_batch_of_two_gives_two_different_videos(server):
    outputs = server.run(saved(sampled(scene_graph(batch_size=2))))
    result = latents(server, outputs)
    assert result.shape[:3] == (2, 16, (LENGTH - 1) // 4 + 1)
    assert (result[0] - result[1]).abs().max() > 0.1


def test_each_video_of_a_batch_sees_the_scene(server):
    """Two equal starts in one batch end equal, and as they end alone."""
    graph = scene_graph(batch_size=1)
    graph["start"] = node("RepeatLatentBatch", samples=["video", 2], amount=2)
    graph["fixed"] = node("RandomNoise", noise_seed=7)
    alone = sample(server, sampled(scene_graph()))
    both = sample(server, sampled(graph, latent_image=["start", 0]))
    assert relative(both[0], alone[0]) < 1e-5


def test_two_scenes_on_two_clones_in_one_graph_do_not_meet(server):
    graph = scene_graph()
    graph["other_model"] = node("LumosXApply", model=["model", 0], mcam_ratio=1.0, r2pe=True, csam=False, mcam=True)
    graph["other_video"] = node("LumosXSceneToVideo", **{**graph["video"]["inputs"], "scene": ["woman", 0]})
    both = sampled(graph)
    both = sampled(both, name="other_sampler", model="other_model", video="other_video")
    both["latent"] = node("SaveLatent", samples=["sampler", 0], filename_prefix="first")
    both["other_latent"] = node("SaveLatent", samples=["other_sampler", 0], filename_prefix="second")
    outputs = server.run(uncached(both))
    first = sample(server, sampled(scene_graph()))
    second = sample(server, sampled(graph, model="other_model", video="other_video"))
    assert torch.equal(latents(server, outputs), first)
    assert torch.equal(latents(server, outputs, "other_latent"), second)
    assert not torch.equal(first, second)


def test_after_an_interrupt_the_next_run_is_unaffected(server):
    plain = {"plain": node("UNETLoader", unet_name=STOCK_TINY, weight_dtype="default")}
    without_pictures = {"positive": ["video", 3], "negative": ["video", 3]}
    stock = sampled({**scene_graph(), **plain}, model="plain", **without_pictures)
    before, stock_before = sample(server, sampled(scene_graph())), sample(server, stock)
    long = sampled(scene_graph(width=208, height=208), steps=400, seed=99)
    long["latent"] = node("SaveLatent", samples=["sampler", 0], filename_prefix="interrupted")
    prompt_id = server.queue(long)
    end = time.monotonic() + 60
    while f'"{prompt_id}"' not in str(server.get("/queue")["queue_running"]).replace("'", '"'):
        assert time.monotonic() < end
        time.sleep(0.05)
    time.sleep(3)  # let it get into the steps
    asked = time.monotonic()
    server.post("/interrupt", {})
    with pytest.raises(Exception, match="interrupted"):
        server.wait(prompt_id)
    assert time.monotonic() - asked < 30
    assert torch.equal(sample(server, sampled(scene_graph())), before)
    assert torch.equal(sample(server, stock), stock_before)


def test_a_scene_from_a_folder_runs_with_its_own_prompt(server):
    graph = {
        **scene_graph(),
        "folder": node("LumosXSceneFromFolder", folder=CASE),
    }
    graph["video"]["inputs"] |= {"scene": ["folder", 0], "positive_prompt": ["folder", 1]}
    result = sample(server, sampled(graph))
    assert result.isfinite().all()


def test_prompt_weights_keep_the_phrases_bound(server):
    weighted = PROMPT.replace("denim jacket", "(denim jacket:1.2)")
    plain = sample(server, sampled(scene_graph()))
    strong = sample(server, sampled(scene_graph(positive_prompt=weighted)))
    assert not torch.equal(plain, strong)


def test_the_contact_sheet_is_shown(server):
    graph = scene_graph()
    graph["sheet"] = node("LumosXPreviewScene", scene=["scene", 0], prompt=PROMPT, clip=["clip", 0])
    (path,) = server.saved(server.run(graph), "sheet")
    assert path.stat().st_size > 10_000


def test_the_released_solver_gives_what_the_headless_pipeline_gives(server, tiny_models, record_property):
    graph = scene_graph()
    graph["folder"] = node("LumosXSceneFromFolder", folder=CASE)
    graph["video"]["inputs"] |= {"scene": ["folder", 0], "positive_prompt": ["folder", 1]}
    graph = custom_sampled(graph, seed=2**40 + 3, steps=11)  # 11 steps: a level at which float32 would round up
    graph = saved(graph) | {"images": node("SaveImage", images=["decode", 0], filename_prefix="frame")}
    outputs = server.run(graph)

    case = read_case(server.directory / "input" / CASE)
    pipeline = LumosXPipeline.load(tiny_models, device="cpu", dtype=torch.float32)
    settings = Settings(WIDTH, HEIGHT, LENGTH, steps=11, seed=2**40 + 3, negative_prompt="blurry, static")
    vae = WanVae.load(pipeline.files.vae)
    normalised = pipeline.sample(pipeline.prepare(case.scene, case.prompt, settings, vae), settings)
    mean, std = (torch.tensor(values).view(1, -1, 1, 1, 1) for values in (LATENT_MEAN, LATENT_STD))
    expected = normalised * std + mean
    difference = ((latents(server, outputs) - expected).norm() / expected.norm()).item()
    record_property("relative difference of the latents", difference)
    assert difference < 1e-3

    headless = pipeline.generate(case.scene, case.prompt, settings)[0].numpy()
    shown = np.stack([np.array(Image.open(path)) for path in sorted(server.saved(outputs, "images"))])
    assert shown.shape == headless.shape
    assert np.abs(shown.astype(int) - headless).max() <= 2  # of 255: ComfyUI truncates to 8 bit, we round
    (path,) = server.saved(outputs, "save")
    assert frames(path).shape == headless.shape
