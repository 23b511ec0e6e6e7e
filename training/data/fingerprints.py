"""Fingerprints of samples: strings that change when the files of a sample change, computed without reading them."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from lumosx_core.errors import LumosXError
from lumosx_core.files.junk import is_junk

MOST_FILES = 20_000  # of one sample; more is the wrong folder, such as the whole disk


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
    """The file itself, or the files in a folder, at any depth, without junk.

    Raises:
        LumosXError: there are more than 20,000.
    """
    return [each for each in entries_below(path) if each.is_file()] if os.path.isdir(path) else [path]


def entries_below(directory: Path) -> Iterator[Path]:
    """Files and folders in a folder, at any depth, without junk; raises LumosXError behind 20,000 of them."""
    count = 0
    if not os.path.isdir(directory):
        return
    for folder, below, files in os.walk(directory):
        below[:] = [name for name in below if not is_junk(name)]
        for name in [*below, *(name for name in files if not is_junk(name))]:
            count += 1
            if count > MOST_FILES:
                raise LumosXError(f"{directory} holds more than {MOST_FILES:,} files. It is not a sample folder.")
            yield Path(folder, name)


def texts_in(value: object) -> Iterator[str]:
    """Every text in a JSON value that is not a name of a field."""
    values = [value]
    while values:
        each = values.pop()
        if isinstance(each, str):
            yield each
        elif isinstance(each, dict | list):
            values += list(each.values() if isinstance(each, dict) else each)[::-1]
