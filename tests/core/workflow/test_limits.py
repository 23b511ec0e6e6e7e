"""Small workflows that describe endless work are computed once a node, or refused with the limit."""

from __future__ import annotations

import tracemalloc

import pytest
import torch
from workflow_graphs import node, two_people, write_picture

from lumosx_core.errors import LumosXError
from lumosx_core.workflow import limits, values
from lumosx_core.workflow.image_nodes import Pictures
from lumosx_core.workflow.outline import scene_outline
from lumosx_core.workflow.saved.graph import Graph
from lumosx_core.workflow.values import Values


def doubling(count: int, text: str = "ab") -> dict:
    graph = {"0": node("PrimitiveString", value=text)}
    for i in range(1, count + 1):
        graph[str(i)] = node("StringConcatenate", string_a=[str(i - 1), 0], string_b=[str(i - 1), 0], delimiter="")
    return graph | {"end": node("Text", text=[str(count), 0])}


def read_text(graph: dict) -> str:
    graph = Graph(graph)
    return Values(graph, None).text(graph.node("end"), "text")


def test_each_node_is_computed_once(monkeypatch):
    calls = []
    compute = Values._output
    monkeypatch.setattr(Values, "_output", lambda self, *rest: calls.append(rest[0].id) or compute(self, *rest))
    assert len(read_text(doubling(18))) == 2 * 2**18
    assert len(calls) == 19


@pytest.mark.parametrize("count", [20, 40, 90])
def test_a_text_that_doubles_is_refused_before_it_fills_the_memory(count):
    tracemalloc.start()
    with pytest.raises(LumosXError, match=f"letters, but at most {limits.MOST_LETTERS} are read"):
        read_text(doubling(count))
    assert tracemalloc.get_traced_memory()[1] < 50 * 2**20
    tracemalloc.stop()


def test_nothing_doubled_any_number_of_times_is_nothing():
    assert read_text(doubling(90, "")) == ""


@pytest.mark.parametrize("kind", ["StringConcatenate", "PrimitiveString"])
def test_a_long_chain_is_refused_not_a_crash(kind):
    names = {"StringConcatenate": "string_a", "PrimitiveString": "value"}
    graph = {str(i): node(kind, **{names[kind]: [str(i - 1), 0]}) for i in range(1, 15_000)}
    graph["0"] = node("PrimitiveString", value="a")
    with pytest.raises(LumosXError, match=f"chain of more than {limits.DEEPEST} nodes"):
        read_text(graph | {"end": node("Text", text=["14999", 0])})
    short = {str(i): graph[str(i)] for i in range(90)}
    assert read_text(short | {"end": node("Text", text=["89", 0])}).startswith("a")


def test_ten_thousand_reroutes_are_followed():
    graph = {str(i): node("Reroute", a=[str(i - 1), 0]) for i in range(1, 10_000)}
    assert read_text(graph | {"0": node("PrimitiveString", value="a"), "end": node("T", text=["9999", 0])}) == "a"


def scenes(count: int, *slots: str) -> Graph:
    graph = two_people()
    graph["a0"] = node("LumosXSubject", face=["1", 0], face_phrase="man")
    for i in range(1, count + 1):
        graph[f"a{i}"] = node("LumosXScene", **{slot: [f"a{i - 1}", 0] for slot in slots})
    graph["10"]["inputs"]["scene"] = [f"a{count}", 0]
    return Graph(graph)


def no_case(folder):
    raise LumosXError("no case")


@pytest.mark.parametrize("count", [7, 20, 60])
def test_scenes_that_double_are_made_once_and_have_a_limit(count):
    outline = scene_outline(scenes(count, "subject_1", "subject_2"), "10", case=no_case)
    if count == 7:
        assert len(outline.scene.subjects) == 128 and outline.unknown == ()
    else:
        assert f"at most {limits.MOST_REFERENCES}" in outline.unknown[0]


@pytest.mark.parametrize("count", [20, 60])
def test_attributes_that_double_have_a_limit(count):
    graph = two_people()
    graph["a0"] = node("LumosXSubject", attribute_1=["1", 0], attribute_1_phrase="hat")
    for i in range(1, count + 1):
        both = {f"more_attributes_{k}": [f"a{i - 1}", 0] for k in (1, 2)}
        graph[f"a{i}"] = node("LumosXSubject", **both)
    graph["10"]["inputs"]["scene"] = [f"a{count}", 0]
    assert f"at most {limits.MOST_REFERENCES}" in scene_outline(Graph(graph), "10", case=no_case).unknown[0]


def test_scenes_within_scenes_have_a_limit():
    assert scene_outline(scenes(90, "subject_1"), "10", case=no_case).unknown == ()
    assert "chain of more than" in scene_outline(scenes(3000, "subject_1"), "10", case=no_case).unknown[0]


def images(count: int, kind: str = "ImageBatch") -> Graph:
    graph = {"0": node("LoadImage", image="plain.jpg")}
    for i in range(1, count + 1):
        link = [str(i - 1), 0]
        both = (
            {"image1": link, "image2": link} if kind == "ImageBatch" else {f"images__image{k}": link for k in range(9)}
        )
        graph[str(i)] = node(kind, **both)
    return Graph(graph | {"end": node("X", image=[str(count), 0])})


@pytest.mark.parametrize(("kind", "count"), [("ImageBatch", 20), ("ImageBatch", 99), ("BatchImagesNode", 30)])
def test_batches_that_double_have_a_limit(tmp_path, monkeypatch, kind, count):
    write_picture(tmp_path / "plain.jpg")
    made = []
    cat = torch.cat
    monkeypatch.setattr(torch, "cat", lambda tensors, *rest: made.append(1) or cat(tensors, *rest))
    graph = images(count, kind)
    with pytest.raises(LumosXError, match=f"images, but at most {limits.MOST_IMAGES}"):
        Pictures(Values(graph, None), tmp_path).image(graph.node("end"), "image")
    assert len(made) < 15
    graph = images(3)
    assert len(Pictures(Values(graph, None), tmp_path).image(graph.node("end"), "image")) == 8


@pytest.mark.parametrize(("index", "length"), [(-1, 1), (0, 0), (0, -5), (10**31, 1), ("x", 1)])
def test_a_part_of_a_batch_that_is_none_is_refused(tmp_path, index, length):
    write_picture(tmp_path / "plain.jpg")
    graph = Graph(
        {
            "0": node("LoadImage", image="plain.jpg"),
            "1": node("ImageFromBatch", image=["0", 0], batch_index=index, length=length),
            "end": node("X", image=["1", 0]),
        }
    )
    with pytest.raises(LumosXError, match="batch_index|length"):
        Pictures(Values(graph, None), tmp_path).image(graph.node("end"), "image")


def test_graphs_of_any_size_are_counted_first():
    with pytest.raises(LumosXError, match="has 20001 nodes, but at most 20000"):
        Graph({str(i): node("A") for i in range(20_001)})


def test_the_limits_are_far_above_what_people_build():
    assert limits.MOST_LETTERS >= 100_000 and limits.MOST_REFERENCES >= 100 and values._LARGEST > 2**64
