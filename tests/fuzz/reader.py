"""What a fuzz needs to know of a reader, and how files of an input get on the disk."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fuzz.inputs import Files
from hypothesis import strategies as st


@dataclass(frozen=True)
class Reader:
    """A reader and its input.

    Args:
        inputs: what it is given.
        read: reads one; its second argument is an empty folder.
    """

    inputs: st.SearchStrategy
    read: Callable[[Any, Path], object]


Make = Callable[[], Reader]
"""Seeds are made when a reader's turn comes."""


def put(folder: Path, files: Files) -> Path:
    """Write files below a folder; names that this system has not are left out."""
    for name, content in files.items():
        path = folder / name.lstrip("/")
        # A name may lead out of the folder, or be that of a folder.
        with suppress(OSError, ValueError):
            if folder.resolve() in path.resolve().parents:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(content)
    return folder


def put_one(folder: Path, name: str, content: bytes) -> Path:
    path = folder / name
    path.write_bytes(content)
    return path
