"""Values of a saved node's widgets, by the names of its inputs."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from ...errors import shown
from ...prompt.readings import comments
from .widget_names import known_names

_MOST_VALUES = 10_000  # of one node
POWER_LORA = "Power Lora Loader (rgthree)"
BESIDE_A_VALUE = ("fixed", "increment", "decrement", "randomize", "image")

# Prompts whose comments and {choices} the page resolves when it sends them.
_PROMPTS = {"LumosXSceneToVideo": ("positive_prompt", "negative_prompt"), "LumosXAutoScene": ("prompt",)}


def widget_values(node: Mapping[str, Any], overrides: Mapping[str, Any]) -> tuple[dict[str, Any], str]:
    """The values of a node's widgets by name, and why they are not all known, "" if they are.

    Args:
        overrides: values that are kept elsewhere, by the names of widgets.
    """
    written = node.get("widgets_values") or []
    slots = [slot for slot in node.get("inputs") or [] if slot.get("widget")]
    no_widgets = {"IMAGEUPLOAD"}  # a button
    if str(node["type"]).startswith("LumosX") and isinstance(written, list):
        written = _without_boxes(written)
        no_widgets.add("BOUNDING_BOX")
    names = [slot["widget"]["name"] for slot in slots if slot.get("type") not in no_widgets]
    values: dict[str, Any] | None
    if isinstance(written, Mapping):
        values = dict(written)
    elif node["type"] == POWER_LORA:
        values = _power_loras(written)
    else:
        values = values_by_name(names, written)
        # Earlier front ends, and Export, do not name the inputs of widgets that nothing is connected to.
        for known in known_names(node["type"], names) if values is None else ():
            values = values_by_name(known, written) if values is None else values
    if values is None:
        reason = f"it has {len(written)} values, but names {len(names)} inputs for them ({', '.join(names) or 'none'})"
        return {}, reason
    values.update(overrides)
    for name in _PROMPTS.get(node["type"], ()):
        if name not in values:
            return values, f"it has no {name}"
        resolved = resolved_prompt(str(values[name]))
        if resolved is None:
            prompt = values.pop(name)
            text = shown(prompt, 300)
            return values, f"{name} has choices in braces, of which the page takes one at random each time: '{text}'"
        values[name] = resolved
    return values, ""


def _power_loras(written: list) -> dict[str, Any]:
    """The rows of rgthree's Power Lora Loader, as its inputs are called in an API prompt."""
    rows = [value for value in written if isinstance(value, Mapping) and "lora" in value]
    return {f"lora_{number}": row for number, row in enumerate(rows, 1)}


def _without_boxes(values: list) -> list:
    """The values without boxes and the four numbers behind each.

    Front ends since 1.39 made a widget of an input of boxes, which takes links only.
    """
    if len(values) > _MOST_VALUES:
        return values
    kept, left = [], list(values)
    while left:
        value = left.pop(0)
        if isinstance(value, Mapping) and {"x", "y", "width", "height"} <= value.keys():
            for _ in range(4):
                if left and isinstance(left[0], int | float):
                    left.pop(0)
        else:
            kept.append(value)
    return kept


def prompt_names(kind: str) -> tuple[str, ...]:
    """Which inputs of a node type are prompts, in which the page resolves comments and choices."""
    return _PROMPTS.get(kind, ())


def values_by_name(names: list[str], written: list) -> dict[str, Any] | None:
    """The values in the order of the names; None if it is not clear which is whose."""
    if len(written) > _MOST_VALUES:
        return None
    values, left = {}, list(written)
    for done, name in enumerate(names, 1):
        if not left:
            return None
        values[name] = left.pop(0)
        if len(left) > len(names) - done and isinstance(left[0], str) and left[0] in BESIDE_A_VALUE:
            left.pop(0)
    return None if left else values


def resolved_prompt(text: str) -> str | None:
    """A prompt without comments and escapes, as the page sends it; None if it has random choices."""
    text = _without_comments(text)
    return None if re.search(r"(?<!\\)\{", text) else re.sub(r"\\([{}|])", r"\1", text)


def _without_comments(text: str) -> str:
    kept, place = [], 0
    for start, end in comments(text):
        kept.append(text[place:start])
        place = end
    return "".join(kept) + text[place:]
