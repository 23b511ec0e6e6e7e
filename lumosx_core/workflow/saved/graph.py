"""A ComfyUI workflow as the page sends it to the server (the API prompt): nodes, their values, and their links.

    {"3": {"class_type": "LumosXScene", "inputs": {"object_1": ["7", 0], "object_1_phrase": "white lamp"}}, ...}

A link is [id of the node it comes from, number of that node's output]; everything else is a value. Muted, bypassed and
Reroute nodes are no longer in it: the page resolves them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ...errors import LumosXError
from .titles import own_title

_FIX = "Save the workflow from ComfyUI again, with Save or Export (API)."


@dataclass(frozen=True)
class Link:
    """Where an input comes from: a node and the number of its output, from 0."""

    node: str
    slot: int


@dataclass(frozen=True, eq=False)
class Node:
    """One node: its id, its type, and what is written in or connected to its inputs.

    Args:
        title: what the artist called it; empty if nothing.
        unreadable: a sentence for a node whose file does not tell which value belongs to which input; its links are
            known.
    """

    id: str
    type: str
    inputs: Mapping[str, Any]
    unreadable: str = ""
    title: str = ""

    def __str__(self) -> str:
        return f"node {self.id} ({self.type})"

    @property
    def links(self) -> Iterator[tuple[str, Link]]:
        """The connected inputs, by name."""
        for name, value in self.inputs.items():
            if isinstance(value, Link):
                yield name, value

    def link(self, name: str) -> Link | None:
        """What is connected to an input; None if nothing is."""
        value = self.inputs.get(name)
        return value if isinstance(value, Link) else None

    def get(self, name: str, default: Any = None) -> Any:
        """What is written in an input, or the Link that is connected to it.

        Raises:
            LumosXError: the file does not tell.
        """
        if name not in self.inputs and self.unreadable:
            raise LumosXError(self.unreadable)
        return self.inputs.get(name, default)

    def grown(self, name: str) -> list[Link]:
        """What is connected to an input list that grows ("images.image0", ...), by the numbers of its slots."""
        return self._numbered(rf"{re.escape(name)}\..*?([0-9]+)")

    def numbered(self, slot: str) -> list[Link]:
        """What is connected to the inputs "slot_1", "slot_2", ..., by their numbers."""
        return self._numbered(rf"{re.escape(slot)}_([0-9]+)")

    def _numbered(self, pattern: str) -> list[Link]:
        slots = [(re.fullmatch(pattern, name), link) for name, link in self.links]
        return [link for _, link in sorted(((int(slot[1]), link) for slot, link in slots if slot), key=lambda s: s[0])]


class Graph:
    """The nodes of a workflow, by id.

    Args:
        prompt: the API prompt.
        unreadable: for nodes whose values the prompt lacks, why.

    Raises:
        LumosXError: it is not an API prompt, or its links go in a circle.
    """

    def __init__(self, prompt: Mapping[str, Any], unreadable: Mapping[str, str] | None = None):
        if not isinstance(prompt, Mapping):
            raise LumosXError(f"A workflow is a JSON object of nodes by their ids, but this is {_kind(prompt)}. {_FIX}")
        self.nodes = {
            str(id): _node(str(id), entry, (unreadable or {}).get(str(id), "")) for id, entry in prompt.items()
        }
        self._check_no_circle()

    def node(self, id: str) -> Node:
        """Raise LumosXError for an id that the workflow lacks."""
        if id not in self.nodes:
            known = ", ".join(sorted(self.nodes)) or "none"
            raise LumosXError(f"The workflow has no node {id}. Its nodes are: {known}.")
        return self.nodes[id]

    def source(self, node: Node, name: str) -> tuple[Node, int] | None:
        """The node that an input is connected to and the number of its output; None if nothing is connected.

        Raises:
            LumosXError: the link leads to a node that is not there.
        """
        link = node.link(name)
        return None if link is None else (self.end(link, f"{name} of {node}"), link.slot)

    def end(self, link: Link, what: str) -> Node:
        """The node a link comes from.

        Args:
            what: whose link it is, for the message.

        Raises:
            LumosXError: that node is not there.
        """
        if link.node not in self.nodes:
            raise LumosXError(f"{what} is connected to node {link.node}, which the workflow does not have. {_FIX}")
        return self.nodes[link.node]

    def of_type(self, *types: str) -> list[Node]:
        """The nodes of some types, by rising id."""
        return sorted((node for node in self.nodes.values() if node.type in types), key=_by_id)

    def _check_no_circle(self) -> None:
        finished: set[str] = set()
        for start in self.nodes:
            path: dict[str, Iterator[Link]] = {}
            waiting = [start]
            while waiting:
                id = waiting[-1]
                if id not in path:
                    path[id] = iter([link for _, link in self.nodes[id].links])
                following = next((link.node for link in path[id] if link.node in self.nodes), None)
                if following is None:
                    finished.add(id)
                    del path[id]
                    waiting.pop()
                elif following in path:
                    raise LumosXError(f"The links of {self.nodes[following]} lead back to it. Disconnect one of them.")
                elif following not in finished:
                    waiting.append(following)


def _node(id: str, entry: Any, unreadable: str) -> Node:
    known = isinstance(entry, Mapping) and isinstance(entry.get("class_type"), str)
    if not known or not isinstance(entry.get("inputs", {}), Mapping):
        raise LumosXError(f"Node {id} of the workflow has no class_type and inputs, but is {_kind(entry)}. {_FIX}")
    inputs = {name: _input(value) for name, value in entry.get("inputs", {}).items()}
    return Node(id, entry["class_type"], inputs, unreadable, own_title(entry))


def _input(value: Any) -> Any:
    if isinstance(value, list) and len(value) == 2 and isinstance(value[0], str) and isinstance(value[1], int):
        return Link(*value)
    if isinstance(value, Mapping) and "__value__" in value:  # how the page wraps a list that is not a link
        return value["__value__"]
    return value


def _by_id(node: Node) -> tuple[bool, int, str]:
    return not node.id.isdecimal(), int(node.id) if node.id.isdecimal() else 0, node.id


def _kind(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:60] + " ..."
