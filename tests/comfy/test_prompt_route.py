"""Answers to the page while a prompt is being typed."""

import json
import shutil
import socket
import urllib.error
import urllib.parse
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


def test_where_phrases_are_not_bound_none_is_missing(server):
    prompt = {**SCENE, "5": node("LumosXSceneToVideo", scene=["4", 0], bind_phrases=False)}
    _, answer = ask(server, question("A man", prompt))
    assert (answer["missing"], answer["warnings"]) == ([], [])
    assert marked(answer) == [("man", MAN)]
    prompt["5"]["inputs"]["bind_phrases"] = True
    assert len(ask(server, question("A man", prompt))[1]["missing"]) == 2


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


INFINITE = node("LumosXSceneToVideo", scene=["5", 1e400])  # a value that is no link


@pytest.mark.parametrize(
    "changes",
    [
        {"prompt": {str(i): node("LumosXSubject") for i in range(2001)}},
        {"text": "x" * 5_000_000},
        {"prompt": {"5": INFINITE}},
        {"prompt": {"5": {"class_type": ["LumosXScene"], "inputs": {}}}},
        {"prompt": {"5": None}},
        {"prompt": {"5": node("LumosXSceneToVideo", scene=["5", 0])}},
    ],
    ids=["nodes", "bytes", "infinity", "kind", "null", "circle"],
)
def test_a_request_beyond_its_limits_is_refused_in_a_sentence(server, changes):
    status, answer = ask(server, question(**changes))
    assert status == 200 or (status in (400, 413) and answer["error"].endswith("."))
    assert (status == 200) == (changes.get("prompt", {}).get("5", {}) == INFINITE)


@pytest.mark.parametrize(
    "value", [None, [], {}, 5, True, ["1"], ["1", "0"], "x" * 30_000, float("inf"), [["1", 0]]], ids=str
)
@pytest.mark.parametrize("name", ["face_phrase", "face", "strength", "attribute_1_mask", "more_attributes_1"])
def test_wrong_types_in_a_scene_are_answered_or_refused(server, name, value):
    graph = {**SCENE, "2": node("LumosXSubject", **{"face": ["1", 0], "face_phrase": "man", name: value})}
    status, answer = ask(server, question(prompt=graph))
    assert status == 200 or (status == 400 and answer["error"].endswith("."))


def doubling(count: int) -> dict:
    graph = {"s0": node("PrimitiveString", value="man")}
    for i in range(1, count + 1):
        graph[f"s{i}"] = node("StringConcatenate", string_a=[f"s{i - 1}", 0], string_b=[f"s{i - 1}", 0], delimiter=" ")
    subject = node("LumosXSubject", face=["1", 0], face_phrase=[f"s{count}", 0])
    return {**SCENE, **graph, "5": node("LumosXSceneToVideo", scene=["6", 0]), "6": subject}


@pytest.mark.parametrize("count", [18, 20, 90])
def test_a_chain_that_doubles_its_text_is_no_work(server, count):
    status, _ = ask(server, question(prompt=doubling(count)))
    assert status in (200, 400)


def slow_question(page: str) -> bytes:
    """Some seconds of work: many phrases that a long prompt nearly has."""
    words = [f"{letter}at{i}" for letter in "bcfhmprs" for i in range(9)]
    graph = {"1": node("LoadImage", image="x.png"), "5": node("LumosXSceneToVideo", scene=["4", 0])}
    slots = {}
    for number in range(15):
        attributes = {f"attribute_{k}": ["1", 0] for k in (1, 2, 3)}
        phrases = {f"attribute_{k}_phrase": f"{words[number + k]}x dress{number}" for k in (1, 2, 3)}
        graph[f"p{number}"] = node("LumosXSubject", face=["1", 0], face_phrase=f"man{number}", **attributes, **phrases)
        slots[f"subject_{number + 1}"] = [f"p{number}", 0]
    graph["4"] = node("LumosXScene", **slots)
    return json.dumps(question(" ".join(words) * 50, graph, page=page)).encode()


@pytest.mark.slow
def test_the_server_goes_on_while_pages_ask_and_go(server):
    """Twelve pages ask for much and hang up; other routes answer, and so does the next page that asks."""
    address = urllib.parse.urlsplit(server.address)
    left = []
    for number in range(12):
        connection = socket.create_connection((address.hostname, address.port))
        body = slow_question(f"page {number}")
        head = f"POST /api/lumosx/match_phrases HTTP/1.1\r\nHost: {address.netloc}\r\n"
        connection.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
        left.append(connection)
    for _ in range(10):
        assert server.get("/system_stats")["system"]
    for connection in left:
        connection.close()
    status, answer = ask(server, question("A man"))
    assert status == 200 and marked(answer) == [("man", MAN)]


WORK = """
import asyncio, threading, time
page_work = sys.modules["pack.nodes.page.page_work"]

async def try_out():
    work, running, most, seen = page_work.PageWork(), [0], [0], []

    def slow(name):
        def run(check):
            running[0] += 1
            most[0] = max(most[0], running[0])
            try:
                for _ in range(2000):
                    check()
                    time.sleep(0.005)
                return name
            finally:
                running[0] -= 1
                seen.append(name)
        return run

    def quick(name):
        def run(check):
            seen.append(name)
            return name
        return run

    async def outcome(page, run, gone=lambda: False):
        try:
            return await work.run(page, run, gone)
        except (page_work.GivenUp, page_work.Busy) as error:
            return type(error).__name__

    repeated = [asyncio.create_task(outcome("a", slow(i))) for i in range(5)]
    await asyncio.sleep(0.3)
    last = await outcome("a", quick("last"))
    first, alone = await asyncio.gather(*repeated), most[0]
    closed = [False]
    leaving = asyncio.create_task(outcome("b", slow("b"), lambda: closed[0]))
    others = [asyncio.create_task(outcome(f"c{i}", slow("c"), lambda: closed[0])) for i in range(100)]
    await asyncio.sleep(0.3)
    ticks = 0
    for _ in range(20):
        await asyncio.sleep(0.01)
        ticks += 1
    closed[0] = True
    ended = await asyncio.gather(leaving, *others)
    return {
        "first": first, "last": last, "most": most[0], "ticks": ticks, "left": len(work._last), "running": running[0],
        "alone": alone, "given up": ended.count("GivenUp"), "busy": ended.count("Busy"), "order": seen.index("last"),
        "waiting": work._waiting,
    }

result = asyncio.run(try_out())
"""


@pytest.mark.slow
def test_work_is_one_at_a_time_a_page_and_given_up_when_nobody_waits(run_in_comfyui):
    result = run_in_comfyui("import pack.nodes.page.page_work\n" + WORK)
    assert result["first"] == ["GivenUp"] * 5 and result["last"] == "last"
    assert result["order"] == 2  # of the five the first and the latest had begun, and had ended
    assert result["alone"] == 1
    assert result["most"] <= 2 and result["ticks"] == 20
    assert result["given up"] + result["busy"] == 101 and result["busy"] == 101 - 64
    assert (result["left"], result["running"], result["waiting"]) == (0, 0, 0)


def test_the_page_finds_the_files_that_ask(server):
    extensions = server.get("/extensions")
    assert [name for name in extensions if name.endswith("/prompt_colours.js")]
