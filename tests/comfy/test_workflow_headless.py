"""A workflow gives without ComfyUI what it gives in ComfyUI: the same pictures, the same video."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from comfy_server import ROOT
from graphs import PROMPT, custom_sampled, frames, latents, node, relative, saved, scene_graph
from PIL import Image
from workflow_graphs import PICTURE_FILES, write_picture

from lumosx_core.commands.main import main
from lumosx_core.models.lumosx.pipeline import LumosXPipeline
from lumosx_core.models.wan.vae import LATENT_MEAN, LATENT_STD, WanVae
from lumosx_core.workflow.image_nodes import Pictures
from lumosx_core.workflow.run import read_video
from lumosx_core.workflow.saved.file import read_workflow
from lumosx_core.workflow.saved.graph import Graph
from lumosx_core.workflow.saved.ui_format import api_prompt
from lumosx_core.workflow.values import Values


def whole_workflow() -> dict:
    """Two people by most of the nodes that run headless: masks, batches, examples, strengths, texts, numbers."""
    graph = scene_graph()
    graph["plain"] = node("UNETLoader", unet_name="lumosx-tiny.safetensors", weight_dtype="default")
    graph["model"] = node("LumosXApply", model=["plain", 0], mcam_ratio=0.25, r2pe=True, csam=False, mcam=True)
    graph["see_through"] = node("LoadImage", image="see through.png")
    graph["visible"] = node("InvertMask", mask=["see_through", 1])
    graph["channel"] = node("LoadImageMask", image="see through.png", channel="red")
    graph["faces"] = node("ImageBatch", image1=["man_face", 0], image2=["woman_face", 0])
    graph["second_face"] = node("ImageFromBatch", image=["faces", 0], batch_index=1, length=1)
    graph["example"] = node("LumosXExamplePicture", picture="two_people/objects/red coffee cup.png")
    graph["text"] = node("PrimitiveStringMultiline", value=PROMPT.split(" by ")[0])
    graph["rest"] = node("StringConcatenate", string_a=["text", 0], string_b=PROMPT.split(" by ")[1], delimiter=" by ")
    graph["width"] = node("PrimitiveInt", value=96)
    graph["man"]["inputs"] |= {"face": ["faces", 0], "face_strength": 1.5, "end_percent": 0.8, "strength": 0.7}
    graph["man"]["inputs"] |= {"attribute_1": ["see_through", 0], "attribute_1_mask": ["visible", 0]}
    graph["woman"]["inputs"] |= {"face": ["second_face", 0], "attribute_1_strength": 0.0}
    graph["belt"] = node(
        "LumosXSubject", attribute_1=["see_through", 0], attribute_1_mask=["channel", 0], attribute_1_phrase="room"
    )
    graph["woman"]["inputs"]["more.more_attributes_1"] = ["belt", 0]
    graph["scene"]["inputs"]["object_1"] = ["example", 0]
    graph["video"]["inputs"] |= {"positive_prompt": ["rest", 0], "width": ["width", 0], "batch_size": 2}
    return custom_sampled(graph, seed=2**40 + 3, steps=5)


@pytest.fixture(scope="module")
def pictures(server):
    for name in PICTURE_FILES:
        write_picture(server.directory / "input" / name)


def headless(graph: dict, server, models):
    """The latents that the workflow gives without ComfyUI, as ComfyUI writes latents, and its videos."""
    video = read_video(Graph(graph), server.directory / "input")
    pipeline = LumosXPipeline(video.weights.find(models), device="cpu", dtype=torch.float32)
    vae = WanVae.load(pipeline.files.vae)
    normalised = pipeline.sample(pipeline.prepare(video.scene, video.prompt, video.settings, vae), video.settings)
    mean, std = (torch.tensor(each).view(1, -1, 1, 1, 1) for each in (LATENT_MEAN, LATENT_STD))
    return normalised * std + mean


def variants():
    yield "a whole one", whole_workflow()
    for name, changes, output in (("dropped", {"negative_references": "dropped"}, 1), ("negative text", {}, 3)):
        graph = custom_sampled(scene_graph(**changes))
        graph["guider"]["inputs"]["negative"] = ["video", output]
        # At these levels the timesteps are whole numbers: without a scene, the network is ComfyUI's own, which takes
        # their fractions too.
        graph["sigmas"]["inputs"] = {"steps": 4, "shift": 1.0}
        yield name, graph
    alone = custom_sampled(scene_graph())
    alone["guider"] = node("BasicGuider", model=["model", 0], conditioning=["video", 0])
    yield "no guidance", alone


@pytest.mark.parametrize(("name", "graph"), [pytest.param(*each, id=each[0]) for each in variants()])
def test_the_latents_are_those_of_comfyui(server, pictures, tiny_models, record_property, name, graph):
    outputs = server.run(saved(graph))
    difference = relative(headless(graph, server, tiny_models), latents(server, outputs))
    record_property("relative difference of the latents", difference)
    assert difference < 1e-3


def test_the_command_writes_the_video_that_comfyui_saves(server, pictures, tiny_models, tmp_path):
    graph = saved(whole_workflow())
    graph |= {"images": node("SaveImage", images=["decode", 0], filename_prefix="frame")}
    outputs = server.run(graph)
    shown = np.stack([np.array(Image.open(path)) for path in sorted(server.saved(outputs, "images"))])
    (tmp_path / "workflow.json").write_text(json.dumps(graph))
    command = ["generate", tmp_path / "workflow.json", "--out", tmp_path / "video.mp4", "--model", tiny_models]
    command += ["--input", server.directory / "input", "--device", "cpu"]
    assert main(list(map(str, command))) == 0
    found = np.concatenate([frames(tmp_path / f"video_{i}.mp4") for i in range(2)])
    assert found.shape == shown.shape
    # What the file loses by compression is small against what another video would differ by.
    assert np.abs(found.astype(int) - shown).mean() < 4


def test_a_scene_in_a_subgraph_gives_the_latents_of_comfyui(server, pictures, tiny_models, tmp_path):
    """A file that a page saved, with the sampler in a subgraph; and the video of it carries the workflow along."""
    shared = json.loads((ROOT / "tests/core/workflow/saved/promoted seed, 1.58.1.json").read_text(encoding="utf-8"))
    graph, unreadable = api_prompt(shared["workflow"])
    assert graph == shared["output"] and not unreadable
    [sampler] = [id for id, each in graph.items() if each["class_type"] == "SamplerCustomAdvanced"]
    assert ":" in sampler
    graph |= saved({"vae": graph["7"]}, sampler)
    outputs = server.run(graph)
    found = headless(graph, server, tiny_models)
    assert relative(found, latents(server, outputs)) < 1e-3
    graph[next(id for id, each in graph.items() if each["class_type"] == "RandomNoise")]["inputs"]["noise_seed"] += 1
    assert relative(headless(graph, server, tiny_models), found) > 0.1

    [video] = server.saved(outputs, "save")
    assert read_workflow(video).node(sampler).type == "SamplerCustomAdvanced"
    command = [
        "generate",
        video,
        "--out",
        tmp_path / "again.mp4",
        "--device",
        "cpu",
        "--input",
        server.directory / "input",
    ]
    assert main([str(each) for each in command]) == 0


SCRIPT = """
import folder_paths, nodes, torch
folder_paths.set_input_directory(arguments["folder"])
from comfy_extras.nodes_mask import InvertMask
result = {}
for name in arguments["names"]:
    image, mask = nodes.LoadImage().load_image(name)
    load_channel = getattr(nodes.LoadImageMask(), nodes.LoadImageMask.FUNCTION)
    channel = [load_channel(name, channel)[0] for channel in ("alpha", "red", "green", "blue")]
    result[name] = [image.tolist(), mask.tolist()] + [each.tolist() for each in channel]
names = arguments["names"]
batch = nodes.ImageBatch().batch(nodes.LoadImage().load_image(names[0])[0], nodes.LoadImage().load_image(names[-1])[0])
result["batch"] = batch[0].tolist()
"""


# The most that a pixel may differ by, of 255, where ComfyUI reads with PyAV. It reads all others to the bit.
ROUNDED = {"plain.jpg": 6, "turned.jpg": 6, "grey and alpha.png": 1, "deep.png": 1, "two frames.gif": 1}
WHITE = {"0.8.0": {"deep.png"}}  # what Pillow makes of 16 bits in ComfyUI


def test_pictures_and_masks_are_read_as_comfyui_reads_them(run_in_comfyui, comfyui, tmp_path):
    for name in PICTURE_FILES:
        write_picture(tmp_path / name, soft=True)  # who reads a JPEG decides what is in its noise
    expected = run_in_comfyui(SCRIPT, folder=str(tmp_path), names=list(PICTURE_FILES))
    by_pyav = comfyui.version != "0.8.0"

    def same(ours, theirs, name):
        theirs = torch.tensor(theirs)
        if theirs.max() < 0.001:  # no transparency: of whatever size
            assert not ours.any(), name
            return
        theirs = theirs[: len(ours)]  # of an animation's channel
        assert ours.shape == theirs.shape, name
        most = ROUNDED.get(name, 0) if by_pyav else 0
        assert (ours - theirs).abs().max() <= (most + 0.01) / 255 if most else torch.equal(ours, theirs), name

    for name in PICTURE_FILES:
        graph = {"1": node("LoadImage", image=name), "0": node("Any", image=["1", 0], mask=["1", 1])}
        for channel in ("alpha", "red", "green", "blue"):
            graph[channel] = node("LoadImageMask", image=name, channel=channel)
            graph["0"]["inputs"][channel] = [channel, 0]
        reader, asking = reader_of(graph, tmp_path)
        found = [reader.image(asking, "image")]
        found += [reader.mask(asking, each) for each in ("mask", "alpha", "red", "green", "blue")]
        if name in WHITE.get(comfyui.version, ()):
            assert torch.tensor(expected[name][0]).mean() > 0.99 and 0.2 < found[0].mean() < 0.8
            continue
        for ours, theirs in zip(found, expected[name], strict=True):
            same(ours, theirs, name)
    first, *_, last = PICTURE_FILES
    graph = {"1": node("LoadImage", image=first), "2": node("LoadImage", image=last)}
    graph["3"] = node("ImageBatch", image1=["1", 0], image2=["2", 0])
    reader, asking = reader_of({**graph, "0": node("Any", image=["3", 0])}, tmp_path)
    same(reader.image(asking, "image"), expected["batch"], first)


def reader_of(graph: dict, folder):
    graph = Graph(graph)
    return Pictures(Values(graph, None), folder), graph.node("0")
