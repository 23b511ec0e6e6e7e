"""ComfyUI's own features on a model with a scene: quantised weights, model patches, caches, windows, conditionings."""

import pytest
import torch
from comfy_server import STOCK_TINY
from graphs import STEPS, context_windows, frames, node, relative, sample, sampled, saved, scene_graph

TINY = "lumosx-tiny.safetensors"


def two_scenes() -> dict:
    """The graph with a second scene of as many pictures, in which the shirt is the woman's."""
    graph = scene_graph()
    shirt = {name: graph["man"]["inputs"][name] for name in ("attribute_2", "attribute_2_phrase")}
    man = {name: value for name, value in graph["man"]["inputs"].items() if name not in shirt}
    graph["other_man"] = node("LumosXSubject", **man)
    graph["other_woman"] = node("LumosXSubject", **graph["woman"]["inputs"], **shirt)
    people = {"subjects.subject_1": ["other_man", 0], "subjects.subject_2": ["other_woman", 0]}
    graph["other_scene"] = node("LumosXScene", **{**graph["scene"]["inputs"], **people})
    graph["other"] = node("LumosXSceneToVideo", **{**graph["video"]["inputs"], "scene": ["other_scene", 0]})
    return graph


@pytest.fixture(scope="module")
def plain(server):
    """The output of the scene without any further feature."""
    return sample(server, sampled(scene_graph()))


def stock_and_applied(weight_dtype: str = "default") -> dict:
    """The graph with the stock loader and LumosX Apply next to LumosX Load Model."""
    return {
        **scene_graph(),
        "stock": node("UNETLoader", unet_name=STOCK_TINY, weight_dtype=weight_dtype),
        "applied": node("LumosXApply", model=["stock", 0], mcam_ratio=0.5, r2pe=True, csam=True, mcam=True),
    }


def patched(class_type: str, order: str = "after", **inputs) -> dict:
    """The graph with a model patch of ComfyUI before or after LumosX Apply; "patched" is the model with both."""
    graph = stock_and_applied()
    if order == "after":
        return {**graph, "patched": node(class_type, model=["applied", 0], **inputs)}
    apply = graph.pop("applied")
    apply["inputs"]["model"] = ["patch", 0]
    return {**graph, "patch": node(class_type, model=["stock", 0], **inputs), "patched": apply}


def windows(server, length: int, overlap: int, **changes) -> dict:
    """The graph with ComfyUI's context windows of so many frames."""
    settings = {"context_schedule": "standard_static", "context_stride": 1, "closed_loop": False, "freenoise": False}
    sizes = {"context_length": length, "context_overlap": overlap, "fuse_method": "flat"}
    graph = stock_and_applied()
    graph["patched"] = context_windows(server, ["applied", 0], **sizes, **settings, **changes)
    return graph


def part_of_steps(start: int, end: int, **inputs) -> dict:
    """Stock KSampler (Advanced) for some of the steps; noise comes with the first."""
    return node(
        "KSamplerAdvanced",
        **{
            "model": ["model", 0],
            "positive": ["video", 0],
            "negative": ["video", 1],
            "latent_image": ["video", 2],
            "add_noise": "disable" if start else "enable",
            "noise_seed": 7,
            "steps": STEPS,
            "cfg": 6.0,
            "sampler_name": "euler",
            "scheduler": "simple",
            "start_at_step": start,
            "end_at_step": end,
            "return_with_leftover_noise": "disable" if end == STEPS else "enable",
            **inputs,
        },
    )


def test_the_stock_loader_with_apply_is_load_model(server, plain):
    assert torch.equal(sample(server, sampled(stock_and_applied(), model="applied")), plain)


@pytest.mark.parametrize(("dtype", "most"), [("fp8_e4m3fn", 0.2), ("fp8_e5m2", 0.35)])  # guidance of 6 amplifies it
def test_weights_in_fp8_stay_close_with_either_loader(server, plain, record_property, dtype, most):
    graph = stock_and_applied(dtype)
    graph["model"]["inputs"]["weight_dtype"] = dtype
    ours = sample(server, sampled(graph))
    assert torch.equal(sample(server, sampled(graph, model="applied")), ours)
    difference = relative(ours, plain)
    record_property("relative difference", difference)
    assert 0 < difference < most
    (path,) = server.saved(server.run(saved(sampled(graph))), "save")
    assert frames(path).std() > 1


@pytest.mark.parametrize("order", ["before", "after"])
def test_another_shift_works_before_and_after_apply(server, plain, order):
    """It only changes the noise levels: a sampler that is given these gives the same without the patch."""
    graph = patched("ModelSamplingSD3", order, shift=3.0)
    shifted = sample(server, sampled(graph, model="patched"))
    assert relative(shifted, plain) > 1e-3
    graph["noise"] = node("RandomNoise", noise_seed=7)
    graph["guider"] = node("CFGGuider", model=["model", 0], positive=["video", 0], negative=["video", 1], cfg=6.0)
    graph["solver"] = node("KSamplerSelect", sampler_name="euler")
    graph["sigmas"] = node("BasicScheduler", model=["patched", 0], scheduler="simple", steps=STEPS, denoise=1.0)
    graph["sampler"] = node(
        "SamplerCustomAdvanced",
        **{name: [name, 0] for name in ("noise", "guider", "sigmas")},
        sampler=["solver", 0],
        latent_image=["video", 2],
    )
    assert relative(sample(server, graph), shifted) < 1e-4


@pytest.mark.parametrize("order", ["before", "after"])
@pytest.mark.parametrize("cache", ["EasyCache", "LazyCache"])
def test_step_caches_work_with_a_scene(server, cache, order):
    def cached(threshold):
        settings = {"reuse_threshold": threshold, "start_percent": 0.1, "end_percent": 0.95, "verbose": True}
        return sample(server, sampled(patched(cache, order, **settings), model="patched", steps=8))

    log = len(server.log.read_text())
    lazy = cached(3.0)
    assert "skipping" in server.log.read_text()[log:]
    assert lazy.isfinite().all()
    everything = sample(server, sampled(scene_graph(), steps=8))
    assert torch.equal(cached(0.0), everything)
    assert not torch.equal(lazy, everything)


@pytest.mark.parametrize("retained", [False, True])
@pytest.mark.parametrize("latents", [6, 7])
def test_each_window_over_time_is_a_video_with_the_whole_scene(server, latents, retained):
    """Also with 7 latents: ComfyUI cuts whatever is as long as the video, and the scene has 7 pictures.

    Later hosts put the frame before it ahead of each window but the first, and can retain the first frame of what is
    cut; of a scene nothing is cut.
    """
    later = (
        "retain_first_frame"
        in server.get("/object_info/WanContextWindowsManual")["WanContextWindowsManual"]["input"]["required"]
    )
    changes = {"retain_first_frame": retained, "split_conds_to_windows": retained} if later else {}
    graph = windows(server, length=9, overlap=4 * (latents - 6), **changes)  # two of 3 latents; three that overlap by 1
    graph["video"]["inputs"]["length"] = 4 * latents - 3
    graph["start"] = part_of_steps(0, 1)
    graph["sampler"] = part_of_steps(1, 2, latent_image=["start", 0], model=["patched", 0])
    whole = sample(server, graph)
    for first, alone in {6: ((0, [0, 1, 2]), (3, [3, 4, 5])), 7: ((0, [0, 1]), (2, [3]), (4, [5, 6]))}[latents]:
        before = 1 if later and first else 0
        graph["cut"] = node("LatentCut", samples=["start", 0], dim="t", index=first - before, amount=3 + before)
        graph["sampler"] = part_of_steps(1, 2, latent_image=["cut", 0])
        window = sample(server, graph)
        assert relative(whole[:, :, alone], window[:, :, [frame - first + before for frame in alone]]) < 1e-5


def test_two_combined_conditionings_each_keep_their_own_scene(server):
    """One Euler step without guidance gives the prediction itself, and combined conditionings the mean of theirs."""
    graph = two_scenes()
    graph["both"] = node("ConditioningCombine", conditioning_1=["video", 0], conditioning_2=["other", 0])

    def prediction(source):
        return sample(server, sampled(graph, steps=1, cfg=1.0, positive=[source, 0]))

    one, other, both = prediction("video"), prediction("other"), prediction("both")
    assert relative(one, other) > 1e-3
    assert relative(both, (one + other) / 2) < 1e-5


def test_a_scene_can_be_limited_to_some_steps(server, plain):
    graph = two_scenes()
    graph["early"] = node("ConditioningSetTimestepRange", conditioning=["video", 0], start=0.0, end=0.5)
    graph["late"] = node("ConditioningSetTimestepRange", conditioning=["other", 0], start=0.5, end=1.0)
    graph["both"] = node("ConditioningCombine", conditioning_1=["early", 0], conditioning_2=["late", 0])
    ranged = sample(server, sampled(graph, positive=["both", 0]))

    graph["begin"] = part_of_steps(0, 2)
    graph["sampler"] = part_of_steps(2, STEPS, positive=["other", 0], latent_image=["begin", 0])
    changed = sample(server, graph)
    assert relative(changed, ranged) < 1e-5
    assert relative(changed, plain) > 1e-4


PREVIEW = """
import comfy.sd, comfy.utils, latent_preview, nodes
from comfy.cli_args import args
from pack.lumosx_core import ReferenceLayout
from pack.lumosx_core.scene.encoded import EncodedScene
from pack.lumosx_core import RelationalOptions
from pack.nodes.bridges.comfy_bridge import attach_scene, patch_model

args.preview_method = latent_preview.LatentPreviewMethod.Latent2RGB
sizes = []
comfy.utils.set_progress_bar_global_hook(lambda value, total, preview, node_id=None: sizes.append(preview[1].size))
model = patch_model(comfy.sd.load_diffusion_model(arguments["model"]), RelationalOptions())
scene = EncodedScene(
    torch.randn(1, 16, 3, 8, 12), ReferenceLayout(1, (2,)), torch.zeros(3, 512, dtype=torch.bool)
)
text = attach_scene([[torch.randn(1, 512, 4096), {}]], scene)
latent = {"samples": torch.zeros(1, 16, 2, 8, 12)}
nodes.common_ksampler(model, 3, 2, 5.0, "euler", "simple", text, text, latent)
result = sizes
"""


def test_each_step_of_a_run_with_a_scene_has_a_preview(run_in_comfyui, tiny_models):
    assert run_in_comfyui(PREVIEW, model=str(tiny_models / "diffusion_models" / TINY)) == [[12, 8], [12, 8]]
