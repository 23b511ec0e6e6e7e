"""Workflows with subgraphs, as real pages saved them, become what those pages sent."""

from __future__ import annotations

import copy
import json
import random
import re
from pathlib import Path

import pytest

from lumosx_core.errors import LumosXError
from lumosx_core.workflow.run import read_video
from lumosx_core.workflow.saved.file import read_workflow
from lumosx_core.workflow.saved.graph import Graph, Unclear
from lumosx_core.workflow.saved.ui_format import BYPASSED, MUTED, api_prompt

# Each is {"workflow": what the page saved, "output": what it sent}; the front end is part of the name.
SAVED = {path.stem: path for path in sorted(Path(__file__).parent.glob("*.json"))}


def saved(name: str) -> tuple[dict, dict]:
    content = json.loads(SAVED[name].read_text(encoding="utf-8"))
    return content["workflow"], content["output"]


@pytest.mark.parametrize("name", SAVED)
def test_a_saved_file_becomes_what_its_page_sent(name):
    workflow, sent = saved(name)
    assert api_prompt(workflow) == (sent, {})


def test_a_scene_in_a_subgraph_is_read(tmp_path):
    workflow, _ = saved("promoted seed, 1.58.1")
    (tmp_path / "w.json").write_text(json.dumps(workflow))
    video = read_video(read_workflow(tmp_path / "w.json"), tmp_path)
    assert (video.settings.seed, video.prompt) == (1234, "A man with a red coffee cup")
    assert [label for label, _ in video.scene.labelled()] == ["face of subject 1", "attribute 1 of subject 1"]


def test_each_of_two_instances_keeps_its_values():
    workflow, _ = saved("used twice, 1.58.1")
    prompt, _ = api_prompt(workflow)
    assert [prompt[id]["inputs"]["width"] for id in ("15:8", "16:8")] == [96, 128]


# Subgraphs written by hand: nodes are (id, type, {input: link}), inputs and outputs by name.


def node(id, kind, values=(), mode=0, outputs=("X",), title=None, **links):
    slots = [{"name": name, "type": "X", "link": link} for name, link in links.items()]
    made = [{"name": each, "type": each} for each in outputs]
    written = {"id": id, "type": kind, "mode": mode, "inputs": slots, "outputs": made, "widgets_values": list(values)}
    return written | ({"title": title} if title else {})


def definition(id, *nodes, links=(), inputs=(), outputs=()):
    names = ("id", "origin_id", "origin_slot", "target_id", "target_slot", "type")
    return {
        "id": id,
        "name": id.title(),
        "inputNode": {"id": -10},
        "outputNode": {"id": -20},
        "inputs": [{"name": name, "type": "X"} for name in inputs],
        "outputs": [{"name": name, "type": "X"} for name in outputs],
        "nodes": list(nodes),
        "links": [dict(zip(names, (*link, "X"), strict=True)) for link in links],
    }


def page(*nodes, links=(), subgraphs=()):
    return {
        "nodes": list(nodes),
        "links": [[*link, "X"] for link in links],
        "definitions": {"subgraphs": list(subgraphs)},
    }


def through(*inner, inner_links):
    """A source 1, a subgraph 2 with `inner`, and a node 3 that gets what the subgraph makes."""
    made = definition("s", *inner, links=inner_links, inputs=["a"], outputs=["b"])
    return page(
        node(1, "Source"), node(2, "s", a=10), node(3, "End", x=11),
        links=[(10, 1, 0, 2, 0), (11, 2, 0, 3, 0)], subgraphs=[made],
    )  # fmt: skip


def test_a_link_may_pass_a_subgraph_without_a_node():
    prompt, _ = api_prompt(through(inner_links=[(1, -10, 0, -20, 0)]))
    assert prompt == {
        "1": {"class_type": "Source", "inputs": {}},
        "3": {"class_type": "End", "inputs": {"x": ["1", 0]}},
    }


@pytest.mark.parametrize("kind", ["Reroute", "Reroute (rgthree)"])
def test_reroutes_inside_are_followed(kind):
    workflow = through(node(5, kind, a=1), inner_links=[(1, -10, 0, 5, 0), (2, 5, 0, -20, 0)])
    assert api_prompt(workflow)[0]["3"]["inputs"] == {"x": ["1", 0]}


@pytest.mark.parametrize(("mode", "expected"), [(MUTED, {}), (BYPASSED, {"x": ["1", 0]}), (0, {"x": ["2:5", 0]})])
def test_a_subgraph_is_muted_and_bypassed_as_a_whole(mode, expected):
    workflow = through(node(5, "Work", a=1), inner_links=[(1, -10, 0, 5, 0), (2, 5, 0, -20, 0)])
    workflow["nodes"][1]["mode"] = mode
    workflow["nodes"][1]["outputs"] = [{"name": "b", "type": "X"}]
    prompt, _ = api_prompt(workflow)
    assert prompt["3"]["inputs"] == expected
    assert ("2:5" in prompt) == (mode == 0)


def test_a_get_node_is_what_its_set_node_is_connected_to():
    inner = (
        node(5, "GetNode", ["man"]),
        node(6, "Work", a=1),
        node(7, "GetNode", ["own"]),
        node(8, "SetNode", ["own"], a=4),
    )
    made = definition("s", *inner, links=[(1, 5, 0, 6, 0), (2, 7, 0, -20, 0), (4, 6, 0, 8, 0)], outputs=["b"])
    workflow = page(
        node(1, "Source"), node(2, "s"), node(3, "End", x=11, y=12), node(4, "SetNode", ["man"], a=10),
        links=[(10, 1, 0, 4, 0), (11, 2, 0, 3, 0), (12, 4, 0, 3, 1)], subgraphs=[made],
    )  # fmt: skip
    prompt, _ = api_prompt(workflow)
    assert prompt.keys() == {"1", "3", "2:6"}
    assert prompt["2:6"]["inputs"] == {"a": ["1", 0]}
    assert prompt["3"]["inputs"] == {"x": ["2:6", 0], "y": ["1", 0]}


def get_node(*setters):
    return page(node(1, "GetNode", ["man"]), node(2, "End", x=5), *setters, links=[(5, 1, 0, 2, 0)])


def primitive_through_a_subgraph():
    workflow = through(node(5, "Work", a=1), inner_links=[(1, -10, 0, 5, 0), (2, 5, 0, -20, 0)])
    workflow["nodes"][0] = node(1, "PrimitiveNode", [5, "fixed"])
    return workflow


def wrong_values():
    workflow, _ = saved("used twice, 1.58.1")
    next(each for each in workflow["nodes"] if str(each["id"]) == "15")["widgets_values"] = [96]
    return workflow


def renamed_input():
    workflow, _ = saved("used twice, 1.58.1")
    workflow["definitions"]["subgraphs"][0]["inputs"][0]["name"] = "other"
    return workflow


def multiplied():
    levels = [definition(f"s{i}", *(node(k, f"s{i + 1}") for k in range(10)), links=[]) for i in range(12)] + [
        definition("s12", node(1, "A"))
    ]
    return page(node(1, "s0"), subgraphs=levels)


REFUSED = {
    "itself": (
        page(node(1, "s"), subgraphs=[definition("s", node(4, "t")), definition("t", node(5, "s"))]),
        'subgraph "S" contains itself, at node 1:4:5',
    ),
    "ids": (page(node(1, "A"), node("1", "B")), "two nodes with the id 1"),
    "ids inside": (page(node(7, "s"), subgraphs=[definition("s", node(1, "A"), node(1, "B"))]), "the id 7:1"),
    "many": (multiplied(), "more than 20000 nodes"),
    "circle": (
        page(
            node(1, "Reroute", a=5),
            node(2, "Reroute", a=6),
            node(3, "End", x=5),
            links=[(5, 2, 0, 1, 0), (6, 1, 0, 2, 0)],
        ),
        r"links before x of Node 3 \(End\) lead in a circle",
    ),
    "no link": (page(node(3, "End", title="My end", x=9)), r"x of Node 3 \(My end, End\) is connected by link 9"),
    "no node": (page(node(3, "End", x=9), links=[(9, 8, 0, 3, 0)]), "connected to node 8, which the file does not"),
    "everywhere": (page(node(3, "Anything Everywhere3")), r"Node 3 \(Anything Everywhere3\) connects inputs.*Export"),
    "no setter": (get_node(), r"Node 1 \(GetNode\) asks for 'man', but no SetNode"),
    "two setters": (get_node(node(3, "SetNode", ["man"]), node(4, "SetNode", ["man"])), "2 SetNodes are called 'man'"),
    "primitive": (primitive_through_a_subgraph(), r"a of Node 2:5 \(Work\) gets its value from Node 1 \(Prim"),
    "values": (wrong_values(), r"Node 15 .* does not say which of its values \[96\] is"),
    "inputs": (renamed_input(), "has no input 'other' at the position"),
}


@pytest.mark.parametrize(("workflow", "message"), REFUSED.values(), ids=REFUSED.keys())
def test_what_is_not_clear_is_refused_with_its_node(workflow, message):
    """At once, or where the input is read: what is wrong before one node does not matter to the others."""
    try:
        prompt, _ = api_prompt(workflow)
    except LumosXError as error:
        assert re.search(message, str(error))
        return
    unclear = [value.reason for each in prompt.values() for value in each["inputs"].values() if type(value) is Unclear]
    assert re.search(message, unclear[0])
    graph = Graph(prompt)
    with pytest.raises(LumosXError, match=message):
        for each in graph.nodes.values():
            for name in each.inputs:
                each.get(name)


def test_what_is_not_looked_into_is_said_when_it_is_asked():
    missing = "f5ffa4ac-d689-41f2-95dc-8d6d559338ac"
    _, unreadable = api_prompt(page(node(1, missing), node(2, "workflow>My group")))
    assert "subgraph, whose definition is not in the file" in unreadable["1"]
    assert "group node" in unreadable["2"] and "Convert to Nodes" in unreadable["2"]


@pytest.mark.slow
def test_files_damaged_at_random_are_read_or_refused(tmp_path):
    """Values of all kinds in all places, keys and entries that are gone or doubled: no other error, no hang."""
    dice = random.Random(12)
    odd = [None, True, -1, 2.5, 1e999, "", "x", "15", [], {}, [1], {"id": 1}, [[1, 2, 3, 4, 5, 6]], -10, 15, 8]
    names = sorted(SAVED)
    refused = 0
    for _ in range(400):
        workflow = copy.deepcopy(saved_once(dice.choice(names)))
        for _ in range(dice.randint(1, 4)):
            damage(workflow, dice, odd)
        path = tmp_path / "w.json"
        path.write_text(json.dumps(workflow))
        try:
            graph = read_workflow(path)
            assert isinstance(graph, Graph)
            read_video(graph, tmp_path, node_id=None)
        except LumosXError as error:
            assert str(error)
            refused += 1
    assert 100 < refused < 400


_CACHE: dict[str, dict] = {}


def saved_once(name: str) -> dict:
    if name not in _CACHE:
        _CACHE[name] = saved(name)[0]
    return _CACHE[name]


def damage(workflow: dict, dice: random.Random, odd: list) -> None:
    """Change one thing somewhere in a workflow, in place."""
    place = workflow
    while True:
        keys = list(place) if isinstance(place, dict) else range(len(place))
        if not keys:
            return
        key = dice.choice(list(keys))
        if isinstance(place[key], dict | list) and place[key] and dice.random() < 0.85:
            place = place[key]
            continue
        choice = dice.randrange(4)
        if choice == 0:
            del place[key]
        elif choice == 1 and isinstance(place, list):
            place.insert(key, copy.deepcopy(place[dice.randrange(len(place))]))
        else:
            place[key] = copy.deepcopy(dice.choice(odd))
        return


def proxied(inner, value):
    """A subgraph 2 whose node keeps the value of a widget of its inner node, as front ends after 1.35 may."""
    inner["inputs"] = [{"name": "w", "type": "INT", "link": None, "widget": {"name": "w"}}]
    instance = node(2, "s", [value]) | {"properties": {"proxyWidgets": [["5", "w"]]}}
    return page(instance, subgraphs=[definition("s", inner), definition("t")])


@pytest.mark.parametrize(("value", "expected"), [(7, 7), (None, 3)])
def test_a_value_that_the_instance_keeps_for_an_inner_widget_counts(value, expected):
    prompt, unreadable = api_prompt(proxied(node(5, "Work", [3]), value))
    assert prompt["2:5"]["inputs"] == {"w": expected} and not unreadable


def test_a_value_that_the_instance_keeps_for_a_subgraph_inside_is_refused():
    with pytest.raises(LumosXError, match="Node 2 .* keeps the value of 'w' of another subgraph inside it"):
        api_prompt(proxied(node(5, "t", [3]), 7))
