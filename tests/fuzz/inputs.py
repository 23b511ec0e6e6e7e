"""Strategies of damaged input: bytes, JSON and text that began as something valid, and folders of such files.

A drawn input is small to describe (which seed, which edits), so hypothesis finds and shrinks it fast, however large the
file is.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from hypothesis import strategies as st

Files = Mapping[str, bytes]
"""Path below a folder -> content."""

_DIGITS, _DEEP_LIST, _DEEP_OBJECT = "<<digits>>", "<<deep list>>", "<<deep object>>"
_RAW = {
    f'"{_DIGITS}"': "9" * 5000,  # Python refuses to read a whole number of more than 4,300 digits
    f'"{_DEEP_LIST}"': "[" * 20_000 + "]" * 20_000,
    f'"{_DEEP_OBJECT}"': '{"a":' * 2000 + "1" + "}" * 2000,
}
INTEGERS = (
    0,
    1,
    -1,
    2,
    7,
    127,
    128,
    255,
    256,
    65535,
    2**31 - 1,
    2**31,
    -(2**31),
    2**32,
    2**53,
    2**63 - 1,
    2**63,
    -(2**63),
)
FLOATS = (0.5, -0.0, 1e-320, 1e308, -1e308, float("nan"), float("inf"), float("-inf"))
WORDS = (
    *(
        "",
        " ",
        "\t",
        "\n",
        "man",
        "a",
        "true",
        "null",
        "0",
        "1e999",
        "NaN",
        "...",
        "-",
        "--",
        "/",
        "//",
        "%",
        "%s",
        "{}",
    ),
    *(
        "{a|b}",
        "{",
        "}",
        "(",
        ")",
        "(man:1.2)",
        "[",
        "]",
        "<lora:x:1>",
        "*",
        "**",
        "?",
        "#2",
        "man#2",
        "man#0",
        "man#99999",
    ),
    *(
        "..",
        "../x",
        "..\\x",
        "C:\\x",
        "C:",
        "\\\\host\\x",
        "/etc/passwd",
        "~",
        "$HOME",
        "x/../../y",
        "a\\b",
        "CON",
        "nul.txt",
    ),
    *("\0", "a\0b", "\x1b[2J", "\r\n", "\x85", "\u2028", "\u202e", "\u200b", "\u200d", "\ufeff", "\ufffd", "\ufffe"),
    *(
        "\ud800",
        "a\udfff",
        "é",
        "e\u0301",
        "ﬁ",
        "ß",
        "İ",
        "ı",
        "Ａ",
        "男人",
        "人",
        "👨‍👩‍👧",
        "🏽",
        "नमस्ते",
        "مرحبا",
        "שלום",
        "ไทย",
    ),
    *(
        "x" * 300,
        "é" * 200,
        "字" * 100,
        "a " * 500,
        "word, " * 300,
        "(" * 400,
        "{" * 400,
        "\\" * 300,
        "&amp;" * 50,
        "&#0;",
    ),
)
STRINGS = st.one_of(st.sampled_from(WORDS), st.text(max_size=8))
"""Short texts that users, other programs and other systems write."""


def _edits(least: int) -> st.SearchStrategy[int]:
    """How many edits: mostly one, which gets furthest into a reader."""
    return st.sampled_from((least, 1, 1, 1, 2, 3, 6))


# Bytes


def edited_bytes(seeds: Sequence[bytes], *, least: int = 1) -> st.SearchStrategy[bytes]:
    """One of the seeds after some edits."""

    @st.composite
    def edited(draw) -> bytes:
        data = draw(st.sampled_from(seeds))
        for _ in range(draw(_edits(least))):
            data = _edit(draw, data, seeds)
        return data

    return edited()


def _at(draw, data: bytes) -> int:
    """A place in the data, often near its ends, where formats keep their headers."""
    size = len(data)
    low, high = draw(st.sampled_from(((0, 64), (0, 512), (0, size), (0, size), (size - 64, size))))
    return draw(st.integers(max(0, min(low, size)), max(0, min(high, size))))


def _edit(draw, data: bytes, seeds: Sequence[bytes]) -> bytes:
    at = _at(draw, data)
    kind = draw(st.integers(0, 8))
    if kind == 0:
        return (
            data[:at] + bytes([(data[at] if at < len(data) else 0) ^ (1 << draw(st.integers(0, 7)))]) + data[at + 1 :]
        )
    if kind <= 2:
        width = draw(st.sampled_from((1, 2, 4, 8)))
        number = draw(st.sampled_from(INTEGERS)) % 2 ** (8 * width)
        return data[:at] + number.to_bytes(width, draw(st.sampled_from(("little", "big")))) + data[at + width :]
    if kind == 3:
        return data[:at]
    end = at + draw(st.sampled_from((1, 2, 4, 16, 256, 4096)))
    if kind == 4:
        return data[:at] + data[end:]
    if kind == 5:
        return data[:end] + data[at:end] * draw(st.sampled_from((1, 2, 100))) + data[end:]
    if kind == 6:
        other = draw(st.sampled_from(seeds))
        return data[:at] + other[_at(draw, other) :]
    if kind == 7:
        return data[:at] + draw(st.binary(max_size=16)) + data[at:]
    return data[:at] + draw(st.sampled_from((b"\0", b"\xff", b"[", b"{", b"9", b" "))) * (end - at) + data[end:]


# JSON


def values() -> st.SearchStrategy[Any]:
    """Values of JSON that are rarely expected."""
    simple = st.one_of(
        st.sampled_from((None, True, False, [], {}, [[]], {"": None}, _DIGITS, _DEEP_LIST, _DEEP_OBJECT)),
        st.sampled_from(INTEGERS),
        st.sampled_from(FLOATS),
        STRINGS,
    )
    return st.one_of(simple, simple, st.lists(simple, max_size=3), st.dictionaries(STRINGS, simple, max_size=2))


def edited_tree(documents: Sequence[Any], *, least: int = 1) -> st.SearchStrategy[str]:
    """JSON of one of the documents after some edits at drawn places, sometimes of its text as well."""
    listed = [(document, list(_paths(document))) for document in documents]

    @st.composite
    def edited(draw) -> str:
        document, paths = draw(st.sampled_from(listed))
        document = json.loads(json.dumps(document))
        for _ in range(draw(_edits(least))):
            document = _edit_tree(draw, document, draw(st.sampled_from(paths)), paths)
        return as_json(document, ascii=draw(st.booleans()))

    return edited()


def as_json(document: Any, *, ascii: bool = True) -> str:
    """The text of a document with the values that Python itself cannot write."""
    text = json.dumps(document, ensure_ascii=ascii)
    for mark, raw in _RAW.items():
        text = text.replace(mark, raw)
    return text


def json_bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def _paths(document: Any, above: tuple = ()) -> Any:
    yield above
    if isinstance(document, dict):
        for key, value in document.items():
            yield from _paths(value, (*above, key))
    elif isinstance(document, list):
        for index, value in enumerate(document[:200]):
            yield from _paths(value, (*above, index))


def _edit_tree(draw, document: Any, path: tuple, paths: Sequence[tuple]) -> Any:
    if not path:
        return draw(values()) if draw(st.integers(0, 9)) == 0 else document
    parent = _value_at(document, path[:-1])
    key = path[-1]
    if isinstance(parent, dict) and isinstance(key, str) and key in parent:
        _edit_object(draw, document, parent, key, paths)
    elif isinstance(parent, list) and isinstance(key, int) and key < len(parent):
        kind = draw(st.integers(0, 4))
        if kind == 0:
            del parent[key]
        elif kind == 1:
            parent[key:key] = [parent[key]] * draw(st.sampled_from((1, 2, 300)))
        else:
            parent[key] = _new_value(draw, document, paths)
    return document


def _edit_object(draw, document: Any, parent: dict, key: str, paths: Sequence[tuple]) -> None:
    kind = draw(st.integers(0, 5))
    if kind == 0:
        del parent[key]
    elif kind == 1:
        parent[draw(STRINGS)] = parent.pop(key)
    elif kind == 2:
        parent[draw(STRINGS)] = _new_value(draw, document, paths)
    else:
        parent[key] = _new_value(draw, document, paths)


def _new_value(draw, document: Any, paths: Sequence[tuple]) -> Any:
    """A value that is wrong, or one from elsewhere in the document."""
    if draw(st.booleans()):
        return draw(values())
    found = _value_at(document, draw(st.sampled_from(paths)))
    return json.loads(json.dumps(found))


def _value_at(document: Any, path: tuple) -> Any:
    for step in path:
        fits = (isinstance(document, dict) and step in document) or (
            isinstance(document, list) and isinstance(step, int) and step < len(document)
        )
        if not fits:
            return None
        document = document[step]
    return document


# Text


def edited_text(seeds: Sequence[str], *, words: Sequence[str] = ()) -> st.SearchStrategy[str]:
    """One of the seeds, in which some words are others, are gone or are there more often."""
    new = st.one_of(STRINGS, st.sampled_from(words)) if words else STRINGS

    @st.composite
    def edited(draw) -> str:
        parts = re.split(r"(\s+|[^\w\s]+)", draw(st.sampled_from(seeds)))
        for _ in range(draw(st.integers(0, 6))):
            at = draw(st.integers(0, len(parts)))
            kind = draw(st.integers(0, 4))
            if kind == 0:
                del parts[at : at + draw(st.integers(1, 5))]
            elif kind == 1:
                parts[at:at] = parts[at : at + draw(st.integers(1, 9))] * draw(st.sampled_from((1, 2, 200)))
            else:
                parts[at : at + draw(st.integers(0, 1))] = [draw(new)]
        text = "".join(parts)
        form = draw(st.sampled_from((None, None, None, "NFD", "NFKC", "upper", "long")))
        if form in ("NFD", "NFKC"):
            return unicodedata.normalize(form, text)
        return text.upper() if form == "upper" else text * (20_000 // max(1, len(text))) if form == "long" else text

    return edited()


# Folders


def edited_files(
    seeds: Sequence[Files], *, texts: Callable[[str], bool] = lambda name: False
) -> st.SearchStrategy[Files]:
    """A folder of files, some of which are damaged, gone, renamed, or there in addition.

    Args:
        texts: which files are JSON, by their names: they are edited as trees as well.
    """
    whole = {
        name: edited_tree([json.loads(seed[name])]).map(json_bytes) for seed in seeds for name in seed if texts(name)
    }

    @st.composite
    def edited(draw) -> Files:
        files = dict(draw(st.sampled_from(seeds)))
        for _ in range(draw(st.sampled_from((1, 1, 2, 3)))):
            names = sorted(files)
            if not names:
                break
            name = draw(st.sampled_from(names))
            kind = draw(st.integers(0, 7))
            if kind == 0:
                del files[name]
            elif kind == 1:
                files[renamed(draw, name)] = files.pop(name)
            elif kind == 2:
                files[renamed(draw, name)] = files[draw(st.sampled_from(names))]
            elif name in whole and kind < 7:
                files[name] = draw(whole[name])
            else:
                files[name] = draw(edited_bytes([files[name], *list(files.values())[:2]]))
        return files

    return edited()


def renamed(draw, name: str) -> str:
    """Another name with the same ending, mostly in the same folder."""
    folder, slash, file = name.rpartition("/")
    stem, dot, ending = file.rpartition(".")
    new = draw(STRINGS)
    kind = draw(st.integers(0, 3))
    if kind == 0:
        return f"{folder}{slash}{new}"
    if kind == 1:
        return f"{new}/{file}"
    return f"{folder}{slash}{stem if kind == 2 else ''}{new}{dot}{ending}"
