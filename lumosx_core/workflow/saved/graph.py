"""A ComfyUI workflow as the page sends it to the server (the API prompt): nodes, their values, and their links.

    {"3": {"class_type": "LumosXScene", "inputs": {"object_1": ["7", 0], "object_1_phrase": "white lamp"}}, ...}

A link is [id of the node it comes from, number of that node's output]; everything else is a value. Muted, bypassed and
Reroute nodes are no longer in it: the page resolves them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ...errors import LumosXError, shown
from .titles import own_title

MAX_NODES = 20_000  # of a workflow, also when its subgraphs are unpacked
# They give what they are connected to: the first of their inputs that is.
PASSING = {"Reroute", "Reroute (rgthree)", "ReroutePrimitive|pysssss", "Any Switch (rgthree)"}
_FIX = "Save the workflow from ComfyUI again, with Save or Export (API)."


@dataclass(frozen=True)
class Link:
    """Where an input comes from: a node and the number of its output, from 0."""

    node: str
    slot: int


@dataclass(frozen=True)
class Unclear:
    """In place of an input whose source the file does not determine: a sentence that says why."""

    reason: str


@dataclass(frozen=True, eq=False)
class Node:
    """One node: its id, its type, and what is written in or connected to its inputs.

    Args:
        title: what the artist called it; empty if nothing.
        asked: names of inputs that were read so far.
        unreadable: a sentence for a node whose file does not tell which value belongs to which input; its links are
            known.
    """

    id: str
    type: str
    inputs: Mapping[str, Any]
    unreadable: str = ""
    title: str = ""
    asked: set[str] = field(default_factory=set)

    def __str__(self) -> str:
        return f"node {shown(self.id, 60)} ({shown(self.type, 80)})"

    @property
    def links(self) -> Iterator[tuple[str, Link]]:
        """The connected inputs, by name."""
        for name, value in self.inputs.items():
            if isinstance(value, Link):
                yield name, value

    def link(self, name: str) -> Link | None:
        """What is connected to an input; None if nothing is.

        Raises:
            LumosXError: the file does not tell.
        """
        value = self._input(name)
        return value if isinstance(value, Link) else None

    def get(self, name: str, default: Any = None) -> Any:
        """What is written in an input, or the Link that is connected to it.

        Raises:
            LumosXError: the file does not tell.
        """
        if name not in self.inputs and self.unreadable:
            raise LumosXError(self.unreadable)
        return self._input(name, default)

    def _input(self, name: str, default: Any = None) -> Any:
        self.asked.add(name)
        value = self.inputs.get(name, default)
        if isinstance(value, Unclear):
            raise LumosXError(value.reason)
        return value

    def grown(self, name: str) -> list[Link]:
        """What is connected to an input list that grows ("images.image0", ...), by the numbers of its slots."""
        return self._numbered(rf"{re.escape(name)}\..*?([0-9]+)")

    def numbered(self, slot: str) -> list[Link]:
        """What is connected to the inputs "slot_1", "slot_2", ..., by their numbers."""
        return self._numbered(rf"{re.escape(slot)}_([0-9]+)")

    def _numbered(self, pattern: str) -> list[Link]:
        slots = [slot for name in self.inputs if (slot := re.fullmatch(pattern, name))]
        slots.sort(key=lambda slot: (len(slot[1].lstrip("0")), slot[1].lstrip("0")))  # as numbers of any length
        return [link for slot in slots if (link := self.link(slot[0])) is not None]


class Graph:
    """The nodes of a workflow, by id.

    Args:
        prompt: the API prompt.
        unreadable: for nodes whose values the prompt lacks, why.
        turned_off: what messages call the nodes that the page left out of the prompt, and why.

    Raises:
        LumosXError: it is not an API prompt, or its links go in a circle.
    """

    def __init__(
        self,
        prompt: Mapping[str, Any],
        unreadable: Mapping[str, str] | None = None,
        turned_off: Sequence[str] = (),
    ):
        self.turned_off = tuple(turned_off)
        if not isinstance(prompt, Mapping):
            raise LumosXError(f"A workflow is a JSON object of nodes by their ids, but this is {_kind(prompt)}. {_FIX}")
        if len(prompt) > MAX_NODES:
            raise LumosXError(f"The workflow has {len(prompt)} nodes, but at most {MAX_NODES} are read. Use fewer.")
        self.nodes = {
            str(id): _node(str(id), entry, (unreadable or {}).get(str(id), "")) for id, entry in prompt.items()
        }
        self._check_no_circle()

    def node(self, id: str) -> Node:
        """Raise LumosXError for an id that the workflow lacks."""
        if id not in self.nodes:
            known = ", ".join(sorted(self.nodes)[:30]) or "none"
            more = f" and {len(self.nodes) - 30} more" if len(self.nodes) > 30 else ""
            raise LumosXError(f"The workflow has no node {shown(id, 60)}. Its nodes are: {shown(known, 600)}{more}.")
        return self.nodes[id]

    def source(self, node: Node, name: str) -> tuple[Node, int] | None:
        """The node that an input is connected to and the number of its output; None if nothing is connected.

        Raises:
            LumosXError: the link leads to a node that is not there.
        """
        link = node.link(name)
        return None if link is None else self.origin(link, f"{name} of {node}")

    def origin(self, link: Link, what: str) -> tuple[Node, int]:
        """The node that a link comes from, past reroutes, and the number of its output.

        Args:
            what: whose link it is, for the message.

        Raises:
            LumosXError: that node is not there.
        """
        while True:
            if link.node not in self.nodes:
                raise LumosXError(
                    f"{what} is connected to node {shown(link.node, 60)}, which the workflow does not have. {_FIX}"
                )
            node = self.nodes[link.node]
            names = sorted(name for name, _ in node.links) if node.type in PASSING else []
            if not names:
                return node, link.slot
            link = node.link(names[0]) or link

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
        raise LumosXError(
            f"Node {shown(id, 60)} of the workflow has no class_type and inputs, but is {_kind(entry)}. {_FIX}"
        )
    inputs = {name: _input(value) for name, value in entry.get("inputs", {}).items()}
    if not all(isinstance(name, str) for name in inputs):  # of a page's file, where names are values
        raise LumosXError(f"Node {shown(id, 60)} of the workflow has an input whose name is not text. {_FIX}")
    return Node(id, entry["class_type"], inputs, unreadable, own_title(entry))


def _input(value: Any) -> Any:
    if isinstance(value, list) and len(value) == 2 and isinstance(value[0], str) and _is_number(value[1]):
        return Link(value[0], int(value[1]))
    if isinstance(value, Mapping) and "__value__" in value:  # how the page wraps a list that is not a link
        return value["__value__"]
    return value


def _is_number(slot: Any) -> bool:
    """Whether the second part of a list is the number of an output; ComfyUI takes 0.0, too."""
    return (isinstance(slot, int) and not isinstance(slot, bool)) or (isinstance(slot, float) and slot.is_integer())


def _by_id(node: Node) -> tuple[bool, int, str]:
    decimal = node.id.isdecimal() and len(node.id) < 1000
    return not decimal, int(node.id) if decimal else 0, node.id


def _kind(value: Any) -> str:
    try:
        return shown(repr(value), 60)
    except (ValueError, RecursionError):  # thousands of digits, or of lists within lists
        return "something else"
