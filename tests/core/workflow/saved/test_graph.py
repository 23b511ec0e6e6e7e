"""A graph gives nodes, values and links, and says what is wrong with it."""

from __future__ import annotations

import pytest
from workflow_graphs import node, two_people

from lumosx_core.errors import LumosXError
from lumosx_core.workflow.saved.graph import Graph, Link
from lumosx_core.workflow.values import Values


def test_a_link_is_told_from_a_value():
    graph = Graph({"1": node("A", text="x", size=[3, 4], number=2), "2": node("B", a=["1", 1], b=2.5)})
    first, second = graph.node("1"), graph.node("2")
    assert (first.get("text"), first.get("size"), first.link("text")) == ("x", [3, 4], None)
    assert second.link("a") == Link("1", 1) and graph.source(second, "a") == (first, 1)
    assert (second.get("b"), second.get("absent", 7), graph.source(second, "b")) == (2.5, 7, None)


def test_a_list_that_the_page_wraps_is_a_value():
    graph = Graph({"1": node("A", pair={"__value__": ["3", 0]})})
    assert graph.node("1").get("pair") == ["3", 0]


def test_a_growing_list_is_read_in_the_order_of_its_numbers():
    slots = {f"subjects__subject_{i}": [str(i), 0] for i in (10, 2, 1)}
    graph = Graph({"7": node("LumosXScene", **slots, background=["5", 0])})
    assert [link.node for link in graph.node("7").grown("subjects")] == ["1", "2", "10"]


def test_inputs_that_grow_are_read_in_the_order_of_their_numbers():
    slots = {f"subject_{i}": [str(i), 0] for i in (10, 2, 1)}
    graph = Graph({"7": node("LumosXScene", **slots, subjects__subject_1=["5", 0], subject_x=["6", 0])})
    assert [link.node for link in graph.node("7").numbered("subject")] == ["1", "2", "10"]


def test_a_slot_without_a_number_is_none():
    graph = Graph({"7": node("LumosXScene", subjects__x=["5", 0], subjects__subject_1=["6", 0])})
    assert [link.node for link in graph.node("7").grown("subjects")] == ["6"]


def test_nodes_of_a_type_come_by_rising_id():
    graph = Graph({id: node("A") for id in ("10", "b", "9", "3:1")} | {"1": node("B")})
    assert [each.id for each in graph.of_type("A")] == ["9", "10", "3:1", "b"]


@pytest.mark.parametrize(
    ("prompt", "message"),
    [
        ([1], r"JSON object of nodes by their ids, but this is \[1\]"),
        ({"5": {"inputs": {}}}, "Node 5 of the workflow has no class_type"),
        ({"5": {"class_type": "A", "inputs": [1]}}, "Node 5"),
        ({"1": node("A", a=["2", 0]), "2": node("B", b=["3", 0]), "3": node("C", c=["1", 0])}, "lead back to it"),
        ({"1": node("A", a=["1", 0])}, r"node 1 \(A\) lead back"),
    ],
    ids=["list", "no type", "no inputs", "circle", "itself"],
)
def test_what_is_no_prompt_is_refused(prompt, message):
    with pytest.raises(LumosXError, match=message):
        Graph(prompt)


def test_two_ways_to_one_node_are_no_circle():
    graph = Graph({"1": node("A"), "2": node("B", a=["1", 0], b=["1", 1]), "3": node("C", a=["2", 0], b=["1", 0])})
    assert [each.id for each in graph.of_type("A", "B", "C")] == ["1", "2", "3"]


def test_a_long_chain_is_no_trouble():
    chain = {str(i): node("A", a=[str(i - 1), 0]) for i in range(5000)}
    assert len(Graph(chain).nodes) == 5000


def test_mistakes_name_the_node_and_its_type():
    graph = Graph(two_people())
    with pytest.raises(LumosXError, match="has no node 77"):
        graph.node("77")
    with pytest.raises(LumosXError, match=r"scene of node 10 \(LumosXSceneToVideo\) comes from node 9 \(LumosXScene\)"):
        Values(graph, None).get(graph.node("10"), "scene")
    broken = Graph({"1": node("A", a=["2", 0])})
    with pytest.raises(LumosXError, match=r"a of node 1 \(A\) is connected to node 2, which the workflow does not"):
        broken.source(broken.node("1"), "a")
