"""The help of each node in web/docs: complete, in both languages, true to the messages, and with its pictures."""

from __future__ import annotations

import ast
import json
import re
from functools import cache
from pathlib import Path

import pytest
from PIL import Image

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "web" / "docs"
LANGUAGES = ("en", "zh")
LARGEST_PICTURE = 60_000  # bytes
HEADINGS = {
    "en": ["Inputs", "Outputs", "How it is wired", "Typical mistakes"],
    "zh": ["输入", "输出", "如何连接", "常见错误"],
}

NODES = sorted(
    name
    for path in (ROOT / "nodes").rglob("*.py")
    for name in re.findall(r'node_id="(\w+)"', path.read_text(encoding="utf-8"))
)
every_help = pytest.mark.parametrize(("node", "language"), [(node, each) for node in NODES for each in LANGUAGES])


@cache
def texts(language: str) -> dict[str, dict]:
    return json.loads((ROOT / "locales" / language / "nodeDefs.json").read_text(encoding="utf-8"))


def name_of(node: str, language: str) -> str:
    """The name of a node in texts: its title without the explanation in brackets."""
    return re.sub(r" \([^()]*\)$|（[^（）]*）$", "", texts(language)[node]["display_name"])


@cache
def page(node: str, language: str) -> str:
    return (DOCS / node / f"{language}.md").read_text(encoding="utf-8")


def section(node: str, language: str, number: int) -> str:
    heading = HEADINGS[language][number]
    found = re.search(rf"^## {heading}\n(.*?)(?=^## |\Z)", page(node, language), re.MULTILINE | re.DOTALL)
    assert found, f"There is no heading {heading!r}"
    return found[1]


def first_cells(table: str) -> list[str]:
    """The first cell of each row of a table, without its head."""
    return [row.split("|")[1].strip() for row in table.splitlines() if row.startswith("|")][2:]


def names_of_inputs(node: str) -> set[str]:
    """The inputs of a node; of a row that grows ("subject_1" to "subject_20") the first. Lists that only prompts of
    earlier versions use ("subjects", of "subject_1" ...) are not for the artist."""
    inputs = texts("en")[node].get("inputs", {})
    slots = {key for key, text in inputs.items() if key != text["name"]}
    earlier = {key for key in inputs if any(slot == f"{key}_{inputs[slot]['name']}" for slot in slots)}

    def first(name: str) -> str:
        stem = name.rpartition("_")[0]
        return f"{stem}_1" if f"{stem}_20" in inputs else name

    return {first(name) for name in inputs if name not in slots | earlier}


@cache
def literals() -> str:
    """Every text in the code, the parts of f-strings apart from each other."""
    found = []
    for folder in ("nodes", "lumosx_core"):
        for path in (ROOT / folder).rglob("*.py"):
            for part in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(part, ast.Constant) and isinstance(part.value, str):
                    found.append(part.value)
    return "\0".join(found)


def test_there_is_help_for_the_nodes_and_for_nothing_else():
    assert NODES
    assert sorted(folder.name for folder in DOCS.iterdir()) == NODES


@every_help
def test_the_help_is_under_the_name_of_the_node(node, language):
    english, chinese = name_of(node, "en"), name_of(node, "zh")
    heading = english if language == "en" else f"{chinese}（{english}）"
    assert page(node, language).startswith(f"# {heading}\n")


@every_help
def test_the_help_names_every_input_and_no_other(node, language):
    table = section(node, language, 0)
    named = [name for cell in first_cells(table) for name in re.findall(r"`(\w+)`", cell.split("<br>")[0])]
    slots = names_of_inputs(node) - set(named)
    assert len(named) == len(set(named))
    assert set(named) <= names_of_inputs(node)
    assert all(f"`{slot}`" in table for slot in slots), slots


@every_help
def test_the_help_names_every_output_in_their_order(node, language):
    outputs = texts("en")[node]["outputs"]
    named = [re.findall(r"`(\w+)`", cell)[0] for cell in first_cells(section(node, language, 1))]
    assert len(named) == len(outputs)
    # An output without a name of its own is called by its type.
    assert all(name == text.get("name", name) for name, text in zip(named, outputs.values(), strict=True))
    assert all(name.isupper() for name, text in zip(named, outputs.values(), strict=True) if "name" not in text)


@every_help
def test_the_help_says_how_the_node_is_wired(node, language):
    assert section(node, language, 2).strip()


@every_help
def test_messages_in_the_help_are_those_of_the_code(node, language):
    """A message is written in backticks, with … for what differs each time."""
    cells = first_cells(section(node, language, 3))
    assert cells
    for message in (message for cell in cells for message in re.findall(r"`([^`]+)`", cell)):
        parts = [part.strip() for part in message.split("…")]
        assert max(map(len, parts)) >= 8, f"{message!r} says too little to be found"
        assert all(part in literals() for part in parts), f"No message of the code is {message!r}"


@pytest.mark.parametrize("node", NODES)
def test_both_languages_tell_of_the_same_mistakes(node):
    english, chinese = (
        [re.findall("`([^`]+)`", cell) for cell in first_cells(section(node, language, 3))] for language in LANGUAGES
    )
    assert english == chinese


@every_help
def test_pictures_of_the_help_exist_and_are_small(node, language):
    """The page looks for them from web/docs on, not from the node's own folder."""
    pictures = re.findall(r"!\[.+?\]\((.+?)\)", page(node, language))
    assert f"{node}/node.png" in pictures
    for picture in pictures:
        with Image.open(DOCS / picture) as image:
            assert image.width >= 200
        assert (DOCS / picture).stat().st_size <= LARGEST_PICTURE


def test_no_picture_is_unused():
    used = {name for node in NODES for each in LANGUAGES for name in re.findall(r"\]\((.+?)\)", page(node, each))}
    assert {path.relative_to(DOCS).as_posix() for path in DOCS.rglob("*.png")} == used


@every_help
def test_nodes_that_the_help_names_exist(node, language):
    """Names of this pack's nodes are bold; a link would lead out of the page, so there is none."""
    names = {name_of(each, language) for each in texts(language)}
    named = re.findall(r"\*\*((?:LumosX|Ingredients \(CogVideoX\)) [^*]*)\*\*", page(node, language))
    assert set(named) <= names
    assert not re.search(r"(?<!\!)\[[^\]]*\]\(", re.sub(r"!\[.*?\]\(.*?\)", "", page(node, language)))


def test_what_the_page_needs_is_published():
    ignored = (ROOT / ".comfyignore").read_text(encoding="utf-8").split()
    assert not [pattern for pattern in ignored if pattern.strip("/*").split("/")[0] in ("web", "locales")]
