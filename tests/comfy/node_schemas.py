"""The parts of node schemas on which saved workflows rely, and which changes break shared workflows.

A workflow saved in the page keeps a node's widgets by their position, its links by the names of inputs and the numbers
of outputs; one in the API's format keeps inputs by name and leaves none of the required ones out.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

FILE_LISTS = {
    *("model_name", "text_encoder_name", "vae_name", "face_encoder_name"),
    "image",  # of LumosX Load Image
    *("face_model", "box_model", "mask_model", "language_model", "face_embedder"),
    "folder",  # of LumosX Scene From Folder
    "file",  # of LumosX Load Subject
}
"""Combos whose options are files in the user's folders."""

OURS = ("LumosX", "Ingredients")
"""How the ids of our nodes begin."""

WIDGETS = {"INT", "FLOAT", "STRING", "BOOLEAN", "COMBO"}


@dataclass
class Changes:
    """Differences from the record, a sentence for each.

    Args:
        breaking: changes after which saved workflows mean something else, or nothing.
        additions: changes that saved workflows survive.
    """

    breaking: list[str] = field(default_factory=list)
    additions: list[str] = field(default_factory=list)


def schemas_of(object_info: dict) -> dict[str, dict]:
    """ComfyUI's answer to /object_info, reduced to the pack's nodes and to what saved workflows rely on."""
    return {name: _node(info) for name, info in sorted(object_info.items()) if name.startswith(OURS)}


def compare(recorded: dict[str, dict], found: dict[str, dict]) -> Changes:
    """Changes between recorded and found schemas, both as `schemas_of` returns them."""
    changes = Changes()
    for name, old in recorded.items():
        if name in found:
            _compare_inputs(name, old["inputs"], found[name]["inputs"], changes)
            _compare_outputs(name, old["outputs"], found[name]["outputs"], changes)
            if old["runs_alone"] and not found[name]["runs_alone"]:
                changes.breaking.append(f"{name} no longer runs without something connected behind it")
            elif old["runs_alone"] != found[name]["runs_alone"]:
                changes.additions.append(f"{name} now runs without anything connected behind it")
        else:
            changes.breaking.append(f"{name} is gone")
    changes.additions += [f"{name} is new" for name in found if name not in recorded]
    return changes


def _node(info: dict) -> dict:
    inputs = [
        _input(name, info["input"][category][name], category)
        for category in ("required", "optional")
        for name in info["input_order"].get(category, [])
    ]
    outputs = [
        {"name": name, "type": kind, "list": is_list}
        for name, kind, is_list in zip(info["output_name"], info["output"], info["output_is_list"], strict=True)
    ]
    return {"inputs": inputs, "outputs": outputs, "runs_alone": info["output_node"]}


def _input(name: str, declaration: list, category: str) -> dict:
    kind, settings = declaration
    found = {"name": name, "type": kind, "required": category == "required"}
    if "template" in settings:  # a list that grows: its slots are recorded like the options of a combo
        [[slot, *_]] = settings["template"]["input"]["optional"].values()
        return {**found, "type": f"{kind} of {slot}", "options": settings["template"]["names"]}
    if kind == "COMBO" and name not in FILE_LISTS:
        # A combo without a default starts with its first option.
        found |= {"default": settings["options"][0], "options": settings["options"]}
    found |= {key: settings[key] for key in ("default", "min", "max", "step") if key in settings}
    if kind in WIDGETS and settings.get("forceInput"):
        found["type"] = f"{kind} by link only"
    return found


def _compare_inputs(node: str, old: list[dict], new: list[dict], changes: Changes) -> None:
    recorded, found = ({each["name"]: each for each in inputs} for inputs in (old, new))
    for name, before in recorded.items():
        if name in found:
            _compare_input(f"{node}.{name}", before, found[name], changes)
        else:
            changes.breaking.append(f"{node}.{name} is gone")
    for name, after in found.items():
        if name in recorded:
            continue
        if after["required"]:
            # Even with a default: in a graph of the API's format a required input is there, or the graph is refused.
            changes.breaking.append(f"{node}.{name} is new and required. Make it optional")
        else:
            changes.additions.append(f"{node}.{name} is new")
    before, after = ([each["name"] for each in inputs if each["type"] in WIDGETS] for inputs in (old, new))
    kept = [name for name in before if name in after]
    if after[: len(kept)] != kept:
        changes.breaking.append(
            f"{node} has its widgets in another order: {', '.join(after)}. Recorded: {', '.join(before)}. Saved values "
            f"are positional: put new widgets behind all others"
        )


def _compare_input(where: str, old: dict, new: dict, changes: Changes) -> None:
    if old["type"] != new["type"]:
        wider = set(old["type"].split(",")) < set(new["type"].split(","))
        kind = changes.additions if wider else changes.breaking
        kind.append(f"{where} takes {new['type']}. Recorded: {old['type']}")
    if old["required"] != new["required"]:
        kind = changes.breaking if new["required"] else changes.additions
        kind.append(f"{where} is {'required' if new['required'] else 'optional'} now")
    if old.get("default") != new.get("default"):
        changes.breaking.append(f"{where} starts at {new.get('default')!r}. Recorded: {old.get('default')!r}")
    if gone := [option for option in old.get("options", ()) if option not in new.get("options", ())]:
        changes.breaking.append(f"{where} lacks {', '.join(gone)}")
    if added := [option for option in new.get("options", ()) if option not in old.get("options", ())]:
        changes.additions.append(f"{where} also has {', '.join(added)}")
    low, high = (
        (old.get("min", -math.inf), new.get("min", -math.inf)),
        (old.get("max", math.inf), new.get("max", math.inf)),
    )
    if low[0] < low[1] or high[0] > high[1]:
        changes.breaking.append(f"{where} has a narrower range, {low[1]} to {high[1]}. Recorded: {low[0]} to {high[0]}")
    elif (low[0], high[0]) != (low[1], high[1]):
        changes.additions.append(f"{where} has a wider range, {low[1]} to {high[1]}")
    if old.get("step") != new.get("step"):
        changes.additions.append(f"{where} goes in steps of {new.get('step')}. Recorded: {old.get('step')}")


def _compare_outputs(node: str, old: list[dict], new: list[dict], changes: Changes) -> None:
    for number, before in enumerate(old):
        if number >= len(new):
            changes.breaking.append(f"{node} lacks its output {number}, {before['name']}")
        elif new[number] != before:
            changes.breaking.append(
                f"{node} has {_shown(new[number])} as its output {number}. Recorded: {_shown(before)}. Links go by "
                f"number: put new outputs behind all others"
            )
    changes.additions += [f"{node} has a new output, {_shown(each)}" for each in new[len(old) :]]


def _shown(output: dict) -> str:
    return f"{output['name']} ({'list of ' if output['list'] else ''}{output['type']})"
