"""The scene of a graph is derived from its nodes while it is being edited."""

from __future__ import annotations

import pytest
import torch
from workflow_graphs import node, two_people

from lumosx_core.errors import LumosXError
from lumosx_core.scene.case_folder import Case
from lumosx_core.scene.scene import Reference, Scene, Subject
from lumosx_core.workflow.outline import scene_outline
from lumosx_core.workflow.saved.graph import Graph

WHOLE = (
    (("background", "cozy room"),),
    (("object 1", "white lamp"),),
    (("face of subject 1", "man"), ("attribute 1 of subject 1", "denim jacket")),
    (("face of subject 2", "woman"), ("attribute 1 of subject 2", "red hat")),
)


def no_case(folder: str) -> Case:
    raise LumosXError(f"There is no case folder {folder}.")


def outline(prompt: dict, case=no_case):
    return scene_outline(Graph(prompt), "10", case=case)


def test_only_connected_pictures_count_and_come_in_the_networks_order():
    found = outline(two_people())
    assert (found.groups, found.unknown) == (WHOLE, ())
    assert all(reference.image.shape == (1, 1, 3) for reference in found.scene.references)


def test_a_single_subject_is_a_scene():
    graph = two_people()
    graph["10"]["inputs"]["scene"] = ["8", 0]
    assert outline(graph).groups == ((("face of subject 1", "woman"), ("attribute 1 of subject 1", "red hat")),)


def test_further_attributes_and_joined_scenes_are_followed():
    graph = two_people()
    graph["11"] = node("LumosXSubject", attribute_1=["2", 0], attribute_1_phrase="belt")
    graph["12"] = node("LumosXScene", object_2=["6", 0], object_2_phrase="table")
    graph["7"]["inputs"]["more.more_attributes_1"] = ["11", 0]
    graph["9"]["inputs"]["subjects.subject_10"] = ["12", 0]
    groups = outline(graph).groups
    assert groups[1:3] == ((("object 1", "table"),), (("object 2", "white lamp"),))
    assert groups[3][2] == ("attribute 2 of subject 1", "belt")


def test_a_subject_whose_pictures_are_not_connected_yet_is_left_out():
    graph = two_people()
    del graph["7"]["inputs"]["face"], graph["7"]["inputs"]["attribute_1"]
    found = outline(graph)
    assert found.groups[2:] == ((("face of subject 1", "woman"), ("attribute 1 of subject 1", "red hat")),)


def test_strengths_and_spans_are_told():
    graph = two_people()
    graph["7"]["inputs"] |= {"strength": 0.5, "face_strength": 2.0, "start_percent": 0.2, "end_percent": ["1", 0]}
    strengths = outline(graph).scene.strengths
    assert strengths.values == (1.0, 1.0, 1.0, 0.5, 1.0, 1.0)
    assert strengths.spans[3] == (0.2, 1.0)


def test_a_phrase_may_come_from_text_nodes():
    graph = two_people()
    graph["20"] = node("PrimitiveString", value="white")
    graph["21"] = node("StringConcatenate", string_a=["20", 0], string_b="lamp", delimiter=" ")
    graph["9"]["inputs"]["object_1_phrase"] = ["21", 0]
    assert outline(graph).groups == WHOLE


def test_a_phrase_that_another_node_makes_is_unknown_but_the_picture_counts():
    graph = two_people()
    graph["20"] = node("AskSomebody")
    graph["9"]["inputs"]["object_1_phrase"] = ["20", 0]
    found = outline(graph)
    assert found.groups[1] == (("object 1", ""),)
    [sentence] = found.unknown
    assert "object_1_phrase of node 9 (LumosXScene) comes from node 20 (AskSomebody)" in sentence


def test_a_scene_that_another_node_makes_is_unknown_and_the_rest_is_told():
    graph = two_people()
    graph["7"] = node("SwitchAny", a=["8", 0])
    found = outline(graph)
    assert found.groups == (*WHOLE[:2], (("face of subject 1", "woman"), ("attribute 1 of subject 1", "red hat")))
    assert len(found.unknown) == 1 and "node 7 (SwitchAny)" in found.unknown[0]


def test_a_link_into_nothing_is_unknown():
    graph = two_people()
    del graph["7"]
    assert "node 7" in outline(graph).unknown[0]


def test_without_a_scene_the_outline_is_empty_and_says_so():
    graph = two_people()
    del graph["10"]["inputs"]["scene"]
    found = outline(graph)
    assert found.groups == () and "No scene is connected" in found.unknown[0]


def test_a_node_that_is_not_there_is_a_mistake():
    with pytest.raises(LumosXError, match="no node 99"):
        scene_outline(Graph(two_people()), "99", case=no_case)


def a_case(folder: str) -> Case:
    assert folder == "my case"
    picture = torch.rand(5, 4, 3)
    subjects = (Subject(None, (Reference("hat", picture),)),)
    return Case(None, "A hat on a table.", Scene(subjects, (Reference("table", picture),)))


def test_a_case_folder_gives_its_phrases():
    graph = two_people()
    graph["7"] = node("LumosXSceneFromFolder", folder="my case")
    graph["8"]["inputs"]["attribute_2_phrase"] = ["7", 1]
    found = outline(graph, a_case)
    assert found.groups[1:4] == (
        (("object 1", "table"),),
        (("object 2", "white lamp"),),
        (("attribute 1 of subject 1", "hat"),),
    )
    assert found.groups[4][1] == ("attribute 1 of subject 2", "A hat on a table.")
    assert all(reference.image.shape == (1, 1, 3) for reference in found.scene.references)


def test_a_case_folder_that_is_not_there_is_unknown():
    graph = two_people()
    graph["7"] = node("LumosXSceneFromFolder", folder="my case")
    assert outline(graph).unknown == ("There is no case folder my case.",)


def auto(**inputs) -> dict:
    graph = two_people()
    prompt = "A man in a denim jacket and a woman in a red hat stand in a cozy room."
    given = {"prompt": prompt, "plan": "", "read_prompt_by": "rules", "background": "fill"}
    graph["9"] = node("LumosXAutoScene", **{**given, **inputs})
    return graph


def test_the_plan_of_an_auto_scene_is_its_outline():
    found = outline(auto(plan="man: coat | woman: scarf || lamp || park"))
    assert found.groups == (
        (("background", "park"),),
        (("object 1", "lamp"),),
        (("face of subject 1", "man"), ("attribute 1 of subject 1", "coat")),
        (("face of subject 2", "woman"), ("attribute 1 of subject 2", "scarf")),
    )


def test_without_a_plan_it_is_read_from_the_prompt():
    assert outline(auto()).groups == (WHOLE[0], *WHOLE[2:])


def test_an_auto_scene_without_its_own_background_has_none():
    for background in ("none", "inpaint"):
        assert outline(auto(background=background)).groups == WHOLE[2:]


def test_a_background_among_the_overrides_takes_the_place_of_the_plans():
    graph = auto(background="none", overrides=["30", 0])
    graph["30"] = node("LumosXScene", background=["5", 0], background_phrase="a garden")
    assert outline(graph).groups[0] == (("background", "a garden"),)


def test_what_a_language_model_will_read_is_unknown():
    found = outline(auto(read_prompt_by="language model"))
    assert found.groups == () and "language model" in found.unknown[0]


def test_a_plan_that_cannot_be_read_is_unknown():
    found = outline(auto(plan="man: a: b"))
    assert found.groups == () and len(found.unknown) == 1


def test_a_subject_from_its_file_has_the_phrases_of_the_file_as_this_workflow_changes_them():
    def subject(file: str) -> Subject:
        if file != "Anna.safetensors":
            raise LumosXError(f"There is no subject {file}.")
        pixel = torch.rand(2, 2, 3)
        return Subject(Reference("woman", pixel), (Reference("coat", pixel),), 0.5, title="Anna")

    graph = two_people()
    graph["8"] = node("LumosXLoadSubject", file="Anna.safetensors", phrases="woman = woman#2")
    found = scene_outline(Graph(graph), "10", case=no_case, subject=subject)
    assert found.groups[3] == (("face of Anna", "woman#2"), ("attribute 1 of Anna", "coat"))
    assert (found.scene.subjects[1].strength, found.unknown) == (0.5, ())
    graph["8"]["inputs"]["phrases"] = "man = woman"
    assert (
        "changes no phrase of this subject"
        in scene_outline(Graph(graph), "10", case=no_case, subject=subject).unknown[0]
    )
    graph["8"]["inputs"]["file"] = "Bob.safetensors"
    assert "no subject Bob" in scene_outline(Graph(graph), "10", case=no_case, subject=subject).unknown[0]
    assert "known only when ComfyUI runs" in outline(graph).unknown[0]
