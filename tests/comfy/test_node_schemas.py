"""Shared workflows stay valid: what they rely on of the nodes is recorded in node_schemas.json.

To record an addition:  LUMOSX_RECORD_SCHEMAS=1 python -m pytest tests/comfy/test_node_schemas.py
The run that records still fails, once, if something else than additions was recorded.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from comfy_server import running
from node_schemas import Changes, compare, schemas_of

RECORD = Path(__file__).with_name("node_schemas.json")
RECORDING = os.environ.get("LUMOSX_RECORD_SCHEMAS") == "1"


@pytest.fixture(scope="module")
def found(comfyui, tmp_path_factory) -> dict[str, dict]:
    """The schemas as a real ComfyUI gives them to its page."""
    with running(comfyui, tmp_path_factory.mktemp("comfyui")) as server:
        return schemas_of(server.get("/object_info"))


@pytest.fixture(scope="module")
def changes(found) -> Changes:
    changes = compare(json.loads(RECORD.read_text()), found)
    if RECORDING:
        RECORD.write_text(json.dumps(found, indent=1) + "\n")
    return changes


def test_workflows_saved_with_the_recorded_nodes_stay_valid(changes):
    assert not changes.breaking, "Workflows that people have saved would break:\n" + "\n".join(changes.breaking)


def test_additions_to_the_nodes_are_recorded(changes):
    assert RECORDING or not changes.additions, (
        "No saved workflow breaks, but from now on some will rely on what is new:\n"
        + "\n".join(changes.additions)
        + "\nRecord it: LUMOSX_RECORD_SCHEMAS=1 python -m pytest tests/comfy/test_node_schemas.py"
    )


def test_no_option_is_a_file_of_the_user(found):
    """A combo of files that FILE_LISTS of node_schemas.py does not name would fail on every other machine."""
    options = [
        f"{node}.{each['name']}: {option}"
        for node, schema in found.items()
        for each in schema["inputs"]
        for option in each.get("options", ())
        if Path(option).suffix in (".safetensors", ".pth", ".pt", ".onnx")
    ]
    assert not options
