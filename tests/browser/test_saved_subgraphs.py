"""Saved workflows with subgraphs: `lumosx generate` reads in them what this page sends for them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from lumosx_core.workflow.ui_format import api_prompt

SAVED = sorted((Path(__file__).resolve().parents[1] / "core" / "workflow" / "saved").glob("*.json"))

# Where a page sends something else for a file of another version, and what the command reads is what its own page sent.
ELSEWHERE = {
    # 1.58 turns promoted widgets into inputs: it loses the height where both kinds were promoted, and it leaves
    # comments in a promoted prompt.
    ("promoted in both ways, 1.35.9", "1.58.1"),
    ("comments, 1.35.9", "1.58.1"),
    # 1.35 keeps promoted values in the inner node, one for all instances that it is used in.
    ("used twice, 1.58.1", "1.35.9"),
    ("nested, 1.58.1", "1.35.9"),
    ("bypassed inside, 1.58.1", "1.35.9"),
    # 1.35 runs what is inside a muted or bypassed subgraph, unless it is muted itself (as its own Mute does).
    ("muted, 1.58.1", "1.35.9"),
    ("bypassed, 1.58.1", "1.35.9"),
}


@pytest.mark.parametrize("path", SAVED, ids=lambda path: path.stem)
def test_the_command_reads_what_the_page_sends(desk, comfyui, path):
    workflow = json.loads(path.read_text(encoding="utf-8"))["workflow"]
    desk.load(workflow)
    sent = {id: {name: node[name] for name in ("class_type", "inputs")} for id, node in desk.api_prompt().items()}
    assert len(sent) > 5
    if (path.stem, comfyui.page_version) in ELSEWHERE:
        assert api_prompt(workflow) != (sent, {}), "This page sends the same by now: strike it off the list."
        return
    assert api_prompt(workflow) == (sent, {})
    # What this page itself would save of it is read the same way.
    again = json.loads(desk.page.evaluate("() => JSON.stringify(app.rootGraph.serialize())"))
    assert api_prompt(again) == (sent, {})
