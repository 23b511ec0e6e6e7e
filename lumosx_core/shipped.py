"""Folders of data that come with the program: beside the core in a checkout, inside it in an installed wheel."""

from __future__ import annotations

from pathlib import Path

from .own_command import FOLDER


def shipped(name: str) -> Path:
    """The folder `examples` or `locales`, wherever the program is."""
    installed = Path(__file__).parent / name
    return installed if installed.is_dir() else FOLDER / name
