"""Workflows as other people build them: what has no effect is printed, and errors name the true reason."""

from __future__ import annotations

import json

import pytest
from workflow_graphs import k_sampler, node, workflow

from lumosx_core.errors import LumosXError
from lumosx_core.workflow.run import read_video
from lumosx_core.workflow.saved.file import read_workflow
from lumosx_core.workflow.saved.graph import Graph


def read(graph: dict, folder):
    return read_video(Graph(graph), folder)


def test_a_plain_workflow_has_no_notes(folder):
    graph = workflow(
        n50=node("VAEDecode", samples=["27", 0], vae=["22", 0]),
        n51=node("CreateVideo", images=["50", 0], fps=16.0),
        n52=node("SaveVideo", video=["51", 0], filename_prefix="v"),
    )
    assert read(graph, folder).notes == ()


AFTER = {
    "upscaling": (
        {
            "n50": node("VAEDecode", samples=["27", 0], vae=["22", 0]),
            "n51": node("ImageUpscaleWithModel", image=["50", 0]),
        },
        "Not run without ComfyUI, as it comes after the sampler: node 51 (ImageUpscaleWithModel).",
    ),
    "another stage": (
        {"n50": node("LatentUpscale", samples=["27", 0]), "n51": node("VAEDecode", samples=["50", 0])},
        "comes after the sampler: node 50 (LatentUpscale).",
    ),
    "frame rate": (
        {
            "n50": node("VAEDecodeTiled", samples=["27", 0], vae=["22", 0]),
            "n51": node("CreateVideo", images=["50", 0], fps=24.0),
        },
        "fps of node 51 (CreateVideo) is 24, but the video has 16 frames a second",
    ),
    "frame rate of another pack": (
        {
            "n50": node("VAEDecode", samples=["27", 0], vae=["22", 0]),
            "n51": node("VHS_VideoCombine", images=["50", 0], frame_rate="30"),
        },
        "frame_rate of node 51 (VHS_VideoCombine) is 30",
    ),
    "another VAE": (
        {
            "n50": node("VAEDecode", samples=["27", 0], vae=["53", 0]),
            "n53": node("VAELoader", vae_name="other.safetensors"),
        },
        "The VAE of node 50 (VAEDecode) is not used",
    ),
    "audio": (
        {
            "n50": node("VAEDecode", samples=["27", 0], vae=["22", 0]),
            "n51": node("CreateVideo", images=["50", 0], fps=16.0, audio=["54", 0]),
            "n54": node("LoadAudio", audio="a.mp3"),
        },
        "The audio of node 51 (CreateVideo) is left out.",
    ),
    "precision": (
        {"n20": node("LumosXLoadModel", model_name="m.safetensors", weight_dtype="fp8_e5m2")},
        "weight_dtype of node 20 (LumosXLoadModel) is 'fp8_e5m2', which only ComfyUI applies.",
    ),
    "recording": (
        {
            "n24": node("CFGGuider", model=["55", 0], positive=["10", 0], negative=["10", 1], cfg=4.5),
            "n55": node("LumosXRecordAttention", model=["20", 0], steps="", layers=""),
        },
        "Node 55 (LumosXRecordAttention) records nothing without ComfyUI.",
    ),
    "an input of a later version": (
        {"n26": node("LumosXSigmas", steps=2, shift=3.0, sharpness=0.5)},
        "Without effect here: sharpness of node 26 (LumosXSigmas).",
    ),
}


@pytest.mark.parametrize(("changes", "note"), AFTER.values(), ids=AFTER)
def test_what_has_no_effect_is_said(folder, changes, note):
    notes = read(workflow(**changes), folder).notes
    assert len(notes) == 1 and note in notes[0]


def power(*rows):
    return node("Power Lora Loader (rgthree)", model=["20", 0], **{f"lora_{i}": row for i, row in enumerate(rows, 1)})


def behind(graph: dict, **changes) -> dict:
    graph["24"]["inputs"]["model"] = ["60", 0]
    return graph | {id.removeprefix("n"): each for id, each in changes.items()}


def test_a_list_of_loras_that_are_off_is_left_out(folder):
    rows = ({"on": False, "lora": "a.safetensors", "strength": 1}, {"on": True, "lora": "b", "strength": 0})
    video = read(behind(workflow(), n60=power(*rows)), folder)
    assert [note.split("'")[1] for note in video.notes] == ["a.safetensors", "b"]
    stack = node(
        "Lora Loader Stack (rgthree)", model=["20", 0], lora_01="None", strength_01=1, lora_02="c", strength_02=0
    )
    assert len(read(behind(workflow(), n60=stack), folder).notes) == 1
    for row in ({"on": True, "lora": "a", "strength": 0.5}, {"lora": "a"}):
        with pytest.raises(LumosXError, match="adds the LoRA 'a', which only ComfyUI does.*\n.*lora merge"):
            read(behind(workflow(), n60=power(row)), folder)


BETWEEN = {
    "schedule": (
        node("ModelSamplingSD3", model=["20", 0], shift=5.0),
        r"Bypass it, and write its shift into LumosX Sig",
    ),
    "patch": (node("TorchCompileModel", model=["20", 0]), r"node 60 \(TorchCompileModel\), which only ComfyUI can run"),
    "not installed": (node("SageAttention (no such pack)", model=["20", 0]), "which only ComfyUI can run"),
    "control": (node("WanVideoControl", model=["20", 0], strength=0.0), r"comes from node 60 \(WanVideoControl\)"),
    "switch": (node("ImpactSwitch", input1=["20", 0], select=1), r"comes from node 60 \(ImpactSwitch\)"),
}


@pytest.mark.parametrize(("between", "reason"), BETWEEN.values(), ids=BETWEEN)
def test_a_node_between_model_and_sampler_is_refused_by_name(folder, between, reason):
    with pytest.raises(LumosXError, match=reason):
        read(behind(workflow(), n60=between), folder)


PASSES = {
    "reroute": node("Reroute", **{"": ["20", 0]}),
    "reroute of a pack": node("ReroutePrimitive|pysssss", value=["20", 0]),
    "rgthree's": node("Reroute (rgthree)", **{"*": ["20", 0]}),
    "the first of several": node("Any Switch (rgthree)", any_01=["20", 0], any_02=["70", 0]),
    "the only one left": node("Any Switch (rgthree)", any_03=["20", 0]),
}


@pytest.mark.parametrize("passing", PASSES.values(), ids=PASSES)
def test_what_hands_on_its_input_is_followed(folder, passing):
    video = read(behind(workflow(), n60=passing), folder)
    assert video.weights.diffusion_model == "lumosx-tiny.safetensors" and video.notes == ()


@pytest.mark.parametrize(
    ("steps", "expected"),
    [("7", 7), (" 7 ", 7), (7.0, 7), (7.9, 7), (True, 1), (["61", 0], 9), (["62", 0], 8), (["63", 0], 6)],
)
def test_numbers_are_taken_as_comfyui_takes_them(folder, steps, expected):
    graph = workflow(
        n26=node("LumosXSigmas", steps=steps, shift="3.5"),
        n61=node("INTConstant", value=9),
        n62=node("Reroute", **{"": ["64", 0]}),
        n63=node("easy int", value="6"),
        n64=node("PrimitiveInt", value=8),
    )
    settings = read(graph, folder).settings
    assert (settings.steps, settings.shift) == (expected, 3.5)


@pytest.mark.parametrize(
    "value",
    [
        None,
        [],
        {},
        "",
        "many",
        "1e400",
        "9" * 5000,
        10**400,
        float("nan"),
        float("inf"),
        [1, 2, 3],
        {"a": []},
        "0x10",
        "٣",
    ],
    ids=lambda value: str(value)[:9],
)
@pytest.mark.parametrize("name", ["steps", "cfg", "noise_seed", "width"])
def test_what_is_no_number_is_refused_briefly(folder, name, value):
    graph = workflow()
    owner = {"steps": "26", "cfg": "24", "noise_seed": "23", "width": "10"}[name]
    graph[owner]["inputs"][name] = value
    if value == "٣":
        return  # a digit, and Python and ComfyUI read it
    with pytest.raises(LumosXError, match=name) as error:
        read(graph, folder)
    assert len(str(error.value)) < 500


@pytest.mark.parametrize("value", [None, [], {}, ["7", "0"], [7, 0], "no", 2, float("nan")], ids=repr)
def test_wrong_types_of_other_inputs_are_refused(folder, value):
    for id, name in (("10", "positive_prompt"), ("20", "model_name"), ("1", "image"), ("7", "face_phrase")):
        graph = workflow()
        graph[id]["inputs"][name] = value
        if isinstance(value, str | int | float):
            continue
        with pytest.raises(LumosXError, match=name):
            read(graph, folder)
    graph = workflow(
        n20=node("LumosXApply", model=["32", 0], mcam_ratio=0.5, r2pe=value, csam=True, mcam=True),
        n32=node("UNETLoader", unet_name="lumosx.safetensors"),
    )
    with pytest.raises(LumosXError, match="r2pe of node 20"):
        read(graph, folder)


def test_what_is_between_video_and_sampler_is_named(folder):
    graph = workflow(n70=node("ConditioningCombine", a=["10", 0]))
    graph["24"]["inputs"]["positive"] = ["70", 0]
    with pytest.raises(LumosXError, match=r"It goes to node 24 \(CFGGuider\), node 70 \(ConditioningCombine\)"):
        read(graph, folder)


def page_file(tmp_path, **changes):
    nodes = [
        {"id": 1, "type": "LumosXSceneToVideo", "mode": 0, "inputs": [], "outputs": [], "widgets_values": []},
        {"id": 2, "type": "KSampler", "mode": 2, "inputs": [], "outputs": [], "title": "Draft", "widgets_values": []},
    ]
    path = tmp_path / "w.json"
    path.write_text(json.dumps({"nodes": nodes, "links": [], **changes}))
    return path


def test_a_muted_sampler_is_the_reason(tmp_path):
    with pytest.raises(LumosXError, match=r"Node 2 \(Draft, KSampler\) is muted: turn on what the video needs"):
        read_video(read_workflow(page_file(tmp_path)), tmp_path)


def test_links_that_only_the_page_knows_are_the_reason(tmp_path):
    path = page_file(tmp_path, extra={"ue_links": [{"downstream": 2, "downstream_slot": 0, "upstream": "1"}]})
    with pytest.raises(LumosXError, match=r"Use Everywhere\), which only the page does.*Export \(API\)"):
        read_workflow(path)


def test_a_stock_sampler_among_others_is_named(folder):
    graph = workflow(n27=None, n40=k_sampler(positive=["99", 0]))
    with pytest.raises(
        LumosXError, match="positive of node 40 .* is connected to node 99, which the workflow does not"
    ):
        read(graph, folder)


def test_the_graph_is_read_only_once(folder):
    graph = Graph(workflow())
    assert read_video(graph, folder).prompt == read_video(graph, folder).prompt


def test_a_broken_link_to_the_sampler_is_the_reason(tmp_path):
    """As in a subgraph whose links were lost by a program that rewrote the file."""
    video = {"id": 1, "type": "LumosXSceneToVideo", "mode": 0, "inputs": [], "outputs": [], "widgets_values": []}
    slots = [{"name": "positive", "type": "CONDITIONING", "link": 9}]
    sampler = {"id": 2, "type": "KSampler", "mode": 0, "inputs": slots, "outputs": [], "widgets_values": []}
    with pytest.raises(LumosXError, match="is connected by link 9, which the file does not have") as error:
        read_video(read_workflow(page_file(tmp_path, nodes=[video, sampler])), tmp_path)
    assert "It is not connected" not in str(error.value)
