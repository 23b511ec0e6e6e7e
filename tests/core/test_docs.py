"""README and the pages of docs/: short, linked, complete, and true to the code."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
MANUAL = sorted((ROOT / "docs").glob("*.md"))
LINKED = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "examples/README.md")),
    ROOT / "lumosx_core/models/lumosx/lumosx_tiny/README.md",
    *(path for path in [ROOT / "SECURITY.md"] if path.exists()),
    *MANUAL,
]
LARGEST_IMAGE = 100_000  # bytes
VARIABLE = r"…|\"[^\"]*\"|'[^']*'|\([^)]*\)|\d+x\d+|(?:subject |person )?\d+"  # what differs in a message


def read(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def without_code(text: str) -> str:
    return re.sub(r"`[^`\n]*`", "", re.sub(r"```.*?```", "", text, flags=re.DOTALL))


def links(path: Path) -> list[str]:
    """Targets of links and images, without addresses on the web."""
    targets = re.findall(r"\]\(([^)\s]+)\)", without_code(read(path)))
    return [target for target in targets if not re.match(r"[a-z]+:", target)]


def anchors(path: Path) -> set[str]:
    """The anchors that GitHub gives to the headings of a page."""
    headings = re.findall(r"^#+ (.+)$", re.sub(r"```.*?```", "", read(path), flags=re.DOTALL), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def resolves(page: Path, link: str) -> bool:
    target, _, anchor = link.partition("#")
    path = (page.parent / target).resolve() if target else page
    return path.exists() and (not anchor or anchor in anchors(path))


@pytest.mark.parametrize("page", LINKED, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_links_lead_somewhere(page):
    assert [link for link in links(page) if not resolves(page, link)] == []


def test_a_broken_link_or_anchor_is_noticed(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("# Two words\n[a](#two-words) [b](#three-words) [c](page.md) [d](none.md)\n", encoding="utf-8")
    assert [link for link in links(page) if not resolves(page, link)] == ["#three-words", "none.md"]


def test_the_readme_is_one_screen_and_leads_to_every_page():
    text = read(ROOT / "README.md")
    assert len(text.splitlines()) <= 100
    assert {f"docs/{page.name}" for page in MANUAL} <= {link.partition("#")[0] for link in links(ROOT / "README.md")}


def test_images_of_the_docs_are_used_and_small():
    used = {(page.parent / link).resolve() for page in LINKED for link in links(page)}
    images = set((ROOT / "docs" / "images").iterdir())
    settings = read(ROOT / "pyproject.toml")  # names the icon
    assert {image for image in images - used if f"docs/images/{image.stem}." not in settings} == set()
    assert {image.name for image in images if image.stat().st_size > LARGEST_IMAGE} == set()


@pytest.mark.slow
def test_the_python_example_runs():
    [example] = [code for page in MANUAL for code in re.findall(r"```python\n(.*?)```", read(page), re.DOTALL)]
    result = subprocess.run([sys.executable, "-c", example], capture_output=True, text=True, check=False, cwd=ROOT)
    assert result.returncode == 0, result.stderr


def test_the_list_of_nodes_names_every_node_and_no_other():
    written = "".join(read(path) for path in (ROOT / "nodes").rglob("*.py"))
    assert set(re.findall(r"`((?:LumosX|Ingredients)\w+)`", read(ROOT / "docs/nodes.md"))) == set(
        re.findall(r'node_id="(\w+)"', written)
    )


def test_pages_name_no_node_that_does_not_exist():
    nodes = set(re.findall(r"`(LumosX\w+)`", read(ROOT / "docs/nodes.md")))
    named = {name for page in LINKED for name in re.findall(r"`(LumosX\w+)`", read(page))}
    assert named - nodes <= {"LumosXModel", "LumosXConfig", "LumosXError"}


def test_messages_of_the_troubleshooting_page_are_those_of_the_code():
    """A message is written in backticks, with … for what differs each time; quoted values and numbers differ, too."""
    parts = [
        node.value
        for folder in ("nodes", "lumosx_core", "__init__.py")
        for path in ([ROOT / folder] if folder.endswith(".py") else (ROOT / folder).rglob("*.py"))
        for node in ast.walk(ast.parse(read(path)))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    ]
    code = "\0".join(parts)
    rows = [row for row in read(ROOT / "docs/troubleshooting.md").splitlines() if row.startswith("| `")]
    assert len(rows) >= 25
    for message in (message for row in rows for message in re.findall(r"`([^`]+)`", row.split(" | ")[0])):
        fixed = [part.strip() for part in re.split(VARIABLE, message)]
        known = [part for part in fixed if len(part) >= 3]
        assert known, f"{message!r} says too little to be found"
        assert all(part in code for part in known), f"No message of the code is {message!r}"


def test_the_help_of_the_nodes_is_published_and_the_docs_are_not():
    ignored = read(ROOT / ".comfyignore").split()
    assert "/docs/" in ignored
    assert "docs/" not in ignored  # this pattern would leave out web/docs, too
