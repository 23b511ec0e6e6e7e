"""Recording attention in a real ComfyUI: it changes nothing, finds the right run, and says who is looked at."""

import copy
import re

import numpy as np
import pytest
import torch
from comfy_server import Failure
from graphs import STEPS, context_windows, custom_sampled, node, sample, sampled, scene_graph, uncached
from PIL import Image

GLYPHS = "On the left a woman wearing a shirt with a top hat and on the right a woman in a shirt. It is a meadow."
FOLDER = "glyph_people/subjects"


def recorded(graph: dict, model: str = "model", name: str = "record", **inputs) -> dict:
    return {**graph, name: node("LumosXRecordAttention", model=[model, 0], **{"steps": "", "layers": "", **inputs})}


def mapped(graph: dict, record: str = "record", samples: str = "sampler", name: str = "map", **inputs) -> dict:
    """The graph with LumosX Attention Map behind a sampler; report and scores are shown as text."""
    return {
        **graph,
        name: node("LumosXAttentionMap", attention=[record, 1], samples=[samples, 0], **{"frames": 3, **inputs}),
        f"{name}_scores": node("PreviewAny", source=[name, 1]),
        f"{name}_report": node("PreviewAny", source=[name, 2]),
    }


def read_map(server, outputs: dict, name: str = "map") -> tuple[list[float], str, list[np.ndarray]]:
    scores = [float(text) for text in outputs[f"{name}_scores"]["text"]]
    pictures = [np.asarray(Image.open(path)) for path in server.saved(outputs, name)]
    return scores, "".join(outputs[f"{name}_report"]["text"]), pictures


def run_map(server, graph: dict):
    return read_map(server, server.run(uncached(graph)))


def glyph_graph(**changes) -> dict:
    """Two glyph people whom lumosx-tiny knows how to draw."""
    pictures = {
        "face_1": f"{FOLDER}/1/face_woman#2.png",
        "shirt_1": f"{FOLDER}/1/shirt#2.png",
        "face_2": f"{FOLDER}/2/face_woman#1.png",
        "shirt_2": f"{FOLDER}/2/shirt#1.png",
        "hat": f"{FOLDER}/2/top hat.png",
    }
    graph = scene_graph(width=80, height=64, positive_prompt=GLYPHS, **changes)
    graph |= {name: node("LumosXExamplePicture", picture=path) for name, path in pictures.items()}
    graph["right"] = node(
        "LumosXSubject",
        face=["face_1", 0],
        face_phrase="woman#2",
        attribute_1=["shirt_1", 0],
        attribute_1_phrase="shirt#2",
    )
    graph["left"] = node(
        "LumosXSubject",
        face=["face_2", 0],
        face_phrase="woman#1",
        attribute_1=["shirt_2", 0],
        attribute_1_phrase="shirt#1",
        attribute_2=["hat", 0],
        attribute_2_phrase="top hat",
    )
    graph["scene"] = node("LumosXScene", subjects__subject_1=["right", 0], subjects__subject_2=["left", 0])
    return graph


def glyph_run(**changes) -> dict:
    return sampled(recorded(glyph_graph(**changes)), model="record", steps=8, cfg=1.0)


@pytest.mark.parametrize("cfg", [1.0, 6.0])
def test_recording_changes_no_bit_of_the_latents(server, cfg):
    plain = sample(server, sampled(scene_graph(batch_size=2), cfg=cfg))
    watched = mapped(sampled(recorded(scene_graph(batch_size=2)), model="record", cfg=cfg))
    assert torch.equal(sample(server, watched), plain)


def test_recording_changes_no_bit_with_the_released_solver_and_weak_or_late_pictures(server):
    graph = scene_graph()
    graph["man"]["inputs"] |= {"face_strength": 2.0, "start_percent": 0.3}
    watched = recorded(custom_sampled(graph))
    watched["guider"]["inputs"]["model"] = ["record", 0]
    assert torch.equal(sample(server, mapped(watched)), sample(server, custom_sampled(graph)))


def test_recording_changes_no_bit_in_context_windows_and_covers_all_frames(server):
    sizes = {"context_length": 9, "context_overlap": 5, "context_stride": 1, "closed_loop": False}
    ways = {"context_schedule": "standard_static", "fuse_method": "pyramid", "freenoise": False}
    graph = scene_graph(length=21)
    graph["windows"] = context_windows(server, ["model", 0], **sizes, **ways)
    plain = sample(server, sampled(graph, model="windows"))
    watched = mapped(sampled(recorded(graph, "windows"), model="record"), frames=6)
    assert torch.equal(sample(server, watched), plain)
    _, _, [picture] = run_map(server, watched)
    columns = [picture[:, 220 + 246 * column : 460 + 246 * column] for column in range(6)]
    assert picture.shape[1] == 220 + 6 * 246
    # Frames are grey and heat is not; the first subject's is in each of the six latent frames.
    colour = [int((column[:160].max(axis=-1) - column[:160].min(axis=-1)).max()) for column in columns]
    assert min(colour) > 30


def test_each_subject_of_lumosx_tiny_is_bound_to_its_own(server):
    graph = mapped(glyph_run())
    graph["decode"] = node("VAEDecode", samples=["sampler", 0], vae=["vae", 0])
    graph["map"]["inputs"]["images"] = ["decode", 0]
    scores, report, [picture] = run_map(server, graph)
    assert len(scores) == 2 and min(scores) > 0.6
    assert re.search(r'Subject 1 \("woman#2", "shirt#2"\): 0\.\d\d of what its region looks at is its own; ', report)
    assert re.search(r'Subject 2 \("woman#1", "shirt#1", "top hat"\): 0\.\d\d', report)
    # Two subjects, their five pictures, and the scale; three frames.
    assert picture.shape == (6 + 7 * 198 + 26, 220 + 3 * 246, 3)


def test_masks_take_the_place_of_the_regions_found(server):
    """With the masks of the two people exchanged, each seems to look at the other's."""
    found, _, _ = run_map(server, mapped(glyph_run()))
    for order, bound in ((("right_half", "left_half"), True), (("left_half", "right_half"), False)):
        graph = mapped(glyph_run(), regions=["masks", 0])
        graph["empty"] = node("SolidMask", value=0.0, width=80, height=64)
        graph["half"] = node("SolidMask", value=1.0, width=40, height=64)
        for side, x in (("left_half", 0), ("right_half", 40)):
            settings = {"x": x, "y": 0, "operation": "add"}
            graph[side] = node("MaskComposite", destination=["empty", 0], source=["half", 0], **settings)
        # Masks become pictures to be joined: this host has no node that joins masks.
        for side in order:
            graph[f"{side}_picture"] = node("MaskToImage", mask=[side, 0])
        both = {f"image{number}": [f"{side}_picture", 0] for number, side in enumerate(order, 1)}
        graph["both"] = node("ImageBatch", **both)
        graph["masks"] = node("ImageToMask", image=["both", 0], channel="red")
        scores, _, _ = run_map(server, graph)
        assert (min(scores) > 0.6) if bound else (max(scores) < 0.4)
        assert scores != found


def test_each_video_of_a_batch_has_a_picture_and_scores_of_its_own(server):
    scores, report, pictures = run_map(server, mapped(glyph_run(batch_size=2)))
    assert len(scores) == 4 and scores[:2] != scores[2:]
    assert "Video 1\n" in report and "Video 2\n" in report
    assert len(pictures) == 2 and not np.array_equal(*pictures)


def test_only_the_positive_pass_is_recorded(server):
    """The negative prompt alone changes nothing in the first step, in which both passes see the same noise."""
    found = []
    for words in ("blurry", "a crowd of people in raincoats"):
        graph = sampled(recorded(scene_graph(negative_prompt=words), steps="1"), model="record", cfg=6.0)
        found.append(run_map(server, mapped(graph))[0])
    assert found[0] == found[1]
    graph = sampled(recorded(scene_graph(negative_prompt="blurry")), model="record", cfg=6.0)
    assert run_map(server, mapped(graph))[0] != found[0]


def test_guiders_that_name_their_conditionings_in_another_order_are_recorded_by_the_positive_one(server):
    """The dual guider gives the positive conditioning last; the first step is then as with the usual one."""
    graph = custom_sampled(recorded(scene_graph(), steps="1"))
    graph["guider"]["inputs"]["model"] = ["record", 0]
    usual = run_map(server, mapped(graph))[0]
    settings = {"cfg_conds": 5.0, "cfg_cond2_negative": 3.0, "style": "regular"}
    conditionings = {"cond1": ["video", 0], "cond2": ["video", 1], "negative": ["video", 3]}
    graph["guider"] = node("DualCFGGuider", model=["record", 0], **conditionings, **settings)
    assert run_map(server, mapped(graph))[0] == pytest.approx(usual, abs=1e-4)


def test_one_recording_serves_several_samplers_and_later_model_patches(server):
    graph = recorded(glyph_graph())
    graph["shifted"] = node("ModelSamplingSD3", model=["record", 0], shift=3.0)
    names = ("one", "two", "three")
    for name, model, seed in zip(names, ("record", "record", "shifted"), (1, 2, 1), strict=True):
        graph = sampled(graph, name, model=model, seed=seed, cfg=1.0)
        graph[f"latent_{name}"] = node("SaveLatent", samples=[name, 0], filename_prefix="latent")
    graph = uncached(graph)
    server.run(graph)  # all three are sampled before the first is looked up
    for name in names:
        graph = mapped(graph, samples=name, name=f"map_{name}")
    outputs = server.run(graph)
    scores = [read_map(server, outputs, f"map_{name}")[0] for name in names]
    assert scores[0] != scores[1] and scores[0] != scores[2]


def test_a_map_is_drawn_again_without_sampling_again(server):
    graph = mapped(glyph_run())
    graph = uncached(graph)
    first, _, [narrow] = read_map(server, server.run(graph))
    again = copy.deepcopy(graph)
    again["map"]["inputs"]["frames"] = 1
    second, _, [one] = read_map(server, server.run(again))
    assert first == second and one.shape[1] < narrow.shape[1]


def test_samples_of_another_sampler_are_an_error(server):
    graph = sampled(recorded(scene_graph()))  # the sampler has the MODEL before the recording
    with pytest.raises(Failure, match="No recording belongs to these samples. Connect the MODEL of LumosX Record"):
        run_map(server, mapped(graph))


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        (
            {"steps": "9-12"},
            rf"steps is '9-12', but the sampler took {STEPS} steps, .* Choose among 1 to {STEPS}",
        ),
        ({"layers": "2, 3"}, r"layers is '2, 3', but this MODEL has 3 layers, counted from 0. The last one is 2"),
        ({"steps": "1 to 3"}, r"steps has '1 to 3', expected numbers from 1 on and ranges of them"),
    ],
)
def test_steps_and_layers_that_are_never_reached_are_errors(server, inputs, message):
    graph = sampled(recorded(scene_graph(), **inputs), model="record")
    with pytest.raises(Failure, match=message):
        run_map(server, mapped(graph))


def test_a_run_without_a_scene_is_an_error_of_the_map_alone(server):
    graph = sampled(recorded(scene_graph()), model="record", positive=["video", 3], negative=["video", 3])
    with pytest.raises(Failure, match="no scene reached the MODEL"):
        run_map(server, mapped(graph))


def test_who_is_not_seen_is_told_and_changes_nothing_of_the_others(server):
    graph = glyph_run()
    graph["right"]["inputs"]["strength"] = 0.0
    scores, report, _ = run_map(server, mapped(graph))
    assert scores == pytest.approx([0.0, 1.0])
    assert 'Subject 1 ("woman#2", "shirt#2"): was not seen' in report
    assert 'Subject 2 ("woman#1", "shirt#1", "top hat"): 1.00' in report


def test_steps_and_layers_choose_what_is_recorded(server):
    everything = run_map(server, mapped(glyph_run()))[0]
    for inputs in ({"steps": "1-2"}, {"layers": "1"}):
        graph = sampled(recorded(glyph_graph(), **inputs), model="record", steps=8, cfg=1.0)
        assert run_map(server, mapped(graph))[0] != everything


def test_frames_of_another_video_are_an_error(server):
    graph = mapped(glyph_run())
    graph["decode"] = node("VAEDecode", samples=["sampler", 0], vae=["vae", 0])
    graph["cut"] = node("ImageFromBatch", image=["decode", 0], batch_index=0, length=4)
    graph["map"]["inputs"]["images"] = ["cut", 0]
    with pytest.raises(Failure, match="images has 4 frames, but these samples decode to 9"):
        run_map(server, graph)


INTERRUPTED = """
import comfy.model_management, comfy.sd, nodes
from pack.lumosx_core import ReferenceLayout
from pack.lumosx_core.scene.encoded import EncodedScene
from pack.lumosx_core.attention_map.number_choice import NumberChoice
from pack.nodes.bridges.attention_bridge import record_attention
from pack.lumosx_core import RelationalOptions
from pack.nodes.bridges.comfy_bridge import attach_scene, patch_model

model = patch_model(comfy.sd.load_diffusion_model(arguments["model"]), RelationalOptions())
model, records = record_attention(model, NumberChoice.read("", "steps", 1), NumberChoice.read("", "layers", 0))
mask = torch.zeros(3, 512, dtype=torch.bool)
latents = torch.randn(1, 16, 3, 8, 12)
scene = EncodedScene(latents, ReferenceLayout(1, (2,)), mask, labels=("room", "man", "jacket"))
text = attach_scene([[torch.randn(1, 512, 4096), {}]], scene)
latent = {"samples": torch.zeros(1, 16, 2, 8, 12)}

comfy.model_management.interrupt_current_processing(True)
try:
    nodes.common_ksampler(model, 3, 2, 1.0, "euler", "simple", text, text, latent)
    interrupted = False
except comfy.model_management.InterruptProcessingException:
    interrupted = True
after_interrupt = len(records._runs)
records.most = 4
kept, first = [], None
for seed in range(6):
    samples = nodes.common_ksampler(model, seed, 2, 1.0, "euler", "simple", text, text, latent)[0]["samples"]
    first = samples if first is None else first
    kept.append(len(records._runs))
left = [key for key in model.model_options["transformer_options"] if key == "lumosx_attention"]
record = records.find(samples)
result = [interrupted, after_interrupt, kept, left, list(record.mass.shape), list(record.labels)]
"""


def test_an_interrupted_run_leaves_nothing_and_the_last_few_runs_are_kept(run_in_comfyui, tiny_models):
    path = str(tiny_models / "diffusion_models" / "lumosx-tiny.safetensors")
    interrupted, after, kept, left, shape, labels = run_in_comfyui(INTERRUPTED, model=path)
    assert interrupted and after == 0 and left == []
    assert kept == [1, 2, 3, 4, 4, 4]
    assert shape == [1, 3, 2, 4, 6] and labels == ["room", "man", "jacket"]
