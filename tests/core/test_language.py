"""Words: no phrases of the project's early dialect, and the terms of the glossary in CONTRIBUTING.md."""

from __future__ import annotations

import ast
import io
import json
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
CODE = ("lumosx_core", "nodes", "training", "benchmarks", "tests", "__init__.py")

DIALECT = re.compile(
    r"\b(?i:mend|mends|mended|mending|anew|told|stands in|stand in for|lies in|hears? of)\b"
    r"|(?<!here )\bis no (?=[A-Z.])"
)
LEGITIMATE = (
    "stands in front of",  # prompts of the tests
    "A man stands in a park",
    "stand in for a",
)
OTHER_TERMS = re.compile(r"\b(?:pictures?|photographs?|cut-outs?|made anew)\b", re.IGNORECASE)
NAMES_WITH_OTHER_TERMS = re.compile(r"LumosX Example Picture|From one photograph")


def dialect(text: str) -> list[str]:
    """Phrases of the dialect in a text, each with its surroundings."""
    text = " ".join(text.split())
    for legitimate in LEGITIMATE:
        text = text.replace(legitimate, "")
    return [text[max(0, match.start() - 40) : match.end() + 40] for match in DIALECT.finditer(text)]


def of_code(path: Path) -> Iterator[str]:
    """Docstrings, messages and comments of a Python file. What an f-string fills in is written {}."""
    text = path.read_text(encoding="utf-8")
    inside: set[int] = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.JoinedStr):
            inside |= {id(part) for part in ast.walk(node)} - {id(node)}
            yield "".join(part.value if isinstance(part, ast.Constant) else "{}" for part in node.values)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in inside:
            yield node.value
    comments = [
        token for token in tokenize.generate_tokens(io.StringIO(text).readline) if token.type == tokenize.COMMENT
    ]
    yield " ".join(comment.string.lstrip("# ") for comment in comments)


def of_page(path: Path) -> str:
    """A page without the column of the glossary that lists what is not written."""
    lines = path.read_text(encoding="utf-8").splitlines()
    return "\n".join(
        re.sub(r"^(\| \*\*.*\|)[^|]*\|$", r"\1", line) if path.name == "CONTRIBUTING.md" else line for line in lines
    )


def texts_of(value) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for each in value.values():
            yield from texts_of(each)
    elif isinstance(value, list):
        for each in value:
            yield from texts_of(each)


def notes_of(workflow: dict) -> Iterator[str]:
    for node in workflow["nodes"]:
        if "Note" in node["type"]:
            yield from texts_of(node["widgets_values"])


PAGES = sorted(
    path
    for pattern in ("*.md", "docs/*.md", "examples/*.md", "web/docs/*/en.md", "lumosx_core/**/*.md", ".github/**/*.md")
    for path in ROOT.glob(pattern)
)
SETTINGS = [*ROOT.glob("*.toml"), ROOT / "Makefile", *sorted((ROOT / "training").rglob("*.toml"))]
SCRIPTS = sorted((ROOT / "web").glob("*.js"))
by_path = {"ids": lambda path: path.relative_to(ROOT).as_posix()}


@pytest.mark.parametrize("path", [*PAGES, *SETTINGS, *SCRIPTS], **by_path)
def test_pages_and_scripts_are_in_plain_english(path):
    assert dialect(of_page(path)) == []


@pytest.mark.parametrize("room", CODE)
def test_messages_docstrings_and_comments_are_in_plain_english(room):
    paths = [ROOT / room] if room.endswith(".py") else sorted((ROOT / room).rglob("*.py"))
    found = {
        path.relative_to(ROOT).as_posix(): phrases
        for path in paths
        if path != Path(__file__) and (phrases := [phrase for text in of_code(path) for phrase in dialect(text)])
    }
    assert found == {}


def test_tooltips_and_notes_of_templates_are_in_plain_english():
    texts = list(texts_of(json.loads((ROOT / "locales/en/nodeDefs.json").read_text(encoding="utf-8"))))
    for path in sorted((ROOT / "example_workflows").glob("*.json")):
        texts += notes_of(json.loads(path.read_text(encoding="utf-8")))
    assert len(texts) > 300
    assert [phrase for text in texts for phrase in dialect(text)] == []


def other_terms(text: str) -> list[str]:
    """Words that the glossary replaces, outside of names and code."""
    text = re.sub(r"```.*?```|`[^`]*`|!\[|\]\([^)]*\)", " ", text, flags=re.DOTALL)
    text = NAMES_WITH_OTHER_TERMS.sub(" ", " ".join(text.split()))
    return [text[max(0, match.start() - 40) : match.end() + 40] for match in OTHER_TERMS.finditer(text)]


@pytest.mark.parametrize("path", [path for path in PAGES if path.name != "CHANGELOG.md"], **by_path)
def test_pages_use_the_terms_of_the_glossary(path):
    assert other_terms(of_page(path)) == []


def test_tooltips_and_notes_use_the_terms_of_the_glossary():
    definitions = json.loads((ROOT / "locales/en/nodeDefs.json").read_text(encoding="utf-8"))
    texts = []
    for node in definitions.values():
        texts += [node["description"]]
        texts += [each["tooltip"] for kind in ("inputs", "outputs") for each in node.get(kind, {}).values()]
    for path in sorted((ROOT / "example_workflows").glob("*.json")):
        texts += notes_of(json.loads(path.read_text(encoding="utf-8")))
    assert [phrase for text in texts for phrase in other_terms(text)] == []


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("The cache is mended.", 1),
        ("This is no LumosX file", 1),
        ("It is no .tar file", 1),
        ("There is no VAE in the folder", 0),
        ("this is no longer needed", 0),
        ("The network is told the\n    timestep", 1),
        ("A man stands in a park", 0),
    ],
)
def test_the_dialect_is_recognised(text, number):
    assert len(dialect(text)) == number


def test_other_terms_are_recognised_outside_of_code():
    assert len(other_terms("A picture, `picture`, LumosX Example Picture, and cut-outs.")) == 2
