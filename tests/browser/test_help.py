"""Each node's help page opens beside it, in English and in Chinese."""

import re
import time

import pytest
from comfy_server import PACK, ROOT

DOCS = ROOT / "web" / "docs"


def own_nodes(server):
    """The nodes of this pack, as ComfyUI lists them."""
    known = server.get("/object_info")
    return sorted(name for name, node in known.items() if node["python_module"] == f"custom_nodes.{PACK}")


def help_page(name, locale):
    return (DOCS / name / f"{locale}.md").read_text(encoding="utf-8")


def headings_of(panel, expected):
    """The headings of the panel, once they are as expected or after five seconds: help comes after its panel."""
    deadline = time.monotonic() + 5
    while (shown := panel.locator("h1").all_inner_texts()) != expected and time.monotonic() < deadline:
        panel.page.wait_for_timeout(50)
    return shown


@pytest.mark.parametrize("locale", ["en", "zh"])
def test_the_help_of_every_node_opens_with_its_heading_and_its_picture(desk, locale):
    if locale != "en":
        desk.set_locale(locale)
    names = own_nodes(desk.server)
    assert "LumosXSubject" in names
    wrong = {}
    for name in names:
        desk.clear()
        panel = desk.open_help(desk.add(name))
        source = help_page(name, locale) if (DOCS / name / f"{locale}.md").exists() else ""
        headings = re.findall(r"^# (.+)$", source, re.MULTILINE)
        shown = headings_of(panel, headings)
        if shown != headings or not shown:
            wrong[name] = f"the heading is {shown}"
            continue
        pictures = panel.locator("img")
        if pictures.count() != source.count("![") or not pictures.count():
            wrong[name] = f"{pictures.count()} pictures"
        elif not pictures.evaluate_all("all => Promise.all(all.map(i => i.decode().then(() => i.naturalWidth > 0)))"):
            wrong[name] = "a picture does not load"
        elif name == "LumosXSubject":
            desk.screenshot(f"help_{locale}")
    desk.set("Comfy.Locale", "en")
    assert wrong == {}
    assert desk.errors == []
