"""Titles that artists gave to nodes, which messages name people by."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from ...shipped import shipped


def own_title(entry: Mapping[str, Any]) -> str:
    """The title of a node of an API prompt, where the artist gave it one; else nothing.

    Without one the page sends the name that the node has in the page's language.
    """
    meta = entry.get("_meta")
    title = meta.get("title") if isinstance(meta, Mapping) else None
    if not isinstance(title, str):
        return ""
    kind = entry.get("class_type")
    title = " ".join(title.split())
    return "" if title == kind or title in _names().get(str(kind), ()) else title


@lru_cache
def _names() -> Mapping[str, frozenset[str]]:
    """What nodes of this pack are called, in each language, by type; also without what is in brackets, as they were
    called in version 0.1.0.
    """
    names: dict[str, set[str]] = {}
    for path in shipped("locales").glob("*/nodeDefs.json"):
        for kind, texts in json.loads(path.read_text(encoding="utf-8")).items():
            name = texts.get("display_name", kind)
            names.setdefault(kind, set()).update((name, re.split(r" ?[(（]", name)[0]))
    return {kind: frozenset(each) for kind, each in names.items()}
