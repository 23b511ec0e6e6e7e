"""Changes of a node that break saved workflows, and changes that only have to be recorded. Needs no ComfyUI."""

from __future__ import annotations

import copy

import pytest
from node_schemas import compare, schemas_of

OBJECT_INFO = {
    "LumosXThing": {
        "input": {
            "required": {
                "model": ["MODEL", {}],
                "phrase": ["STRING", {"default": "", "multiline": True}],
                "kind": ["COMBO", {"options": ["best", "all"], "tooltip": "Which."}],
                "model_name": ["COMBO", {"options": ["mine.safetensors"]}],
                "steps": ["INT", {"default": 50, "min": 1, "max": 1000, "step": 1}],
            },
            "optional": {
                "mask": ["MASK", {}],
                "strength": ["FLOAT", {"default": 1.0, "min": 0.0, "max": 2.0}],
                "more": [
                    "COMFY_AUTOGROW_V3",
                    {"template": {"input": {"optional": {"more": ["IMAGE", {}]}}, "names": ["more_1", "more_2"]}},
                ],
            },
        },
        "input_order": {
            "required": ["model", "phrase", "kind", "model_name", "steps"],
            "optional": ["mask", "strength", "more"],
        },
        "output": ["CONDITIONING", "CONDITIONING", "LATENT"],
        "output_name": ["positive", "negative", "latent"],
        "output_is_list": [False, False, True],
        "output_node": True,
    },
    "LumosXOther": {
        "input": {"required": {}},
        "input_order": {"required": []},
        "output": [],
        "output_name": [],
        "output_is_list": [],
        "output_node": False,
    },
    "KSampler": {},
}
RECORDED = schemas_of(OBJECT_INFO)


def after(change) -> tuple[list[str], list[str]]:
    """What `change`, a function that edits the /object_info of LumosXThing, breaks and adds."""
    info = copy.deepcopy(OBJECT_INFO)
    change(info["LumosXThing"])
    changes = compare(RECORDED, schemas_of(info))
    return changes.breaking, changes.additions


def breaks(change, *words: str) -> None:
    breaking, _ = after(change)
    assert len(breaking) == 1, breaking
    assert all(word in breaking[0] for word in words), breaking


def only_adds(change, *words: str) -> None:
    breaking, additions = after(change)
    assert breaking == [] and len(additions) == 1
    assert all(word in additions[0] for word in words), additions


def put(category: str, name: str, declaration: list, before: str | None = None):
    """A change that declares one more input."""

    def change(node):
        node["input"][category][name] = declaration
        order = node["input_order"][category]
        order.insert(len(order) if before is None else order.index(before), name)

    return change


def setting(category: str, name: str, **settings):
    """A change of an input's settings."""
    return lambda node: node["input"][category][name][1].update(settings)


def without(category: str, name: str):
    def change(node):
        del node["input"][category][name]
        node["input_order"][category].remove(name)

    return change


def moved(name: str, source: str, destination: str):
    def change(node):
        declaration = node["input"][source][name]
        without(source, name)(node)
        put(destination, name, declaration, before=next(iter(node["input_order"][destination]), None))(node)

    return change


def test_the_same_nodes_have_no_changes():
    assert after(lambda node: None) == ([], [])


def test_the_nodes_of_others_are_not_recorded():
    assert sorted(RECORDED) == ["LumosXOther", "LumosXThing"]


def test_a_node_that_is_gone_breaks_workflows():
    changes = compare(RECORDED, {"LumosXThing": RECORDED["LumosXThing"]})
    assert changes.breaking == ["LumosXOther is gone"]


def test_a_new_node_is_an_addition():
    changes = compare({"LumosXThing": RECORDED["LumosXThing"]}, RECORDED)
    assert (changes.breaking, changes.additions) == ([], ["LumosXOther is new"])


def test_an_input_that_is_gone_breaks_workflows():
    breaks(without("optional", "mask"), "LumosXThing.mask", "gone")


def test_another_type_breaks_workflows():
    breaks(lambda node: node["input"]["optional"]["mask"].__setitem__(0, "IMAGE"), "LumosXThing.mask", "IMAGE", "MASK")


def test_one_more_type_is_an_addition():
    only_adds(lambda node: node["input"]["optional"]["mask"].__setitem__(0, "MASK,IMAGE"), "MASK,IMAGE")


def test_one_type_less_breaks_workflows():
    info = copy.deepcopy(OBJECT_INFO)
    info["LumosXThing"]["input"]["optional"]["mask"][0] = "MASK,IMAGE"
    assert len(compare(schemas_of(info), RECORDED).breaking) == 1


def test_a_widget_that_becomes_a_link_breaks_workflows():
    breaking, _ = after(setting("required", "steps", forceInput=True))
    assert any("INT by link only" in each for each in breaking)


@pytest.mark.parametrize(
    ("category", "name", "default"),
    [("required", "steps", 20), ("required", "phrase", "man"), ("optional", "strength", 0)],
)
def test_another_default_breaks_workflows(category, name, default):
    breaks(setting(category, name, default=default), f"LumosXThing.{name} starts at {default!r}")


def test_the_first_option_is_the_default_of_a_combo_without_one():
    breaks(setting("required", "kind", options=["all", "best"]), "kind starts at 'all'", "'best'")


def test_an_option_that_is_gone_breaks_workflows():
    breaks(setting("required", "kind", options=["best"]), "kind lacks all")


def test_a_new_option_is_an_addition():
    only_adds(setting("required", "kind", options=["best", "all", "some"]), "kind also has some")


def test_the_users_files_are_no_options_of_ours():
    assert after(setting("required", "model_name", options=["yours.safetensors"])) == ([], [])


@pytest.mark.parametrize("settings", [{"min": 2}, {"max": 999}])
def test_a_narrower_range_breaks_workflows(settings):
    breaks(setting("required", "steps", **settings), "steps has a narrower range")


def test_a_range_where_there_was_none_breaks_workflows():
    info = copy.deepcopy(OBJECT_INFO)
    del info["LumosXThing"]["input"]["required"]["steps"][1]["max"]
    assert len(compare(schemas_of(info), RECORDED).breaking) == 1


def test_a_wider_range_is_an_addition():
    only_adds(setting("required", "steps", min=0, max=2000), "wider range, 0 to 2000")


def test_a_range_that_only_moved_breaks_workflows():
    breaks(setting("required", "steps", min=0, max=500), "narrower")


def test_another_step_is_an_addition():
    only_adds(setting("required", "steps", step=5), "steps of 5")


def test_a_new_required_input_breaks_workflows():
    breaks(put("required", "clip", ["CLIP", {}]), "LumosXThing.clip is new and required")


def test_a_new_optional_link_is_an_addition_wherever_it_stands():
    only_adds(put("optional", "clip", ["CLIP", {}], before="mask"), "LumosXThing.clip is new")


def test_an_input_that_becomes_required_breaks_workflows():
    breaks(moved("mask", "optional", "required"), "mask is required now")


def test_an_input_that_becomes_optional_is_an_addition():
    only_adds(moved("model", "required", "optional"), "model is optional now")


def test_a_new_widget_behind_all_others_is_an_addition():
    only_adds(put("optional", "end", ["FLOAT", {"default": 1.0}]), "LumosXThing.end is new")


def test_a_new_widget_between_others_breaks_workflows():
    breaks(put("optional", "end", ["FLOAT", {"default": 1.0}], before="strength"), "order", "phrase, kind", "strength")


def test_widgets_in_another_order_break_workflows():
    breaks(lambda node: node["input_order"]["required"].reverse(), "order", "steps, model_name, kind, phrase, strength")


def test_a_widget_that_is_gone_is_told_once():
    breaks(without("required", "kind"), "LumosXThing.kind is gone")


def test_links_may_change_places():
    def change(node):
        node["input_order"]["required"] = ["phrase", "kind", "model_name", "steps", "model"]

    assert after(change) == ([], [])


def test_a_growing_list_that_grows_less_far_breaks_workflows():
    def change(node):
        node["input"]["optional"]["more"][1]["template"]["names"].pop()

    breaks(change, "LumosXThing.more lacks more_2")


def test_a_growing_list_of_something_else_breaks_workflows():
    def change(node):
        node["input"]["optional"]["more"][1]["template"]["input"]["optional"]["more"][0] = "MASK"

    breaks(change, "LumosXThing.more takes COMFY_AUTOGROW_V3 of MASK")


def swapped(node):
    node["output_name"][:2] = ["negative", "positive"]


def test_outputs_in_another_order_break_workflows_even_of_one_type():
    breaking, additions = after(swapped)
    assert len(breaking) == 2 and not additions
    assert "negative (CONDITIONING) as its output 0. Recorded: positive" in breaking[0]


def test_an_output_that_is_gone_breaks_workflows():
    def change(node):
        for key in ("output", "output_name", "output_is_list"):
            node[key].pop()

    breaks(change, "LumosXThing lacks its output 2, latent")


def test_an_output_that_becomes_a_list_breaks_workflows():
    breaks(lambda node: node["output_is_list"].__setitem__(0, True), "positive (list of CONDITIONING)")


def test_another_type_of_an_output_breaks_workflows():
    breaks(lambda node: node["output"].__setitem__(2, "IMAGE"), "latent (list of IMAGE)")


def with_output(number: int):
    def change(node):
        for key, value in (("output", "STRING"), ("output_name", "text"), ("output_is_list", False)):
            node[key].insert(number, value)

    return change


def test_a_new_output_behind_all_others_is_an_addition():
    only_adds(with_output(3), "LumosXThing has a new output, text (STRING)")


def test_a_new_output_between_others_breaks_workflows():
    breaking, _ = after(with_output(2))
    assert breaking


def test_a_node_that_no_longer_runs_alone_breaks_workflows():
    breaks(lambda node: node.update(output_node=False), "LumosXThing no longer runs")


def test_a_node_that_runs_alone_from_now_on_is_an_addition():
    info = copy.deepcopy(OBJECT_INFO)
    info["LumosXOther"]["output_node"] = True
    assert compare(RECORDED, schemas_of(info)).additions == [
        "LumosXOther now runs without anything connected behind it"
    ]
