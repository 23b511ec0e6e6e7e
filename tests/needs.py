"""Skipping or failing tests that need something outside of the repository."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from comfy_hosts import ComfyUI


def missing(what: str) -> None:
    """Skip the running test, or fail it under LUMOSX_REQUIRE_ALL=1, naming what is missing."""
    if os.environ.get("LUMOSX_REQUIRE_ALL") == "1":
        pytest.fail(f"LUMOSX_REQUIRE_ALL=1, but {what}", pytrace=False)
    pytest.skip(what)


def existing(path: Path, what: str, fix: str) -> Path:
    if not path.exists():
        missing(f"{what} not found at {path}. {fix}")
    return path


def present(host: ComfyUI | None) -> ComfyUI:
    """That host, if there is one and its Python is there."""
    if host is None:
        missing(
            "no ComfyUI found at ~/ComfyUI. Set COMFYUI_PATH to a checkout of ComfyUI 0.8.0 or newer, or to several."
        )
    existing(host.python, f"the Python that runs ComfyUI {host.version}", "Set COMFYUI_PYTHON to it.")
    return host
