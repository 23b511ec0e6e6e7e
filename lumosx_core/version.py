"""The version of LumosX. It is written in pyproject.toml and nowhere else: ComfyUI's registry reads it there."""

from __future__ import annotations

import re
from importlib.metadata import PackageNotFoundError, version

from .own_command import FOLDER


def _version() -> str:
    project = FOLDER / "pyproject.toml"  # of a checkout, or of the folder in custom_nodes, where nothing is installed
    text = project.read_text(encoding="utf-8") if project.is_file() else ""
    if written := re.search(r'^name = "lumosx"\nversion = "(.+)"$', text, re.MULTILINE):
        return written[1]
    try:
        return version("lumosx")
    except PackageNotFoundError:
        return "unknown"


__version__ = _version()
