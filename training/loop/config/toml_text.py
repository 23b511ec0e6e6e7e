r"""TOML as people write it, above all with paths of Windows.

In double quotes a backslash begins an escape: "D:\clips" is not valid, and "D:\temp\new" is valid but holds a tab and a
line break. Both are refused with the way to write a path.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from lumosx_core.errors import LumosXError, shown

FREE_TEXT = {"negative_prompt", "samples.negative_prompt"}  # may have line breaks
_PATHS = (
    r"Write paths in single quotes, such as 'D:\clips\new', where a backslash is nothing special, or with / instead."
)
_ESCAPED = {"\t": r"\t", "\n": r"\n", "\r": r"\r", "\b": r"\b", "\f": r"\f", "\x1b": r"\e"}


def parse_toml(toml: Any, text: str, where: str) -> dict:
    """The tables of a TOML text.

    Args:
        toml: the module tomllib, or tomli.
        where: the file, for messages.

    Raises:
        LumosXError: it is not valid, or a text in it has control characters, as a path with backslashes gets them.
    """
    tables = _parsed(toml, text, where)
    _check_texts(tables, where)
    return tables


def parse_value(toml: Any, text: str, option: str) -> object:
    r"""The value of `--set NAME=VALUE`: TOML, or the text as it is, as a shell takes the quotes off a path.

    Raises:
        LumosXError: a quoted text that is not valid TOML, or has control characters, see `parse_toml`.
    """
    try:
        tables = _parsed(toml, f"value = {text}", option)
    except LumosXError as error:
        if text[:1] in ("'", '"', "[", "{") or isinstance(error.__cause__, RecursionError) or len(text) > 4300:
            raise
        return text
    if tables.keys() != {"value"}:
        raise LumosXError(f"{option} has more than one value: {shown(text)!r}. Use one --set for each.")
    _check_texts(tables, option, name=option.removeprefix("--set "))
    return tables["value"]


def _parsed(toml: Any, text: str, where: str) -> dict:
    try:
        return toml.loads(text)
    except RecursionError as error:
        raise LumosXError(f"{where} has lists within lists too deeply to be read. Take some out.") from error
    except ValueError as error:  # TOMLDecodeError, and Python's own for numbers of thousands of digits
        raise LumosXError(f"{where} is not valid TOML: {shown(error)}. {_advice(text, str(error))}") from error


def _advice(text: str, message: str) -> str:
    """What to do about invalid TOML, by the line that the parser names."""
    place = re.search(r"at line (\d+)", message)
    lines = text.splitlines()
    number = int(place[1]) if place else len(lines)  # "at end of document"
    line = lines[number - 1] if 0 < number <= len(lines) else ""
    above = lines[number - 2] if 1 < number <= len(lines) + 1 else ""
    if any(re.search(r'"[^"]*\\', each) for each in (line, above)):
        return _PATHS
    if re.search("[\u201c\u201d\u2018\u2019\u00ab\u00bb]", line):
        return "Its quotation marks are typographic ones. Write straight ones: ' or \"."
    if re.match(r"\s*[\w.-]+\s*:", line):
        return "Write NAME = VALUE, with = instead of a colon."
    if re.match(r"\s*[\w.-]+\s*=\s*(True|False|None|yes|no)\b", line):
        return "Write true or false in small letters."
    if re.match(r"\s*[\w.-]+\s*=\s*[^\s\"'\[{0-9+-]", line):
        return "Write texts in quotes: 'TEXT'."
    return "Fix that line."


def _check_texts(tables: dict, where: str, name: str = "") -> None:
    for key, text in _texts(tables):
        key = name or key
        if key in FREE_TEXT or key.rpartition(".")[2] in FREE_TEXT:
            continue
        letter = next((each for each in text if ord(each) < 0x20 or 0x7F <= ord(each) < 0xA0), None)
        if letter is None:
            continue
        escape = _ESCAPED.get(letter)
        cause = f", because in double quotes {escape} stands for one. {_PATHS}" if escape else ". Type it again."
        raise LumosXError(f"{where}: {key} is '{shown(text)}', which has a control character{cause}")


def _texts(value: Any, name: str = "") -> Iterator[tuple[str, str]]:
    """Each text within tables and lists, with its name; also the names themselves."""
    if isinstance(value, str):
        yield name, value
    elif isinstance(value, dict):
        for key, each in value.items():
            yield from _texts(each, f"{name}.{key}" if name else key)
    elif isinstance(value, list):
        for each in value:
            yield from _texts(each, name)
