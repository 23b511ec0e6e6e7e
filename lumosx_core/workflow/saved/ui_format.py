"""A workflow as ComfyUI's page saves it, turned into what the page sends to the server (the API prompt).

The file has "nodes" and "links". A node's inputs name their widgets, whose values are in "widgets_values" in the same
order, with further values in between: what is to be done with a seed after each run, and the button of an upload.
Muted nodes (mode 2) are gone, bypassed ones (mode 4) hand on an input of the same type, Reroute hands on its only one,
and a PrimitiveNode is the value of the widgets it is connected to. Subgraphs are unpacked (`subgraphs`), and a GetNode
is what its SetNode is connected to.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ...errors import LumosXError, shown
from .graph import Unclear
from .subgraphs import SETTERS, Border, Scope, named, root_scope
from .widget_values import widget_values

MUTED, BYPASSED = 2, 4
GETTERS = {"GetNode", "easy getNode"}
REROUTES = {"Reroute", "Reroute (rgthree)", *SETTERS}  # what they give is what they are connected to
NOT_SENT = REROUTES | GETTERS | {"PrimitiveNode", "Note", "MarkdownNote"}  # they live in the page only
# They connect inputs while the page sends the workflow, and leave no links in the file.
_INVISIBLE_LINKS = ("Anything Everywhere", "Prompts Everywhere", "Seed Everywhere")
_GROUP_NODES = ("workflow>", "workflow/")
_MOST_STEPS = 1000  # reroutes, subgraphs and bypassed nodes behind one another before one input
_CONVERT = "Open it in ComfyUI, choose Convert to Nodes in the node's menu, and save the workflow again."
EXPORT = "In ComfyUI, save it with Export (API), which has everything in it."


def api_prompt(workflow: Mapping[str, Any]) -> tuple[dict[str, dict], dict[str, str]]:
    """Turn a file of the page into an API prompt.

    Returns: the prompt; and for each node of which the file does not tell everything, a sentence that says why and
        what to do. What is known of such a node is in the prompt.

    Raises:
        LumosXError: links or subgraphs that are not clear, or that only the page's own extensions resolve.
    """
    prompt: dict[str, dict] = {}
    unreadable: dict[str, str] = {}
    root = root_scope(workflow)
    if (workflow.get("extra") or {}).get("ue_links"):
        raise LumosXError(
            f"The workflow connects inputs without links (Use Everywhere), which only the page does. {EXPORT}"
        )
    # As in the page, a subgraph that is muted or bypassed inside another one is sent, connected to nothing.
    off = {id for id, node in root.nodes.items() if node.get("mode") in (MUTED, BYPASSED)}
    for scope in root.scopes():
        if scope.path.split(":")[0] in off:
            continue
        for id, node in scope.nodes.items():
            if node.get("mode") in (MUTED, BYPASSED) or node["type"] in NOT_SENT or id in scope.inner:
                continue
            if node["type"].startswith(_INVISIBLE_LINKS):
                raise LumosXError(
                    f"{named(node, scope)} connects inputs without links, which only the page does. {EXPORT}"
                )
            inputs, reason = _inputs(scope, id, node)
            prompt[scope.path + id] = {"class_type": node["type"], "inputs": inputs}
            if reason:
                advice = _CONVERT if node["type"].startswith(_GROUP_NODES) else EXPORT
                unreadable[scope.path + id] = (
                    f"{named(node, scope)} of the saved workflow cannot be read: {reason}. {advice}"
                )
    return prompt, unreadable


def turned_off(workflow: Mapping[str, Any]) -> list[str]:
    """The muted and bypassed nodes of a file of the page, as messages name them."""
    root = root_scope(workflow)
    words = {MUTED: "muted", BYPASSED: "bypassed"}
    return [
        f"{named(node, scope)} is {words[node['mode']]}"
        for scope in root.scopes()
        for node in scope.nodes.values()
        if node.get("mode") in (MUTED, BYPASSED)
    ]


def _inputs(scope: Scope, id: str, node: Mapping[str, Any]) -> tuple[dict[str, Any], str]:
    inputs, reason = widget_values(node, scope.overrides_of(id))
    if node["type"].startswith(_GROUP_NODES):
        reason = "it is a group node of earlier front ends, which is not looked into"
    elif len(node["type"]) == 36 and node["type"].count("-") == 4:
        reason = "it is a subgraph, whose definition is not in the file"
    for slot in node.get("inputs") or []:
        try:
            source = _source(scope, slot, node)
        except LumosXError as error:  # what is wrong before one node does not matter to the others
            source = Unclear(str(error))
        if source is not None:
            inputs[slot["name"]] = source
    return inputs, reason


def _source(scope: Scope, slot: Mapping[str, Any], node: Mapping[str, Any]) -> Any:
    """What reaches an input: [id, output] of the node that makes it, a value, or None for nothing."""
    asked, wanted, crossed = f"{slot.get('name')} of {named(node, scope)}", slot.get("type"), False
    link = slot.get("link")
    passed: set[tuple[str, Any]] = set()
    while link is not None:
        if len(passed) > _MOST_STEPS:
            raise LumosXError(f"{asked} is behind more than {_MOST_STEPS} reroutes. Connect it directly.")
        if (scope.path, link) in passed:
            raise LumosXError(f"The links before {asked} lead in a circle. Disconnect one of them.")
        passed.add((scope.path, link))
        if link not in scope.links:
            raise LumosXError(
                f"{asked} is connected by link {link}, which the file does not have. Open the workflow in ComfyUI, "
                f"connect that input again, and save it."
            )
        origin, output = scope.links[link]
        border = scope.border
        if border is not None and origin == border.input_node:
            outside = _instance_input(border, output)
            if outside.get("link") is None:
                return border.promoted(outside)
            link, scope, crossed = outside["link"], border.outer, True
            continue
        if origin not in scope.nodes:
            raise LumosXError(
                f"{asked} is connected to node {scope.path}{origin}, which the file does not have. Open the workflow "
                f"in ComfyUI, connect that input again, and save it."
            )
        node = scope.nodes[origin]
        if node.get("mode") != BYPASSED and node["type"] == "PrimitiveNode":
            if crossed:
                raise LumosXError(
                    f"{asked} gets its value from {named(node, scope)} through a subgraph, which front ends do in "
                    f"different ways. Write the value in the subgraph's node, or use a node such as Int or String."
                )
            return None if node.get("mode") == MUTED else node["widgets_values"][0]
        before = _before(scope, node, output, wanted, asked)
        if before is None:
            return [scope.path + origin, output]
        scope, link = before
    return None


def _before(scope: Scope, node: Mapping[str, Any], output: int, wanted: Any, asked: str) -> tuple[Scope, Any] | None:
    """The link that a node hands on instead of giving something of its own; None if it is a node of the prompt."""
    inputs, id = node.get("inputs") or [], str(node["id"])
    if node.get("mode") == MUTED:
        return scope, None
    if node.get("mode") == BYPASSED:
        handed_on = _handed_on(node, output, wanted)
        return scope, None if handed_on is None else inputs[handed_on].get("link")
    if id in scope.inner:
        inside = scope.inner[id]
        if output not in inside.ends:
            raise LumosXError(
                f"{asked} is connected to output {output} of {named(node, scope)}, which nothing inside that subgraph "
                f"is connected to. Connect it in ComfyUI, and save the workflow again."
            )
        return inside, inside.ends[output]
    if node["type"] in REROUTES:
        return scope, inputs[0].get("link") if inputs else None
    if node["type"] in GETTERS:
        around, setter = _setter(scope, node)
        slots = setter.get("inputs") or []
        return around, slots[0].get("link") if slots else None
    return None


def _instance_input(border: Border, number: int) -> Mapping[str, Any]:
    """The input of a subgraph's node that a link inside it comes from."""
    slots = border.node.get("inputs") or []
    name = border.input_names[number]
    if number < len(slots) and slots[number].get("name") == name:
        return slots[number]
    raise LumosXError(
        f"{named(border.node, border.outer)} has no input {name!r} at the position of its subgraph's input. Open "
        f"the workflow in ComfyUI and save it again."
    )


def _setter(scope: Scope, getter: Mapping[str, Any]) -> tuple[Scope, Mapping[str, Any]]:
    """The SetNode of a GetNode, by the name of their constant: in its own subgraph, else in those around it."""
    name, inside = (getter.get("widgets_values") or [None])[0], scope
    around: Scope | None = scope
    while around is not None:
        setters = around.setters.get(str(name), [])
        if len(setters) == 1:
            return around, setters[0]
        if setters:
            raise LumosXError(
                f"{len(setters)} SetNodes are called {shown(name)!r}, so that {named(getter, inside)} is not clear. "
                f"Give each its own name."
            )
        around = None if around.border is None else around.border.outer
    raise LumosXError(
        f"{named(getter, inside)} asks for {shown(name)!r}, but no SetNode has that name. Choose one that is there."
    )


def _handed_on(node: Mapping[str, Any], output: int, wanted: Any) -> int | None:
    """Which input a bypassed node gives for one of its outputs: that of the same index, else the first that fits."""
    kinds = [slot.get("type") for slot in node.get("inputs") or []]
    made = node["outputs"][output].get("type")
    if wanted in ("*", "", None):
        return None if not kinds else output if output < len(kinds) else 0
    fitting = [i for i, kind in enumerate(kinds) if _fit(kind, made) and _fit(kind, wanted)]
    if output in fitting:
        return output
    return next((i for i, kind in enumerate(kinds) if kind == wanted), next(iter(fitting), None))


def _fit(one: Any, other: Any) -> bool:
    """Whether the page joins two types: they are equal, one takes anything, or their lists have one in common."""
    if "*" in (one, other):
        return True
    return bool(set(str(one).lower().split(",")) & set(str(other).lower().split(",")))
