"""LumosX Best Of in a real ComfyUI: it takes SamplerCustomAdvanced's place, and its video is that of a plain run."""

import pytest
import torch
from comfy_server import Failure
from graphs import custom_sampled, latents, node, sample, scene_graph, uncached
from listener import Listener, progress_of

STEPS = 4


def best_graph(video: dict | None = None, cfg: float = 1.0, **changes) -> dict:
    """The graph with LumosX Best Of in the place of SamplerCustomAdvanced, and its report and scores as text."""
    graph = custom_sampled(scene_graph(**(video or {})), steps=STEPS, cfg=cfg)
    settings = {"noise_seed": 7, "seeds": 3, "score_after": 0.5, "keep": 1}
    inputs = {name: [name, 0] for name in ("guider", "sigmas")}
    inputs |= {"sampler": ["solver", 0], "latent_image": ["video", 2], **settings, **changes}
    del graph["noise"]
    return {
        **graph,
        "sampler": node("LumosXBestOf", **inputs),
        "seed": node("PreviewAny", source=["sampler", 1]),
        "scores": node("PreviewAny", source=["sampler", 2]),
        "report": node("PreviewAny", source=["sampler", 3]),
    }


def run_best(server, graph: dict) -> tuple[torch.Tensor, int, list[float], str]:
    graph = uncached(graph)
    graph["latent"] = node("SaveLatent", samples=["sampler", 0], filename_prefix="latent")
    outputs = server.run(graph)
    seed, report = ("".join(outputs[name]["text"]) for name in ("seed", "report"))
    return latents(server, outputs), int(seed), [float(text) for text in outputs["scores"]["text"]], report


def plain(server, seed: int, solver: dict | None = None, cfg: float = 1.0) -> torch.Tensor:
    graph = custom_sampled(scene_graph(), seed=seed, steps=STEPS, cfg=cfg)
    return sample(server, graph if solver is None else {**graph, "solver": solver})


@pytest.mark.parametrize("cfg", [1.0, 6.0])
def test_the_finished_video_is_bit_identical_to_a_run_of_its_seed(server, cfg):
    samples, seed, scores, report = run_best(server, best_graph(cfg=cfg))
    assert len(scores) == 3 and len(set(scores)) == 3 and all(0 < score < 1 for score in scores)
    assert seed == 7 + max(range(3), key=scores.__getitem__)
    assert torch.equal(samples, plain(server, seed, cfg=cfg))
    lines = report.splitlines()
    assert len(lines) == 4 and lines[-1] == "8 steps in all, as many as 2.00 runs."
    assert lines[seed - 7] == f"Seed {seed}: score {max(scores):.3f} after 2 of 4 steps, finished."


@pytest.mark.parametrize("name", ["euler", "dpmpp_2m", "euler_ancestral"])
def test_other_samplers_start_again_and_give_the_same_bits(server, name):
    solver = node("KSamplerSelect", sampler_name=name)
    samples, seed, scores, report = run_best(server, {**best_graph(), "solver": solver})
    assert seed == 7 + max(range(3), key=scores.__getitem__)
    assert torch.equal(samples, plain(server, seed, solver))
    assert report.splitlines()[-1] == "10 steps in all, as many as 2.50 runs."


def test_the_best_two_come_best_first_and_a_score_at_the_end_costs_whole_runs(server):
    samples, seed, scores, report = run_best(server, best_graph(keep=2, score_after=1.0))
    order = sorted(range(3), key=lambda number: -scores[number])
    assert samples.shape[0] == 2 and seed == 7 + order[0]
    for video, number in zip(samples, order, strict=False):
        assert torch.equal(video[None], plain(server, 7 + number))
    assert f"Seed {7 + order[1]}: score {scores[order[1]]:.3f} after 4 of 4 steps, finished as video 1." in report
    assert report.splitlines()[-1] == "12 steps in all, as many as 3.00 runs."


def test_record_attention_covers_the_whole_run_of_the_best(server):
    """The map of the best video is that of a plain run, although its run was paused."""

    def mapped(graph: dict) -> list[float]:
        graph["record"] = node("LumosXRecordAttention", model=["model", 0], steps="", layers="")
        graph["guider"]["inputs"]["model"] = ["record", 0]
        graph["map"] = node("LumosXAttentionMap", attention=["record", 1], samples=["sampler", 0], frames=1)
        graph["map_scores"] = node("PreviewAny", source=["map", 1])
        outputs = server.run(uncached(graph))
        return [float(text) for text in outputs["map_scores"]["text"]], outputs

    found, outputs = mapped(best_graph())
    seed = int("".join(outputs["seed"]["text"]))
    expected, _ = mapped(custom_sampled(scene_graph(), seed=seed, steps=STEPS, cfg=1.0))
    assert found == expected


@pytest.mark.parametrize(
    ("video", "changes", "message"),
    [
        ({"batch_size": 2}, {}, r"latent_image has 2 videos, but LumosX Best Of makes one video of each seed"),
        ({}, {"seeds": 2, "keep": 3}, r"3 videos are to be kept of 2 seeds. Keep 1 to 2"),
    ],
)
def test_what_cannot_be_is_refused(server, video, changes, message):
    with pytest.raises(Failure, match=message):
        run_best(server, best_graph(video, **changes))


def test_subjects_that_come_later_are_refused(server):
    graph = best_graph(score_after=0.25)
    for subject in ("man", "woman"):
        graph[subject]["inputs"]["start_percent"] = 0.9
    with pytest.raises(Failure, match="no reference image was seen|No subject was seen"):
        run_best(server, graph)


def test_a_run_without_a_scene_is_refused(server):
    graph = best_graph()
    graph["guider"]["inputs"] |= {"positive": ["video", 3], "negative": ["video", 3]}
    with pytest.raises(Failure, match="no scene reached the MODEL"):
        run_best(server, graph)


INTERRUPTED = """
import comfy.model_management, comfy.samplers, comfy.sd
from pack.lumosx_core import ReferenceLayout, RelationalOptions
from pack.lumosx_core.sampling.schedule import flow_sigmas
from pack.lumosx_core.scene.encoded import EncodedScene
from pack.nodes.evaluation.best_of import LumosXBestOf
from pack.nodes.bridges.comfy_bridge import attach_scene, patch_model
from pack.nodes.sampling import LumosXSampler

model = patch_model(comfy.sd.load_diffusion_model(arguments["model"]), RelationalOptions())
mask = torch.zeros(3, 512, dtype=torch.bool)
scene = EncodedScene(torch.randn(1, 16, 3, 8, 12), ReferenceLayout(1, (2,)), mask, labels=("room", "man", "jacket"))
text = attach_scene([[torch.randn(1, 512, 4096), {}]], scene)
guider = comfy.samplers.CFGGuider(model)
guider.set_conds(text, text)
guider.set_cfg(1.0)
latent = {"samples": torch.zeros(1, 16, 2, 8, 12)}
steps = []

def run(stop_at=None):
    def watch(executor, *args, **kwargs):
        steps.append(1)
        if len(steps) == stop_at:
            comfy.model_management.interrupt_current_processing(True)
        return executor(*args, **kwargs)

    watched = model.clone()
    watched.add_wrapper_with_key("diffusion_model", "watch", watch)
    guider.model_patcher, guider.model_options = watched, watched.model_options
    steps.clear()
    output = LumosXBestOf.execute(guider, LumosXSampler.execute().args[0], flow_sigmas(4, 3.0), latent, 3, 3, 0.5, 1)
    return output.args[0]["samples"], len(steps)

first, taken = run()
try:
    run(stop_at=4)  # within the second seed
    interrupted = False
except comfy.model_management.InterruptProcessingException:
    interrupted = True
after = len(steps)
left = sorted(guider.model_options["transformer_options"])
again, _ = run()
result = [taken, interrupted, after, left, torch.equal(first, again)]
"""


def test_interrupt_ends_all_seeds_and_leaves_nothing(run_in_comfyui, tiny_models):
    path = str(tiny_models / "diffusion_models" / "lumosx-tiny.safetensors")
    taken, interrupted, after, left, same = run_in_comfyui(INTERRUPTED, model=path)
    assert taken == 3 * 2 + 2
    assert interrupted and after <= 5
    assert not [key for key in left if key.startswith("lumosx")]
    assert same


def test_one_bar_counts_the_steps_of_all_seeds_with_previews(server):
    graph = best_graph()
    with Listener(server) as listener:
        run = listener.queue(uncached(graph), preview_method="latent2rgb")
        heard = listener.until_end(run)
    assert heard[-1].kind == "execution_success", heard[-1].data
    bar = progress_of(heard, "sampler")
    assert {most for _, most in bar} == {3 * 2 + 2} and bar[-1][0] == 8
    assert [value for value, _ in bar] == sorted({value for value, _ in bar}) and len(bar) > 4
    assert len([message for message in heard if message.kind == "preview"]) > 4
