"""The prompts that ComfyUI's page sends for the example workflows, recorded from the real page.

api_prompts/NAME.json is from the oldest host; api_prompts/VERSION/NAME.json is there where a later host sends something
else. To re-create them: LUMOSX_RECORD_PROMPTS=1 python -m pytest tests/browser/test_templates.py
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest
from comfy_hosts import ComfyUI, hosts

PROMPTS = Path(__file__).resolve().parent / "api_prompts"
# Templates of nodes that older hosts lack, and the first host of which it is known that it has them.
NEEDS_HOST = {
    "Scene for Bernini-R": "0.33.0",
    "Scene for LTX Ingredients": "0.33.0",
    "Scene for MiniMax H3": "0.33.0",
    "With ComfyUI SAM3 and face detection": "0.33.0",
}


def template_params(names: Sequence[str]) -> list:
    """Names of templates for `pytest.mark.parametrize`, each on the hosts that have its nodes."""
    return [pytest.param(name, marks=pytest.mark.host(since=NEEDS_HOST.get(name, "0")), id=name) for name in names]


def recorded_from(name: str) -> Path:
    """The file with what the page of the oldest host that has a template's nodes sends."""
    return PROMPTS / NEEDS_HOST.get(name, "") / f"{name}.json"


def recorded_prompt(name: str, version: str) -> dict:
    """The prompt of a workflow as the page of a host of this version sends it."""
    own = PROMPTS / version / f"{name}.json"
    return json.loads((own if own.exists() else recorded_from(name)).read_text(encoding="utf-8"))


def record_prompt(name: str, host: ComfyUI, prompt: dict) -> None:
    """Keep what the page of a host sends; the first host of COMFYUI_PATH is to be the oldest."""
    oldest = recorded_from(name)
    if host.version == NEEDS_HOST.get(name, hosts()[0].version):
        _write(oldest, prompt)
    elif prompt != json.loads(oldest.read_text(encoding="utf-8")):
        _write(PROMPTS / host.version / f"{name}.json", prompt)
    else:
        (PROMPTS / host.version / f"{name}.json").unlink(missing_ok=True)


def _write(path: Path, prompt: dict) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(prompt, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
