"""The page and a run in ComfyUI report the same about a prompt, with weights, brackets and tokens."""

from __future__ import annotations

import re

import pytest
from comfy_server import Failure
from graphs import node
from test_left_out import notices
from test_prompt_route import ask, question

IMAGE = node("LumosXExamplePicture", picture="two_people/subjects/2/face_man.png")


def graph(text: str, *phrases: str) -> dict:
    """A person for each phrase, and a preview that has the text encoder."""
    people = {
        f"person{i}": node("LumosXSubject", face=["image", 0], face_phrase=phrase)
        for i, phrase in enumerate(phrases, 1)
    }
    return {
        "image": IMAGE,
        "clip": node("LumosXLoadTextEncoder", text_encoder_name="lumosx-tiny-umt5.safetensors"),
        **people,
        "scene": node("LumosXScene", **{f"subject_{i}": [name, 0] for i, name in enumerate(people, 1)}),
        "sheet": node("LumosXPreviewScene", scene=["scene", 0], prompt=text, clip=["clip", 0]),
    }


@pytest.mark.parametrize(
    ("text", "phrase", "found"),
    [
        ("two shirts", "shirt", False),
        ("a (red:1.2) hat", "red hat", True),
        ("a ((man:1.3)) smiles", "man", True),
        ("a man\\(tall\\) smiles", "man", True),
        ("a (wo)man smiles", "woman", False),
        ("a woman", "man", False),
        ("A Man smiles", "man", False),
        ("a T-shirt", "shirt", True),
        ("a T\u2011shirt", "T-shirt", True),
        ("a shi\u00adrt", "shirt", True),
        ("a 'man'", "man", True),
        ("man,woman", "woman", True),
        ("the boy's hat", "boy", True),
        ("a man and a man", "man#2", True),
        ("a man and a man", "man#3", False),
        ("一个穿红色衬衫的男人", "红色衬衫", True),
        ("一个穿(红色:1.3)衬衫的男人", "红色衬衫", True),
        ("赤いシャツの男", "シャツ", True),
    ],
)
def test_the_page_lists_as_missing_what_a_run_refuses(server, text, phrase, found):
    prompt = graph(text, phrase)
    status, answer = ask(server, question(text, prompt, "sheet"))
    assert status == 200
    assert [each["phrase"] for each in answer["missing"]] == ([] if found else [phrase])
    if found:
        server.run(prompt)
    else:
        with pytest.raises(Failure, match="Phrase .* of subject 1"):
            server.run(prompt)


def named(prompt: dict, titles: dict[str, str]) -> dict:
    for id, title in titles.items():
        prompt[id]["_meta"] = {"title": title}
    return prompt


@pytest.mark.parametrize(
    ("titles", "name"),
    [
        ({"person1": "Anna", "person2": "Ben"}, "Ben"),
        ({"person2": "Head of State"}, "Head of State"),
        ({"person1": "Anna", "person2": "Anna"}, "subject 2"),
        ({"person1": "LumosX Subject", "person2": "LumosX 主体（人物和服装）"}, "subject 2"),
    ],
)
def test_page_and_run_name_a_person_by_the_title_of_its_node(server, titles, name):
    prompt = named(graph("a man and a woman", "man", "boy"), titles)
    statement = f'Phrase "boy" of {name} (face) does not occur in the prompt.'
    _, answer = ask(server, question("a man and a woman", prompt, "sheet"))
    assert answer["missing"][0]["message"].startswith(statement)
    with pytest.raises(Failure, match=re.escape(statement)):
        server.run(prompt)


def test_a_person_without_phrases_is_named_by_its_title(server):
    text = "a man walks here"
    prompt = named(graph(text, "man", ""), {"person2": "Ben"})
    _, answer = ask(server, question(text, prompt, "sheet"))
    assert any(warning.startswith("Ben has no phrase") for warning in answer["warnings"])
    assert any(said.startswith("Ben has no phrase") for _, _, said in notices(server, prompt))


def test_a_near_miss_comes_with_what_was_meant(server):
    _, answer = ask(server, question("two shirts", graph("two shirts", "shirt"), "sheet"))
    assert [each["meant"] for each in answer["missing"]] == ["shirts"]


@pytest.mark.parametrize(
    ("text", "phrases", "sentence"),
    [
        ("a man and a man", ("man", "man"), 'The phrase "man" belongs to subject 1 (face) and to subject 2 (face)'),
        ("a man and a man", ("man#1", "man#1"), '"man#1" is used for subject 1 (face) and for subject 2 (face).'),
        ("a man and a woman", ("", ""), "All phrases are empty"),
    ],
)
def test_what_is_said_while_typing_is_said_at_run_by_the_node(server, text, phrases, sentence):
    prompt = graph(text, *phrases)
    prompt["sheet"]["_meta"] = {"title": "Who is who"}
    _, answer = ask(server, question(text, prompt, "sheet"))
    [(who, title, said)] = [each for each in notices(server, prompt) if each[0] == "sheet"]
    assert (who, title) == ("sheet", "Who is who")
    assert answer["warnings"] == [said] and said.startswith(sentence)


def test_a_scene_that_is_not_connected_warns_of_nothing(server):
    alone = {"sheet": node("LumosXPreviewScene", prompt="")}
    assert ask(server, question("", alone, "sheet"))[1]["warnings"] == []


def test_a_preview_says_its_title_in_an_error(server):
    prompt = graph("two shirts", "shirt")
    prompt["sheet"]["_meta"] = {"title": "Who is who"}
    with pytest.raises(Failure, match='Who is who: Phrase "shirt" of subject 1'):
        server.run(prompt)
