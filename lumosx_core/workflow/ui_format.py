"""A workflow as ComfyUI's page saves it, turned into what the page sends to the server (the API prompt).

The file has "nodes" and "links". A node's inputs name their widgets, whose values stand in "widgets_values" in the same
order, with further values in between: what is to be done with a seed after each run, and the button of an upload.
Muted nodes (mode 2) are gone, bypassed ones (mode 4) hand on an input of the same type, Reroute hands on its only one,
and a PrimitiveNode is the value of the widgets it is connected to.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

MUTED, BYPASSED = 2, 4
NOT_SENT = {"Reroute", "PrimitiveNode", "Note", "MarkdownNote"}  # they live in the page only
BESIDE_A_VALUE = ("fixed", "increment", "decrement", "randomize", "image")
EXPORT = "In ComfyUI, save it with Export (API), which has everything in it."

# Prompts whose comments and {choices} the page resolves when it sends them.
_PROMPTS = {"LumosXSceneToVideo": ("positive_prompt", "negative_prompt"), "LumosXAutoScene": ("prompt",)}


def is_ui_format(workflow: Any) -> bool:
    """Whether the content of a file was saved by the page, and is no API prompt."""
    return isinstance(workflow, Mapping) and isinstance(workflow.get("nodes"), list)


def api_prompt(workflow: Mapping[str, Any]) -> tuple[dict[str, dict], dict[str, str]]:
    """Turn a file of the page into an API prompt.

    Returns: the prompt; and for each node of which the file does not tell everything, a sentence that says why and
        what to do. What is known of such a node is in the prompt.
    """
    page = _Page(workflow)
    prompt, unreadable = {}, {}
    for id, node in page.nodes.items():
        if node["type"] in NOT_SENT or node.get("mode") in (MUTED, BYPASSED):
            continue
        inputs, reason = _values(node)
        if node["type"] in page.subgraphs:
            reason = f'it is the subgraph "{page.subgraphs[node["type"]]}", which is not looked into'
        for slot in node.get("inputs") or []:
            if (source := page.source(slot)) is not None:
                inputs[slot["name"]] = source
        prompt[id] = {"class_type": node["type"], "inputs": inputs}
        if reason:
            unreadable[id] = f"Node {id} ({node['type']}) of the saved workflow cannot be read: {reason}. {EXPORT}"
    return prompt, unreadable


class _Page:
    def __init__(self, workflow: Mapping[str, Any]):
        self.nodes = {str(node["id"]): node for node in workflow["nodes"]}
        self.links = dict(map(_link, workflow.get("links") or []))
        definitions = (workflow.get("definitions") or {}).get("subgraphs") or []
        self.subgraphs = {each["id"]: each.get("name", "") for each in definitions}

    def source(self, slot: Mapping[str, Any]) -> Any:
        """What reaches an input: [id, output] of the node that makes it, a value, or None for nothing."""
        origin, output = self.links.get(slot.get("link"), (None, 0))
        node = self.nodes.get(origin)
        if node is None or node.get("mode") == MUTED:
            return None
        inputs = node.get("inputs") or []
        if node.get("mode") == BYPASSED:
            handed_on = _handed_on(node, output, slot.get("type"))
            return None if handed_on is None else self.source(inputs[handed_on])
        if node["type"] == "Reroute":
            return self.source({**inputs[0], "type": slot.get("type")})
        if node["type"] == "PrimitiveNode":
            return node["widgets_values"][0]
        return [origin, output]


def _link(link: Any) -> tuple[int, tuple[str, int]]:
    """Number of a link, and the node and output it comes from: a list in most files, an object in newer ones."""
    if isinstance(link, Mapping):
        return link["id"], (str(link["origin_id"]), link["origin_slot"])
    return link[0], (str(link[1]), link[2])


def _handed_on(node: Mapping[str, Any], output: int, wanted: Any) -> int | None:
    """Which input a bypassed node gives for one of its outputs: that of the same place, else the first that fits."""
    kinds = [slot.get("type") for slot in node.get("inputs") or []]
    made = node["outputs"][output].get("type")
    if wanted in ("*", "", None):
        return None if not kinds else output if output < len(kinds) else 0
    fitting = [i for i, kind in enumerate(kinds) if _fit(kind, made) and _fit(kind, wanted)]
    if output in fitting:
        return output
    return next((i for i, kind in enumerate(kinds) if kind == wanted), next(iter(fitting), None))


def _fit(one: Any, other: Any) -> bool:
    """Whether the page joins two types: they are equal, one takes anything, or their lists share one."""
    if "*" in (one, other):
        return True
    return bool(set(str(one).lower().split(",")) & set(str(other).lower().split(",")))


def _values(node: Mapping[str, Any]) -> tuple[dict[str, Any], str]:
    """The values of a node's widgets by name, and why they are not all known, "" if they are."""
    written = node.get("widgets_values") or []
    slots = [slot for slot in node.get("inputs") or [] if slot.get("widget")]
    names = [slot["widget"]["name"] for slot in slots if slot.get("type") != "IMAGEUPLOAD"]  # that one is a button
    values = dict(written) if isinstance(written, Mapping) else _by_name(names, written)
    if values is None:
        reason = f"it has {len(written)} values, but names {len(names)} inputs for them ({', '.join(names) or 'none'})"
        return {}, reason
    for name in _PROMPTS.get(node["type"], ()):
        values[name] = _without_comments(values[name])
        if re.search(r"(?<!\\)\{", values[name]):
            prompt = values.pop(name)
            return values, f"{name} has choices in braces, of which the page takes one at random each time: {prompt!r}"
        values[name] = re.sub(r"\\([{}|])", r"\1", values[name])
    return values, ""


def _by_name(names: list[str], written: list) -> dict[str, Any] | None:
    """The values that stand in the order of the names; None if it is not clear which is whose."""
    values, left = {}, list(written)
    for done, name in enumerate(names, 1):
        if not left:
            return None
        values[name] = left.pop(0)
        if len(left) > len(names) - done and left[0] in BESIDE_A_VALUE:
            left.pop(0)
    return None if left else values


def _without_comments(text: str) -> str:
    return re.sub(r"/\*.*?\*/|//[^\n]*", "", text, flags=re.DOTALL)
