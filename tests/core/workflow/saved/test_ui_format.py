"""A file that ComfyUI's page saved becomes what the page sends to the server."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from recorded_prompts import recorded_from

from lumosx_core.errors import LumosXError
from lumosx_core.workflow.saved.file import read_workflow
from lumosx_core.workflow.saved.ui_format import BYPASSED, MUTED, api_prompt
from lumosx_core.workflow.saved.widget_names import _NAMES

ROOT = Path(__file__).resolve().parents[4]
WORKFLOWS = sorted((ROOT / "example_workflows").glob("*.json"))
SHOWN = {"preview", "previewMode"}  # what PreviewAny displays, which the page sends, too


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_an_example_becomes_what_the_page_sends(path):
    sent = json.loads(recorded_from(path.stem).read_text(encoding="utf-8"))
    prompt, unreadable = api_prompt(json.loads(path.read_text(encoding="utf-8")))
    assert prompt.keys() == sent.keys()
    for id, expected in sent.items():
        inputs = {name: value for name, value in expected["inputs"].items() if name not in SHOWN}
        assert prompt[id] == {"class_type": expected["class_type"], "inputs": inputs}
    assert {prompt[id]["class_type"] for id in unreadable} <= {"PreviewAny"}


def page_node(id, kind, *inputs, values=(), outputs=("IMAGE",), mode=0):
    """A node of a file. An input is (name, type, link) or, with a widget, (name, type, link, True)."""
    slots = []
    for name, type_, link, *widget in inputs:
        slots.append({"name": name, "type": type_, "link": link} | ({"widget": {"name": name}} if widget else {}))
    made = [{"name": each, "type": each} for each in outputs]
    return {"id": id, "type": kind, "inputs": slots, "outputs": made, "widgets_values": list(values), "mode": mode}


def page(*nodes, links=(), **more):
    return {"nodes": list(nodes), "links": [list(link) for link in links], "version": 0.4, **more}


def prompt_of(workflow):
    prompt, unreadable = api_prompt(workflow)
    assert unreadable == {}
    return prompt


def test_values_behind_seeds_and_uploads_are_skipped():
    names = ("add_noise", "noise_seed", "steps")
    sampler = page_node(1, "K", *((n, "X", None, True) for n in names), values=("enable", 5, "randomize", 20))
    loader = page_node(2, "LoadImageMask", *((n, "COMBO", None, True) for n in ("image", "channel")))
    loader["widgets_values"] = ["a.png", "alpha", "image"]
    button = page_node(3, "LoadImage", ("image", "COMBO", None, True), ("upload", "IMAGEUPLOAD", None, True))
    button["widgets_values"] = ["b.png", "image"]
    prompt = prompt_of(page(sampler, loader, button))
    assert prompt["1"]["inputs"] == {"add_noise": "enable", "noise_seed": 5, "steps": 20}
    assert prompt["2"]["inputs"] == {"image": "a.png", "channel": "alpha"}
    assert prompt["3"]["inputs"] == {"image": "b.png"}


def test_a_value_that_looks_like_a_seeds_companion_is_kept():
    node = page_node(1, "N", ("a", "X", None, True), ("b", "X", None, True), values=("image", "fixed"))
    assert prompt_of(page(node))["1"]["inputs"] == {"a": "image", "b": "fixed"}


def test_widgets_that_later_pages_made_of_boxes_are_none():
    saved = json.loads((ROOT / "tests" / "browser" / "saved_boxes.json").read_text(encoding="utf-8"))
    prompt, unreadable = api_prompt(saved)
    assert not unreadable
    [faces] = [each["inputs"] for each in prompt.values() if each["class_type"] == "LumosXFaces"]
    assert faces["threshold"] == 0.4 and faces["picks"] == "2" and isinstance(faces["boxes"], list)
    [scene] = [each["inputs"] for each in prompt.values() if each["class_type"] == "LumosXAutoScene"]
    assert scene["if_missing"] == "leave out" and "face_boxes" not in scene


def test_values_may_be_written_by_name():
    node = page_node(1, "N", ("a", "X", None, True))
    node["widgets_values"] = {"a": 4, "b": [1]}
    assert prompt_of(page(node))["1"]["inputs"] == {"a": 4, "b": [1]}


@pytest.mark.parametrize("objects", [False, True], ids=["lists", "objects"])
def test_links_are_followed_through_reroutes_and_a_link_counts_before_a_value(objects):
    workflow = page(
        page_node(1, "LoadImage"),
        page_node(2, "Reroute", ("", "*", 10), outputs=("*",)),
        page_node(3, "Reroute", ("", "*", 11), outputs=("*",)),
        page_node(4, "N", ("picture", "IMAGE", 12), ("text", "STRING", 13, True), values=("unused",)),
        page_node(5, "Text", outputs=("A", "STRING")),
        links=[(10, 1, 0, 2, 0, "*"), (11, 2, 0, 3, 0, "*"), (12, 3, 0, 4, 0, "*"), (13, 5, 1, 4, 1, "STRING")],
    )
    if objects:
        names = ("id", "origin_id", "origin_slot", "target_id", "target_slot", "type")
        workflow["links"] = [dict(zip(names, link, strict=True)) for link in workflow["links"]]
    prompt = prompt_of(workflow)
    assert prompt.keys() == {"1", "4", "5"}
    assert prompt["4"]["inputs"] == {"picture": ["1", 0], "text": ["5", 1]}


def test_a_primitive_is_the_value_of_the_widget_it_is_connected_to():
    workflow = page(
        page_node(1, "PrimitiveNode", values=(77, "fixed"), outputs=("INT",)),
        page_node(2, "N", ("seed", "INT", 5, True), values=(3, "fixed")),
        links=[(5, 1, 0, 2, 0, "INT")],
    )
    assert prompt_of(workflow) == {"2": {"class_type": "N", "inputs": {"seed": 77}}}


def test_a_muted_node_is_gone_with_its_links():
    workflow = page(
        page_node(1, "LoadImage", mode=MUTED),
        page_node(2, "N", ("picture", "IMAGE", 5)),
        links=[(5, 1, 0, 2, 0, "IMAGE")],
    )
    assert prompt_of(workflow) == {"2": {"class_type": "N", "inputs": {}}}


def bypassed(*inputs, outputs, output, wanted):
    """What reaches an input of type `wanted` from an output of a bypassed node, whose inputs come from nodes 10, ..."""
    sources = [page_node(10 + i, "S", outputs=(type_,)) for i, (_, type_, _) in enumerate(inputs)]
    middle = page_node(1, "M", *inputs, outputs=outputs, mode=BYPASSED)
    links = [(link, 10 + i, 0, 1, i, type_) for i, (_, type_, link) in enumerate(inputs) if link is not None]
    end = page_node(2, "N", ("x", wanted, 99))
    return prompt_of(page(*sources, middle, end, links=[*links, (99, 1, output, 2, 0, wanted)]))["2"]["inputs"]


def test_a_bypassed_node_hands_on_an_input_of_the_same_type():
    model_and_clip = [("strength", "FLOAT", None), ("clip", "CLIP", 20), ("model", "MODEL", 21)]
    both = {"outputs": ("MODEL", "CLIP")}
    assert bypassed(*model_and_clip, **both, output=0, wanted="MODEL") == {"x": ["12", 0]}
    assert bypassed(*model_and_clip, **both, output=1, wanted="CLIP") == {"x": ["11", 0]}
    assert bypassed(("text", "STRING", 20), outputs=("IMAGE",), output=0, wanted="IMAGE") == {}


def test_a_bypassed_node_prefers_the_input_of_the_same_place():
    images = [("first", "IMAGE", 20), ("second", "IMAGE", 21)]
    assert bypassed(*images, outputs=("IMAGE", "IMAGE"), output=1, wanted="IMAGE") == {"x": ["11", 0]}


def test_notes_are_left_out():
    assert prompt_of(page(page_node(1, "Note", values=("a",)), page_node(2, "MarkdownNote", values=("b",)))) == {}


def reason(workflow, id="1"):
    return api_prompt(workflow)[1][id]


def test_values_without_names_are_not_guessed():
    """Export (without API) leaves out the names of inputs that are not connected."""
    node = page_node(1, "N", values=(50, 8.0))
    assert "has 2 values, but names 0 inputs" in reason(page(node)) and "Export (API)" in reason(page(node))
    more = page_node(1, "N", ("a", "X", None, True), ("b", "X", None, True), values=(1,))
    assert "has 1 values, but names 2 inputs for them (a, b)" in reason(page(more))


@pytest.mark.parametrize(
    ("kind", "values", "inputs"),
    [
        ("LumosXSigmas", (50, 8.0), {"steps": 50, "shift": 8.0}),
        ("RandomNoise", (7, "randomize"), {"noise_seed": 7}),
        ("RandomNoise", (7,), {"noise_seed": 7}),
        ("LoadImage", ("a.png", "image"), {"image": "a.png"}),
        ("LoraLoaderModelOnly", ("l.safetensors", 0.5), {"lora_name": "l.safetensors", "strength_model": 0.5}),
        ("CLIPLoader", ("t.safetensors", "wan"), {"clip_name": "t.safetensors", "type": "wan"}),
        ("LumosXApply", (0.5, True, False), {"mcam_ratio": 0.5, "r2pe": True, "csam": False}),
        ("KSampler", (9, "fixed", 7, 3.0, "euler", "simple", 1.0), {"seed": 9, "steps": 7, "denoise": 1.0}),
    ],
)
def test_values_without_names_are_read_where_their_order_is_known(kind, values, inputs):
    """As front ends before 1.16 saved them, and Export does."""
    read = prompt_of(page(page_node(1, kind, values=values)))["1"]["inputs"]
    assert {name: read[name] for name in inputs} == inputs


def test_the_known_widgets_of_our_nodes_are_those_of_their_schemas():
    schemas = json.loads((ROOT / "tests" / "comfy" / "node_schemas.json").read_text(encoding="utf-8"))
    kinds = {"STRING", "INT", "FLOAT", "BOOLEAN", "COMBO"}
    for kind, names in _NAMES.items():
        if kind.startswith("LumosX"):
            widgets = [each["name"] for each in schemas[kind]["inputs"] if each["type"] in kinds]
            assert list(names) == widgets, kind


def test_an_unreadable_node_says_so_only_when_it_is_asked(tmp_path):
    workflow = page(page_node(1, "N", ("x", "IMAGE", None), values=(1, 2)), page_node(2, "O"))
    (tmp_path / "w.json").write_text(json.dumps(workflow))
    graph = read_workflow(tmp_path / "w.json")
    assert graph.node("2").get("anything", 5) == 5
    with pytest.raises(LumosXError, match=r"Node 1 \(N\) of the saved workflow cannot be read"):
        graph.node("1").get("steps", 5)


def prompts(text):
    inputs = [(name, "STRING", None, True) for name in ("positive_prompt", "negative_prompt")]
    return page(page_node(1, "LumosXSceneToVideo", *inputs, values=(text, "bad")))


def test_comments_and_escapes_of_a_prompt_are_resolved_as_the_page_does():
    inputs = prompt_of(prompts("A man /* tall\nor not */in a coat. // later\nHe waits \\{here\\}."))["1"]["inputs"]
    assert inputs == {"positive_prompt": "A man in a coat. \nHe waits {here}.", "negative_prompt": "bad"}


def test_random_choices_of_a_prompt_are_not_made():
    sentence = reason(prompts("A {red|blue} coat"))
    assert "positive_prompt has choices in braces" in sentence and "A {red|blue} coat" in sentence


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "is not JSON"),
        (b"\xff\xfe{}", "is not JSON"),
        ('{"nodes": [{"type": "A"}]}', "not as ComfyUI's page saves them"),
        ('{"nodes": [5]}', "not as ComfyUI's page saves them"),
        ("[]", "JSON object of nodes"),
    ],
    ids=["cut", "no text", "no id", "no node", "list"],
)
def test_what_is_no_workflow_is_refused(tmp_path, content, message):
    path = tmp_path / "w.json"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(LumosXError, match=message):
        read_workflow(path)


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(LumosXError, match="There is no workflow"):
        read_workflow(tmp_path / "w.json")


def test_an_api_prompt_is_read_as_it_is(tmp_path):
    (tmp_path / "w.json").write_text('\ufeff{"3": {"class_type": "A", "inputs": {"b": 1}}}', encoding="utf-8")
    assert read_workflow(tmp_path / "w.json").node("3").get("b") == 1
