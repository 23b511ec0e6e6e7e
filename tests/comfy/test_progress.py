"""Progress of a long run: bars, previews and Interrupt, over ComfyUI's websocket."""

from __future__ import annotations

import itertools
import shutil
from io import BytesIO
from typing import NamedTuple

import numpy as np
import pytest
from graphs import CASE, HEIGHT, WIDTH, custom_sampled, latents, node, sampled, scene_graph, uncached
from listener import ENDS, Listener, Message, progress_of
from PIL import Image

PICTURES = 7  # of `graphs.scene_graph`
STEPS = 4
SLOW = {"width": 192, "height": 128}  # a step takes longer than receiving its report and answering
PHRASES = ("lamp", "bed", "jacket")
SAMPLERS = {"stock sampler": sampled, "sampler of LumosX": custom_sampled}
SPACES = itertools.count(1)


class Run(NamedTuple):
    sampler: str
    heard: list[Message]
    outputs: dict


@pytest.fixture(scope="module")
def listener(server):
    with Listener(server) as listener:
        yield listener


@pytest.fixture(scope="module", params=SAMPLERS)
def run(request, listener) -> Run:
    """A run that nothing disturbed, with previews."""
    return Run(request.param, *finished(listener, video_graph(request.param), preview_method="latent2rgb"))


@pytest.fixture(scope="module")
def finders(server):
    """Miniatures of the networks that find and mask things, in ComfyUI's folders."""
    for package in ("transformers", "scipy"):
        pytest.importorskip(package, reason=f"{package} is not installed")
    from tiny_networks import write_grounding_dino, write_sam2

    folders = {
        "box_model": server.directory / "models" / "grounding-dino" / "progress",
        "mask_model": server.directory / "models" / "sams" / "progress",
    }
    write_grounding_dino(folders["box_model"])
    write_sam2(folders["mask_model"])
    yield {name: folder.name for name, folder in folders.items()}
    for folder in folders.values():
        shutil.rmtree(folder)


def video_graph(sampler: str, steps: int = STEPS, **size) -> dict:
    graph = uncached(SAMPLERS[sampler](scene_graph(**size), steps=steps))
    return {**graph, "latent": node("SaveLatent", samples=["sampler", 0], filename_prefix="latent")}


def segment_graph(finders) -> dict:
    inputs = {"threshold": 0.01, "instances": "best", "picks": "", "mask_threshold": 0.05, "feather": 1.0}
    return {
        "photo": node("LoadImage", image=f"{CASE}/background/cozy, warmly lit room.png"),
        "segment": node(
            "LumosXSegment",
            image=["photo", 0],
            phrases=", ".join(PHRASES) + " " * next(SPACES),  # in other words: ComfyUI would answer from its cache
            **finders,
            **inputs,
        ),
        "preview": node("PreviewImage", images=["segment", 0]),
    }


def finished(listener, graph: dict, **extra) -> tuple[list[Message], dict]:
    """The messages of a whole run, and its outputs."""
    run = listener.queue(graph, **extra)
    heard = listener.until_end(run)
    assert heard[-1].kind == "execution_success", heard[-1].data
    return heard, listener.server.wait(run)


def interrupted(listener, graph: dict, name: str, at: float) -> list[Message]:
    """Press Interrupt when the bar of a node has come to `at`: what is heard afterwards."""
    run = listener.queue(graph)
    while not progress_of([message := listener.hear()], name) or message.data["value"] < at:
        assert message.kind not in ENDS, f"{name} came to its end without a bar at {at}"
    listener.server.post("/interrupt", {})
    return listener.until_end(run)


UNTHROTTLED = "0.8.0"  # later hosts leave out what a bar shows within a tenth of a second


def is_shown(bar: list, expected: list) -> bool:
    """Whether a bar went through the expected values, of which later hosts leave some out."""
    left = iter(expected)
    return bar[:1] == expected[:1] and bar[-1:] == expected[-1:] and all(value in left for value in bar)


def test_each_step_of_sampling_is_shown(run):
    assert progress_of(run.heard, "sampler") == [(step, STEPS) for step in range(1, STEPS + 1)]


def test_each_picture_of_a_scene_is_shown_as_it_is_encoded(run):
    assert is_shown(progress_of(run.heard, "video"), [(done, PICTURES) for done in range(1, PICTURES + 1)])


def test_loading_finding_and_each_cut_out_of_a_segmentation_are_shown(comfyui, listener, finders):
    heard, _ = finished(listener, segment_graph(finders))
    values, most = zip(*progress_of(heard, "segment"), strict=True)
    assert set(most) == {3}
    every = [0, 0.5, 1, 2, 2.333, 2.667]
    shown = [round(value, 3) for value in values]
    if comfyui.version == UNTHROTTLED:
        assert shown == every
    else:
        left = iter(every)
        assert shown[0] == 0 and len(shown) >= 3 and all(value in left for value in shown)


def test_previews_show_the_video_and_not_its_references(run, server, run_in_comfyui, tmp_path):
    """The last preview is the picture that ComfyUI makes of the finished video's latents, and of nothing else."""
    previews = [Image.open(BytesIO(message.data)) for message in run.heard if message.kind == "preview"]
    assert len(previews) == STEPS
    assert {preview.format for preview in previews} <= {"JPEG", "PNG"}
    assert all(preview.width / preview.height == pytest.approx(WIDTH / HEIGHT, rel=0.01) for preview in previews)

    [file] = server.saved(run.outputs, "latent")
    run_in_comfyui(
        """
import comfy.latent_formats, latent_preview
from safetensors.torch import load_file
format = comfy.latent_formats.Wan21()
show = latent_preview.Latent2RGBPreviewer(format.latent_rgb_factors, format.latent_rgb_factors_bias)
show.decode_latent_to_preview(format.process_in(load_file(arguments["file"])["latent_tensor"])).save(arguments["to"])
result = None
""",
        file=str(file),
        to=str(tmp_path / "expected.png"),
    )
    expected = Image.open(tmp_path / "expected.png").resize(previews[-1].size, Image.Resampling.BILINEAR)
    assert _apart(previews[-1], expected) < 3
    assert _apart(previews[-1], expected.transpose(Image.Transpose.ROTATE_180)) > 12  # others differ from it


def _apart(one: Image.Image, other: Image.Image) -> float:
    """The mean difference of two pictures' values, of 255."""
    return float(np.abs(np.asarray(one, np.float32) - np.asarray(other, np.float32)).mean())


def test_interrupt_stops_sampling_within_a_step_and_leaves_nothing_behind(run, listener):
    after = interrupted(listener, video_graph(run.sampler, steps=50, **SLOW), "sampler", at=2)
    assert after[-1].kind == "execution_interrupted" and after[-1].data["node_id"] == "sampler"
    assert len(progress_of(after, "sampler")) <= 1
    _, outputs = finished(listener, video_graph(run.sampler))
    assert latents(listener.server, outputs).equal(latents(listener.server, run.outputs))


def test_interrupt_stops_the_encoding_of_a_scene_within_a_picture_and_leaves_nothing_behind(run, listener):
    after = interrupted(listener, video_graph(run.sampler, width=384, height=256), "video", at=2)
    assert after[-1].kind == "execution_interrupted" and after[-1].data["node_id"] == "video"
    assert len(progress_of(after, "video")) <= 1
    _, outputs = finished(listener, video_graph(run.sampler))
    assert latents(listener.server, outputs).equal(latents(listener.server, run.outputs))


def test_interrupt_stops_a_segmentation_before_the_next_network(comfyui, listener, finders):
    _, first = finished(listener, segment_graph(finders))
    at = 1 if comfyui.version == UNTHROTTLED else 0
    after = interrupted(listener, segment_graph(finders), "segment", at=at)
    assert after[-1].kind == "execution_interrupted" and after[-1].data["node_id"] == "segment"
    assert len(progress_of(after, "segment")) <= 1
    _, again = finished(listener, segment_graph(finders))
    one, other = ([Image.open(path) for path in listener.server.saved(each, "preview")] for each in (first, again))
    assert len(one) == len(PHRASES) and [_apart(*pair) for pair in zip(one, other, strict=True)] == [0] * len(PHRASES)


def test_interrupt_while_one_network_works_keeps_the_next_one_from_starting(run_in_comfyui, server, finders):
    result = run_in_comfyui(
        """
import comfy.model_management as memory
import folder_paths
folder_paths.models_dir = arguments["models"]
models = sys.modules["pack.nodes.bridges.photo_models_bridge"]
find, called = models.phrase_finder(arguments["box_model"], 0.01), []
masks = models.segmenter(arguments["mask_model"])
seen, looked = find.network.find, masks.network.look_at
find.network.find = lambda *rest: (called.append("find"), memory.interrupt_current_processing(), seen(*rest))[-1]
masks.network.look_at = lambda *rest: (called.append("look"), looked(*rest))[-1]
segment = sys.modules["pack.nodes.segment"].LumosXSegment
image = torch.rand(1, 90, 120, 3, generator=torch.Generator().manual_seed(0))
try:
    segment.execute(image, "lamp", arguments["box_model"], arguments["mask_model"], 0.01, "all", "", 0.05, 1.0)
except memory.InterruptProcessingException:
    called.append("stopped")
result = called
""",
        models=str(server.directory / "models"),
        **finders,
    )
    assert result == ["find", "stopped"]


def test_each_word_of_a_language_models_answer_is_shown(run_in_comfyui, comfyui, tmp_path):
    for package in ("transformers", "torchvision"):
        pytest.importorskip(package, reason=f"{package} is not installed")
    from tiny_language_model import write_tiny_model

    write_tiny_model(tmp_path / "LLM" / "qwen")
    result = run_in_comfyui(
        """
import comfy.utils, folder_paths
folder_paths.models_dir = arguments["models"]
models = sys.modules["pack.nodes.bridges.photo_models_bridge"]
sys.modules["pack.lumosx_core.auto_scene.plan.language_model"].NEW_TOKENS = models.NEW_TOKENS = 4
bar = []
comfy.utils.set_progress_bar_global_hook(lambda value, total, preview, node_id=None: bar.append((value, total)))
model = models.language_model("qwen", models.Progress(5))
model.ask([torch.rand(64, 64, 3)], [{"role": "user", "content": "Who is there?"}])
result = bar
""",
        models=str(tmp_path),
    )
    words = [[i / 4, 5] for i in range(5)]
    if comfyui.version == UNTHROTTLED:
        assert result[:5] == words
    else:
        assert result and all(each in words for each in result[:-1])
