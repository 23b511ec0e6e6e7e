"""LumosX Self-Routing in a real ComfyUI: off it changes nothing, on it leaves nothing behind."""

import pytest
import torch
from comfy_server import Failure
from graphs import (
    HEIGHT,
    LENGTH,
    WIDTH,
    context_windows,
    custom_sampled,
    latents,
    node,
    sample,
    sampled,
    scene_graph,
    uncached,
)

STEPS = 5


def routed(graph: dict, model: str = "model", **inputs) -> dict:
    settings = {"strength": 2.0, "start_percent": 0.0, "end_percent": 1.0, **inputs}
    return {**graph, "routed": node("LumosXSelfRouting", model=[model, 0], **settings)}


def half(graph: dict, name: str, x: int) -> dict:
    """The graph with a mask of the left (x = 0) or right half."""
    side = node("SolidMask", value=1.0, width=WIDTH // 2, height=HEIGHT)
    empty = node("SolidMask", value=0.0, width=WIDTH, height=HEIGHT)
    settings = {"x": x, "y": 0, "operation": "add"}
    joined = node("MaskComposite", destination=["empty", 0], source=["half", 0], **settings)
    return {**graph, "half": side, "empty": empty, name: joined}


def tracked(graph: dict, mask: str, name: str, frames: int = LENGTH) -> dict:
    """The graph with a mask repeated for each frame."""
    return {
        **graph,
        f"{name}_image": node("MaskToImage", mask=[mask, 0]),
        f"{name}_images": node("RepeatImageBatch", image=[f"{name}_image", 0], amount=frames),
        name: node("ImageToMask", image=[f"{name}_images", 0], channel="red"),
    }


def run(graph: dict, **changes) -> dict:
    return sampled(graph, model="routed", **{"steps": STEPS, **changes})


@pytest.fixture(scope="module")
def plain(server) -> torch.Tensor:
    return sample(server, sampled(scene_graph(batch_size=2), steps=STEPS))


def test_off_it_changes_no_bit(server, plain):
    assert torch.equal(sample(server, run(routed(scene_graph(batch_size=2), strength=0.0))), plain)


def test_measured_regions_change_the_video_after_they_were_measured_and_runs_repeat(server, plain):
    graph = run(routed(scene_graph(batch_size=2)))
    first = sample(server, graph)
    assert first.isfinite().all() and not torch.allclose(first, plain, atol=1e-3)
    assert torch.equal(sample(server, graph), first)
    late = routed(scene_graph(batch_size=2), start_percent=0.0, end_percent=0.01)  # over before it was measured
    assert torch.equal(sample(server, run(late)), plain)


def test_each_video_of_a_batch_has_regions_of_its_own(server):
    """The first video of a batch is the one that is sampled alone: its regions have nothing of the other's."""
    both = sample(server, run(routed(scene_graph(batch_size=2))))
    alone = sample(server, run(routed(scene_graph())))
    assert torch.allclose(both[:1], alone, atol=2e-3)


@pytest.mark.parametrize("cfg", [1.0, 6.0])
def test_masks_say_who_is_where_and_a_tracked_mask_that_stands_still_is_a_still_one(server, cfg):
    graph = half(half(scene_graph(), "left", 0), "right", WIDTH // 2)
    found = {}
    for name, masks in {
        "drawn": {"mask_1": ["left", 0], "mask_2": ["right", 0]},
        "exchanged": {"mask_1": ["right", 0], "mask_2": ["left", 0]},
        "one": {"mask_2": ["right", 0]},
        "moving": {"mask_1": ["left_frames", 0], "mask_2": ["right", 0]},
    }.items():
        moving = tracked(graph, "left", "left_frames") if name == "moving" else graph
        found[name] = sample(server, run(routed(moving, **masks), cfg=cfg))
    assert torch.allclose(found["drawn"], found["moving"], atol=1e-4)
    for other in ("exchanged", "one"):
        assert not torch.allclose(found["drawn"], found[other], atol=1e-2)


@pytest.mark.parametrize("sampler", ["euler", "uni_pc", "dpmpp_2m"])
def test_stock_samplers_windows_and_late_subjects_work(server, sampler):
    sizes = {"context_length": 9, "context_overlap": 5, "context_stride": 1, "closed_loop": False}
    ways = {"context_schedule": "standard_static", "fuse_method": "pyramid", "freenoise": False}
    graph = scene_graph(length=21)
    graph["man"]["inputs"] |= {"face_strength": 0.5, "start_percent": 0.3}
    graph["windows"] = context_windows(server, ["model", 0], **sizes, **ways)
    graphs = (routed(graph, "windows", strength=strength) for strength in (0.0, 2.0))
    off, on = (sample(server, run(each, sampler_name=sampler)) for each in graphs)
    assert on.isfinite().all() and not torch.allclose(on, off, atol=1e-3)


def test_the_best_of_several_seeds_is_the_routed_run_of_its_seed(server):
    graph = routed(scene_graph())
    settings = {"noise_seed": 7, "seeds": 2, "score_after": 0.4, "keep": 1}
    best = custom_sampled(graph, steps=STEPS, cfg=1.0)
    best["guider"]["inputs"]["model"] = ["routed", 0]
    inputs = {name: [name, 0] for name in ("guider", "sigmas")}
    inputs |= {"sampler": ["solver", 0], "latent_image": ["video", 2]}
    best["best"] = node("LumosXBestOf", **inputs, **settings)
    best["seed"] = node("PreviewAny", source=["best", 1])
    best["latent"] = node("SaveLatent", samples=["best", 0], filename_prefix="latent")
    outputs = server.run(uncached({name: each for name, each in best.items() if name != "sampler"}))
    single = custom_sampled(graph, seed=int("".join(outputs["seed"]["text"])), steps=STEPS, cfg=1.0)
    single["guider"]["inputs"]["model"] = ["routed", 0]
    assert torch.equal(latents(server, outputs), sample(server, single))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda graph: routed(graph, mask_1=["empty", 0]), "The mask of subject 1 is empty. White is where"),
        (lambda graph: routed(graph, mask_3=["left", 0]), "a mask for subject 3, but the scene has 2 subjects"),
        (
            lambda graph: routed(tracked(graph, "left", "few", 4), mask_1=["few", 0]),
            f"The mask of subject 1 has 4 frames, but the video has {LENGTH}",
        ),
        (lambda graph: routed(graph, start_percent=0.5, end_percent=0.5), "begins at 0.5 and ends at 0.5"),
    ],
)
def test_what_cannot_be_is_refused(server, change, message):
    with pytest.raises(Failure, match=message):
        sample(server, run(change(half(scene_graph(), "left", 0))))


INTERRUPTED = """
import comfy.model_management, comfy.sd, nodes
from pack.lumosx_core import ReferenceLayout, RelationalOptions
from pack.lumosx_core.attention_map.self_routing.routing import SelfRouting
from pack.lumosx_core.scene.encoded import EncodedScene
from pack.nodes.bridges import routing_bridge
from pack.nodes.bridges.comfy_bridge import attach_scene, patch_model
import gc, weakref

plain = patch_model(comfy.sd.load_diffusion_model(arguments["model"]), RelationalOptions())
model = routing_bridge.route_model(plain, SelfRouting(2.0))
mask = torch.zeros(4, 512, dtype=torch.bool)
latents = torch.randn(1, 16, 4, 8, 12)
scene = EncodedScene(latents, ReferenceLayout(1, (2, 1)), mask)
text = attach_scene([[torch.randn(1, 512, 4096), {}]], scene)
latent = {"samples": torch.zeros(1, 16, 2, 8, 12)}
runs = []
begin = routing_bridge.RoutedRun.begin

def watched(run, step):
    runs.append(weakref.ref(run))
    if step == stop_at:
        comfy.model_management.interrupt_current_processing(True)
    begin(run, step)

routing_bridge.RoutedRun.begin = watched
def sampled(model):
    try:
        return nodes.common_ksampler(model, 1, 5, 1.0, "euler", "simple", text, text, latent)[0]["samples"]
    except comfy.model_management.InterruptProcessingException:
        return None

stop_at = 3
interrupted = sampled(model) is None
stop_at = None
first, second, off = sampled(model), sampled(model), sampled(plain)
gc.collect()
alive = sum(run() is not None for run in runs)
left = [key for key in model.model_options["transformer_options"] if key == routing_bridge.KEY]
result = [interrupted, len(runs) > 5, alive, left, torch.equal(first, second), torch.equal(first, off)]
"""


def test_an_interrupted_run_leaves_nothing_and_the_original_model_is_unchanged(run_in_comfyui, tiny_models):
    path = str(tiny_models / "diffusion_models" / "lumosx-tiny.safetensors")
    interrupted, several, alive, left, repeats, equal = run_in_comfyui(INTERRUPTED, model=path)
    assert interrupted and several and alive == 0 and left == []
    assert repeats and not equal
