"""Workflows saved by version 0.1.0 open with everybody connected and every value in its widget."""

from __future__ import annotations

import json

import pytest
from comfy_server import ROOT

SAVED = ROOT / "tests" / "comfy" / "saved_workflows"
# Lists whose slots are plain inputs today.
PLAIN = {"subjects.subject_": "subject_", "more.more_attributes_": "more_attributes_"}


def today(name: str) -> str:
    for earlier, now in PLAIN.items():
        name = name.replace(earlier, now)
    return name


def links(workflow: dict) -> set[tuple]:
    """The links of a graph: their ends by node, index of the output, and name of the input."""
    nodes = {node["id"]: node for node in workflow["nodes"]}
    return {
        (source, output, target, today(nodes[target]["inputs"][place]["name"]))
        for _, source, output, target, place, _ in workflow["links"]
    }


def values(workflow: dict) -> dict[int, list]:
    nodes = [node for node in workflow["nodes"] if node["type"].startswith("LumosX")]
    return {node["id"]: node.get("widgets_values") or [] for node in nodes}


@pytest.mark.parametrize("path", sorted(SAVED.glob("*.json")), ids=lambda path: path.stem)
def test_a_workflow_of_the_first_version_opens_whole(shared_desk, path):
    saved = json.loads(path.read_text(encoding="utf-8"))
    shared_desk.clear()
    shared_desk.load(saved)
    shared_desk.close_dialogs()
    opened = shared_desk.workflow()
    assert links(opened) == links(saved)
    assert values(opened) == values(saved)
    connected = {(str(target), name) for _, _, target, name in links(saved)}
    prompt = shared_desk.api_prompt()
    sent = {(id, name) for id, node in prompt.items() for name, v in node["inputs"].items() if isinstance(v, list)}
    assert sent == {(id, name) for id, name in connected if id in prompt}


def test_an_api_prompt_of_the_first_version_opens_with_more_people_than_a_scene_shows(shared_desk):
    people = {str(i): {"class_type": "LumosXSubject", "inputs": {"face_phrase": f"person {i}"}} for i in range(1, 7)}
    slots = {f"subjects.subject_{i}": [str(i), 0] for i in range(1, 7)}
    shared_desk.clear()
    shared_desk.page.evaluate(
        "async prompt => { await app.loadApiJson(prompt, 'six people') }",
        people | {"7": {"class_type": "LumosXScene", "inputs": slots}},
    )
    shared_desk.settle()
    prompt = shared_desk.api_prompt()
    [scene] = [node for node in prompt.values() if node["class_type"] == "LumosXScene"]
    sent = {
        name: prompt[value[0]]["inputs"]["face_phrase"] for name, value in scene["inputs"].items() if "subject" in name
    }
    assert sent == {f"subject_{i}": f"person {i}" for i in range(1, 7)}


BOXES = ROOT / "tests" / "browser" / "saved_boxes.json"


@pytest.fixture
def desk_with_another_widget(desk):
    """A page on which each node that takes boxes has one more widget, behind all others."""

    def add(route):
        answer = route.fetch()
        nodes = answer.json()
        for node in nodes.values():
            inputs = [each for part in node["input"].values() for each in part.values()]
            if node["name"].startswith("LumosX") and any(each[0] == "BOUNDING_BOX" for each in inputs):
                node["input"]["optional"]["further"] = [
                    "FLOAT",
                    {"default": 0.25, "min": 0.0, "max": 1.0, "step": 0.05},
                ]
                node.get("input_order", {}).get("optional", []).append("further")
        route.fulfill(response=answer, json=nodes)

    desk.page.route("**/object_info*", add)
    desk.open()
    yield desk
    desk.page.unroute_all()


def test_values_that_later_pages_made_of_boxes_are_dropped(desk_with_another_widget):
    """Front ends since 1.39 saved a widget for boxes, and four for its numbers, while the input allowed it."""
    desk = desk_with_another_widget
    saved = json.loads(BOXES.read_text(encoding="utf-8"))
    assert all({"x": 0, "y": 0, "width": 512, "height": 512} in each for each in list(values(saved).values())[:3])
    desk.load(saved)
    desk.close_dialogs()
    opened = desk.workflow()
    assert links(opened) == links(saved)
    for id, found in values(opened).items():
        kept = [value for value in values(saved)[id] if not isinstance(value, dict)]
        if len(kept) != len(values(saved)[id]):
            kept = [*kept[:-4], 0.25]
        assert found == kept
    for node in desk.api_prompt().values():
        boxes = {name: node["inputs"].get(name) for name in ("boxes", "region", "face_boxes")}
        assert all(value is None or isinstance(value, list) for value in boxes.values())
        assert not {"x", "y", "width", "height"} & node["inputs"].keys()
    desk.load(opened)  # and what is saved now opens as it is
    assert values(desk.workflow()) == values(opened)
    assert not desk.errors
