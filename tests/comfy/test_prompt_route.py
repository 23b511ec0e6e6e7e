"""Answers to the page while a prompt is being typed."""

import json
import shutil
import urllib.error
import urllib.request

import pytest
from graphs import CASE, node

from lumosx_core.drawing.contact_sheet import COLOURS

SCENE = {
    "1": node("LoadImage", image="x.png"),
    "2": node("LumosXSubject", face=["1", 0], face_phrase="man", attribute_1=["1", 0], attribute_1_phrase="red hat"),
    "3": node("LumosXSubject", face=["1", 0], face_phrase="woman"),
    "4": node("LumosXScene", subjects__subject_1=["2", 0], subjects__subject_2=["3", 0]),
    "5": node("LumosXSceneToVideo", scene=["4", 0]),
}
MAN, WOMAN = COLOURS[:2]


def question(text="a man", prompt=SCENE, node="5", dynamic=False, **changes):
    return {"prompt": prompt, "node": node, "text": text, "dynamic": dynamic, **changes}


def ask(server, content):
    """Status and answer."""
    body = content if isinstance(content, bytes) else json.dumps(content).encode()
    request = urllib.request.Request(f"{server.address}/api/lumosx/match_phrases", body)
    try:
        with urllib.request.urlopen(request, timeout=30) as response:
            return response.status, json.load(response)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


def marked(answer):
    return [(span["text"], *span["colours"]) for span in answer["spans"] if span["colours"]]


def test_words_come_with_the_colours_of_the_contact_sheet(server):
    status, answer = ask(server, question("A man, and a (woman:1.2)\n"))
    assert status == 200
    assert "".join(span["text"] for span in answer["spans"]) == "A man, and a (woman:1.2)\n"
    assert marked(answer) == [("man", MAN), ("woman", WOMAN)]


def test_missing_phrases_come_with_colour_and_message(server):
    _, answer = ask(server, question("A man"))
    missing, other = answer["missing"]
    assert (missing["phrase"], missing["colour"]) == ("red hat", MAN)
    assert (other["phrase"], other["colour"]) == ("woman", WOMAN)
    assert missing["message"].startswith('Phrase "red hat" of subject 1 (attribute 1) does not occur in the prompt.')


def test_choices_are_drawn_only_where_the_page_draws_them(server):
    text = "a man, a woman, a {red hat|coat}"
    assert "some of the choices" in ask(server, question(text, dynamic=True))[1]["missing"][0]["message"]
    assert ask(server, question(text))[1]["missing"] == []


def test_the_phrases_of_a_case_folder_are_those_of_its_file_names(server):
    graph = {"1": node("LumosXSceneFromFolder", folder=CASE), "5": node("LumosXPreviewScene", scene=["1", 0])}
    for _ in range(2):
        status, answer = ask(server, question("a man in a denim jacket", graph))
        assert status == 200 and marked(answer) == [("man", MAN), ("denim jacket", MAN)]
    assert "white lamp" in [each["phrase"] for each in answer["missing"]]


def test_a_file_that_is_new_in_a_case_folder_counts(server):
    folder = server.directory / "input" / "growing_case"
    (folder / "objects").mkdir(parents=True)
    (folder / "caption.txt").write_text("a lamp and a vase")
    picture = next((server.directory / "input" / CASE / "objects").iterdir()).read_bytes()
    graph = {"1": node("LumosXSceneFromFolder", folder="growing_case"), "5": node("LumosXPreviewScene", scene=["1", 0])}
    for name in ("lamp", "vase"):
        (folder / "objects" / f"{name}.png").write_bytes(picture)
        _, answer = ask(server, question("a lamp and a vase", graph))
        assert name in [text for text, *_ in marked(answer)]


@pytest.mark.parametrize("folder", ["../outside", "{}/outside", "no such folder"])
def test_a_folder_elsewhere_or_nowhere_has_no_phrases(server, folder):
    if not (server.directory / "outside").exists():
        shutil.copytree(server.directory / "input" / CASE, server.directory / "outside")
    folder = folder.format(server.directory)
    graph = {"1": node("LumosXSceneFromFolder", folder=folder), "5": node("LumosXPreviewScene", scene=["1", 0])}
    assert ask(server, question("a man", graph)) == (
        200,
        {"spans": [{"text": "a man", "colours": []}], "missing": [], "warnings": []},
    )


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b'{"prompt": ', "The request is not JSON: "),
        (b"\xff\xfe", "The request is not JSON: "),
        (b"[" * 100_000, "The request is not JSON: "),
        ([], 'The request must be a JSON object with "prompt"'),
        (question(text=3), 'The request must be a JSON object with "prompt"'),
        (question(dynamic="no"), 'The request must be a JSON object with "prompt"'),
        (question(node="77"), "The workflow has no node 77."),
        (question(prompt={"5": {}}), "Node 5 "),
        (question(prompt={"5": node("LumosXScene", scene=["5", 0])}), "lead back to it"),
        (question(text="man " * 6000), "The prompt has 24000 letters"),
    ],
)
def test_what_cannot_be_answered_is_refused_in_a_sentence(server, content, sentence):
    status, answer = ask(server, content)
    assert status == 400 and sentence in answer["error"] and answer["error"].endswith(".")


def test_a_prompt_of_pages_is_answered(server):
    text = "A man in a red hat greets a woman. " * 500
    status, answer = ask(server, question(text))
    assert status == 200 and len(marked(answer)) == 1500


def test_the_page_finds_the_files_that_ask(server):
    extensions = server.get("/extensions")
    assert [name for name in extensions if name.endswith("/prompt_colours.js")]
