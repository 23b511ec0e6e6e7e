"""Fingerprints of samples: strings that change when the files of a sample change, computed without reading them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from pathlib import Path


def fingerprint_of(paths: Iterable[Path], *words: object) -> str:
    """A fingerprint of files, by name, size and time of change, and of words; missing files count as such."""
    digest = hashlib.sha256(repr(words).encode("utf-8", "backslashreplace"))
    for path in sorted(paths):
        try:
            stat = path.stat()
            line = f"\n{path.name}\t{stat.st_size}\t{stat.st_mtime_ns}"
        except (OSError, ValueError):
            line = f"\n{path.name}\tmissing"
        digest.update(line.encode("utf-8", "backslashreplace"))
    return digest.hexdigest()[:32]


def files_below(path: Path) -> list[Path]:
    """The file itself, or the files in a folder, at any depth."""
    return [each for each in path.rglob("*") if each.is_file()] if path.is_dir() else [path]


def texts_in(value: object) -> Iterator[str]:
    """Every text in a JSON value that is not a name of a field."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for each in value.values() if isinstance(value, dict) else value:
            yield from texts_in(each)
