r"""Names of files as people see them: "Röcke.png" is one name, however its letters are composed.

A name that was written down on another system, in a list, a manifest, a shard or a workflow, may differ from that on
the disk in ways that nobody sees: "\" for "/", "./" in front, composed or decomposed accents, capitals where the other
system ignores them, kinds of spaces. The exact name always counts first, and several names that look alike are never
chosen from.
"""

from __future__ import annotations

import ntpath
import os
import re
import time
import unicodedata
from collections.abc import Iterable
from difflib import get_close_matches
from functools import lru_cache
from pathlib import Path

from ..errors import LumosXError, shown

_INVISIBLE = re.compile("[\u00ad\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufe00-\ufe0f\ufeff]")
_HYPHENS = str.maketrans(dict.fromkeys("\u2010\u2011\u2012\u2013\u2014\u2212", "-") | {"\u2019": "'", "\u2018": "'"})
_SETTLED = 2_000_000_000  # ns: a folder that changed a moment ago may change again without a new time
_COMPARED = 5000  # names among which the nearest one is sought


def composed(name: str) -> str:
    """A name with its accents composed, as everything but macOS writes them."""
    return unicodedata.normalize("NFC", name)


def loosely(name: str) -> str:
    """What is left of a name when capitals, kinds of spaces and hyphens, and invisible characters do not count."""
    plain = unicodedata.normalize("NFKC", _INVISIBLE.sub("", name)).translate(_HYPHENS)
    return unicodedata.normalize("NFC", " ".join(plain.split()).casefold())


def with_slashes(path: str) -> str:
    r"""A path as this program writes it: "a\b", "./a/b" and "a//b" are all "a/b"; "/" in front and ".." stay."""
    parts = [part for part in path.strip().replace("\\", "/").split("/") if part not in ("", ".")]
    return "/" * path.strip().startswith(("/", "\\")) + "/".join(parts)


class SeenNames:
    """Names to be found as people see them; also paths with "/"."""

    def __init__(self, names: Iterable[str]):
        self.names = tuple(names)
        self._exact = set(self.names)
        self._levels: tuple[dict[str, list[str]], ...] = ({}, {})
        for name in self.names:
            for level, key in zip(self._levels, (composed(name), loosely(name)), strict=True):
                level.setdefault(key, []).append(name)

    def find(self, name: str) -> list[str]:
        """The names that are meant: one, none, or several that look alike."""
        for each in (name, with_slashes(name)):
            if each in self._exact:
                return [each]
            for level, key in zip(self._levels, (composed(each), loosely(each)), strict=True):
                if key in level:
                    return level[key]
        return []

    def nearest(self, name: str) -> str | None:
        """The name that was probably meant; None if none is like it."""
        known = {loosely(each): each for each in self.names[:_COMPARED]}
        near = get_close_matches(loosely(with_slashes(name))[:500], known, 1, 0.6)
        return known[near[0]] if near else None


def find_seen(folder: str | Path, name: str) -> Path | None:
    """The file or folder that a name means, relative to a folder or absolute; None if there is none.

    Raises:
        LumosXError: several there look alike.
    """
    folder = Path(folder)
    if "\0" in name:
        return None
    if os.path.lexists(folder / name):
        return folder / name
    plain = with_slashes(name)
    if ntpath.splitdrive(plain)[0]:
        return None
    path = Path("/") if plain.startswith("/") else folder
    for part in plain.split("/"):
        if part in ("", ".."):
            path = path / part
            continue
        if os.path.lexists(path / part):
            path = path / part
            continue
        found = _listed(path).find(part)
        if len(found) > 1:
            alike = " and ".join(repr(shown(each)) for each in sorted(found)[:3])
            raise LumosXError(f"{shown(name)!r} may mean {alike} in {path}, which look alike. Rename one of them.")
        if not found:
            return None
        path = path / found[0]
    return path


def seen_path(folder: str | Path, name: str) -> Path:
    """`find_seen`; for what is not there the path as it is written, so that reading it names what is missing."""
    found = find_seen(folder, name)
    return found if found is not None else Path(folder) / name


def elsewhere(name: str) -> str:
    r"""What to add to the message about a path that belongs to another computer, such as "D:\clips\a.mp4"."""
    if os.name != "nt" and re.match(r"[A-Za-z]:[\\/]|\\\\", name):
        return " It is a path of Windows. Write it relative to the file that names it, or as a path of this computer."
    return ""


def _listed(folder: Path) -> SeenNames:
    try:
        changed = os.stat(folder).st_mtime_ns
        if time.time_ns() - changed > _SETTLED:
            return _remembered(folder, changed)
        return SeenNames(os.listdir(folder))
    except (OSError, ValueError):  # not there, or no name that a folder can have
        return SeenNames(())


@lru_cache(maxsize=64)
def _remembered(folder: Path, changed: int) -> SeenNames:
    """Cached: a long manifest names many files of one folder."""
    return SeenNames(os.listdir(folder))
