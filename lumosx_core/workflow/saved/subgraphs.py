"""Subgraphs of a saved workflow: each instance of one becomes a scope of nodes of its own, and links cross its border.

A file keeps each subgraph once, in definitions.subgraphs; a node whose type is the id of a definition is an instance of
it. Node 8 inside instance 15 is node "15:8" of the prompt. A link inside that starts at node -10 (inputNode) comes from
the instance's input of that number, one that ends at node -20 (outputNode) is what its output gives.

Values of promoted widgets: front ends up to 1.35 keep them in the inner node and name it in properties.proxyWidgets,
later ones keep them in the instance; a promoted widget that is an input of the instance has its value there in both.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from ...errors import LumosXError, shown
from .graph import MAX_NODES
from .widget_values import values_by_name

SETTERS = {"SetNode", "easy setNode"}
_DEEPEST = 30  # subgraphs within one another
_INPUT_NODE, _OUTPUT_NODE = -10, -20  # where a definition does not say its own


@dataclass(frozen=True, eq=False)
class Border:
    """The border between an instance of a subgraph and the scope around it.

    Args:
        node: the node of the subgraph in the scope `outer`.
        input_node: id of the node inside that links from the instance's inputs start at.
        input_names: of the subgraph, in its order.
    """

    node: Mapping[str, Any]
    outer: Scope
    input_node: str
    input_names: tuple[Any, ...]

    def promoted(self, slot: Mapping[str, Any]) -> Any:
        """The value that the instance keeps for one of its inputs, or None if the inner widget keeps it.

        Raises:
            LumosXError: it is not clear which of the instance's values that is.
        """
        written = self.node.get("widgets_values")
        name = (slot.get("widget") or {}).get("name")
        if name is None or not written:
            return None
        names = [each["widget"]["name"] for each in self.node["inputs"] if each.get("widget")]
        order = [entry[1] if str(entry[0]) == "-1" else None for entry in _proxies(self.node)]
        values: Mapping[Any, Any] | None
        if name in order:  # values are in the order of proxyWidgets, with null for those that inner nodes keep
            values = dict(zip(order, written, strict=False))
        else:
            values = written if isinstance(written, Mapping) else values_by_name(names, written)
        if values is None or values.get(name) is None:
            raise LumosXError(
                f"{named(self.node, self.outer)} does not say which of its values {shown(repr(written))} is "
                f"{shown(name)!r}. "
                f"Open the workflow in ComfyUI and save it with Export (API)."
            )
        return values[name]


@dataclass(eq=False)
class Scope:
    """The nodes and links of a workflow, or of one instance of a subgraph in it.

    Args:
        path: prefix of the ids of its nodes in the prompt: "" or "15:" or "17:15:".
        links: node and output that a link comes from, by the link's number.
        ends: the link that leads to each output of the subgraph, by the output's number.
        border: None for the workflow itself.
        overrides: values of inner widgets that the instance keeps, by inner node and widget.
        setters: its SetNodes, by the names of their constants.
        inner: the scopes of its own instances of subgraphs, by their ids.
    """

    path: str
    nodes: dict[str, Mapping[str, Any]]
    links: dict[Any, tuple[str, int]]
    ends: dict[int, Any] = field(default_factory=dict)
    border: Border | None = None
    overrides: dict[str, dict[str, Any]] = field(default_factory=dict)
    inner: dict[str, Scope] = field(default_factory=dict)
    setters: dict[str, list[Mapping[str, Any]]] = field(default_factory=dict)

    def overrides_of(self, id: str) -> Mapping[str, Any]:
        """The values of a node's widgets that the instance keeps, by their names."""
        return self.overrides.get(id, {})

    def scopes(self) -> Iterator[Scope]:
        """This scope and all inside it."""
        yield self
        for scope in self.inner.values():
            yield from scope.scopes()


def root_scope(workflow: Mapping[str, Any]) -> Scope:
    """The scope of a workflow, with one scope for each instance of a subgraph in it, and in those.

    Raises:
        LumosXError: two nodes with one id, a subgraph that contains itself, or more than MAX_NODES nodes.
    """
    definitions = {each["id"]: each for each in (workflow.get("definitions") or {}).get("subgraphs") or []}
    return _Builder(definitions).scope(workflow, "", ())


def named(node: Mapping[str, Any], scope: Scope) -> str:
    """A node for messages: its title, if it has one, its id, and its type."""
    title = node.get("title")
    kind = "subgraph" if str(node["id"]) in scope.inner else node["type"]
    return (
        f"Node {scope.path}{node['id']} ({title}, {kind})"
        if title and title != kind
        else (f"Node {scope.path}{node['id']} ({kind})")
    )


class _Builder:
    def __init__(self, definitions: Mapping[str, Mapping[str, Any]]):
        self.definitions = definitions
        self.count = 0

    def scope(self, graph: Mapping[str, Any], path: str, within: tuple[str, ...]) -> Scope:
        nodes: dict[str, Mapping[str, Any]] = {}
        for node in graph["nodes"]:
            if str(node["id"]) in nodes:
                raise LumosXError(
                    f"The workflow has two nodes with the id {path}{node['id']}, so its links are not clear. Open it "
                    f"in ComfyUI and save it again."
                )
            nodes[str(node["id"])] = node
        self.count += len(nodes)
        if self.count > MAX_NODES:
            raise LumosXError(
                f"The subgraphs of the workflow expand to more than {MAX_NODES} nodes. Open it in ComfyUI, unpack what "
                f"the video needs, and save it with Export (API)."
            )
        if len(within) > _DEEPEST:
            raise LumosXError(
                f"The workflow has subgraphs within subgraphs more than {_DEEPEST} times. Open it in ComfyUI, unpack "
                f"what the video needs, and save it with Export (API)."
            )
        links = [link_of(link) for link in graph.get("links") or [] if link is not None]
        scope = Scope(path, nodes, {id: origin for id, origin, _ in links})
        if within:
            output_node = _border_node(graph, "outputNode", _OUTPUT_NODE)
            scope.ends = {end[1]: id for id, _, end in links if end[0] == output_node}
        for id, node in nodes.items():
            if not isinstance(node["type"], str):
                raise TypeError(f"type of node {path}{id} is {node['type']!r}")
            if node["type"] in SETTERS:
                name = str((node.get("widgets_values") or [None])[0])
                scope.setters.setdefault(name, []).append(node)
            if node["type"] in self.definitions:
                scope.inner[id] = self._instance(node, scope, within)
        return scope

    def _instance(self, node: Mapping[str, Any], outer: Scope, within: tuple[str, ...]) -> Scope:
        definition = self.definitions[node["type"]]
        path = f"{outer.path}{node['id']}:"
        if node["type"] in within:
            raise LumosXError(
                f'The subgraph "{definition.get("name", "")}" contains itself, at node {path[:-1]}. Take it out in '
                f"ComfyUI, and save the workflow again."
            )
        scope = self.scope(definition, path, (*within, node["type"]))
        input_names = tuple(each.get("name") for each in definition.get("inputs") or [])
        scope.border = Border(node, outer, _border_node(definition, "inputNode", _INPUT_NODE), input_names)
        written = node.get("widgets_values")
        for (inner, name), value in zip(_proxies(node), written if isinstance(written, list) else [], strict=False):
            if str(inner) == "-1" or value is None:
                continue
            if str(inner) in scope.inner:
                raise LumosXError(
                    f"{named(node, outer)} keeps the value of {name!r} of another subgraph inside it. Open the "
                    f"workflow in the newest ComfyUI and save it again, or save it with Export (API)."
                )
            scope.overrides.setdefault(str(inner), {})[name] = value
        return scope


def _border_node(definition: Mapping[str, Any], name: str, usual: int) -> str:
    """The id that links inside a subgraph have for its inputs or its outputs."""
    return str((definition.get(name) or {}).get("id", usual))


def _proxies(instance: Mapping[str, Any]) -> list:
    return (instance.get("properties") or {}).get("proxyWidgets") or []


def link_of(link: Any) -> tuple[Any, tuple[str, int], tuple[str, int]]:
    """Number of a link, and node and slot of its two ends: a list in the workflow, an object in subgraphs."""
    if isinstance(link, Mapping):
        return (
            link["id"],
            (str(link["origin_id"]), int(link["origin_slot"])),
            (str(link["target_id"]), int(link["target_slot"])),
        )
    return link[0], (str(link[1]), int(link[2])), (str(link[3]), int(link[4]))
