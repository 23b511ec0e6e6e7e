"""Muted, bypassed or unplugged inputs are left out of the scene, and the page names them by the node's title."""

from __future__ import annotations

import pytest
from comfy_server import Failure
from listener import Listener

PERSON = "Anna"


def graph(**changes) -> dict:
    """A scene of two people with a lamp in a room on a contact sheet; changes: inputs of Anna's node, None takes one
    away."""
    image = {"class_type": "LumosXExamplePicture", "inputs": {"picture": "two_people/subjects/2/face_man.png"}}
    anna = {"face": ["1", 0], "face_phrase": "woman", "attribute_1": ["1", 0], "attribute_1_phrase": "red hat"}
    anna = {name: value for name, value in {**anna, **changes}.items() if value is not None}
    return {
        "1": image,
        "2": {"class_type": "LumosXSubject", "inputs": anna, "_meta": {"title": PERSON}},
        "3": {"class_type": "LumosXSubject", "inputs": {"face": ["1", 0], "face_phrase": "man"}},
        "4": {
            "class_type": "LumosXScene",
            "inputs": {
                "subject_1": ["2", 0],
                "subject_2": ["3", 0],
                "background": ["1", 0],
                "background_phrase": "room",
                "object_1": ["1", 0],
                "object_1_phrase": "lamp",
            },
        },
        "5": {"class_type": "LumosXPreviewScene", "inputs": {"scene": ["4", 0], "prompt": "a man and a woman"}},
    }


def notices(server, prompt: dict) -> list[tuple[str, str, str]]:
    """Node, title and text of the notices of a run that has to succeed."""
    with Listener(server) as listener:
        listener.queue(prompt)
        heard = []
        while (message := listener.hear()).kind != "execution_success":
            assert message.kind != "execution_error", message.data
            if message.kind == "lumosx.notice":
                heard.append((message.data["node"], message.data["title"], message.data["text"]))
        return heard


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"face": None}, 'The face has the phrase "woman"'),
        ({"attribute_1": None}, 'Attribute 1 has the phrase "red hat"'),
        ({"attribute_2_phrase": "scarf"}, 'Attribute 2 has the phrase "scarf"'),
    ],
)
def test_a_garment_or_face_without_its_image_is_left_out_by_name(server, changes, what):
    [(node, title, text)] = notices(server, graph(**changes))
    assert (node, title) == ("2", PERSON)
    assert text.startswith(f"{what} but no image, so it is left out.")


def test_a_person_without_any_image_is_left_out_and_the_others_stay(server):
    said = notices(server, graph(face=None, attribute_1=None))
    assert [(node, title) for node, title, _ in said] == [("2", PERSON)] * 3
    assert said[-1][2].startswith("This subject has no image, so it is left out.")


def test_objects_and_the_background_are_left_out_in_the_same_way(server):
    prompt = graph()
    for name in ("object_1", "background"):
        del prompt["4"]["inputs"][name]
    said = notices(server, prompt)
    assert [text.partition(" but")[0] for _, _, text in said] == [
        'Object 1 has the phrase "lamp"',
        'The background has the phrase "room"',
    ]
    assert {title for _, title, _ in said} == {"LumosX Scene (people together)"}


def test_a_mask_without_an_image_is_named(server):
    prompt = graph(attribute_1=None, attribute_1_phrase=None, attribute_1_mask=["6", 0])
    prompt["6"] = {"class_type": "SolidMask", "inputs": {"value": 1.0, "width": 64, "height": 64}}
    [(_, _, text)] = notices(server, prompt)
    assert text.startswith("Attribute 1 has a mask but no image")


def test_a_whole_scene_has_no_notices(server):
    assert notices(server, graph()) == []


def test_a_scene_with_nobody_left_is_an_error(server):
    prompt = graph(face=None, attribute_1=None)
    prompt["5"]["inputs"]["scene"] = ["2", 0]
    with pytest.raises(Failure, match="The scene is empty"):
        server.run(prompt)


def test_an_error_begins_with_the_title_that_the_artist_gave(server):
    prompt = graph(attribute_1_mask=["6", 0])
    prompt["6"] = {"class_type": "SolidMask", "inputs": {"value": 0.0, "width": 64, "height": 64}}
    with pytest.raises(Failure, match=f'^{PERSON}: Attribute 1 \\("red hat"\\) has an empty mask'):
        server.run(prompt)
