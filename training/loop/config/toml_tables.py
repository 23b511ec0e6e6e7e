"""TOML tables to dataclasses: unknown names, missing ones and values of another type are refused by name."""

from __future__ import annotations

import difflib
import math
import types
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, fields, is_dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar, Union, cast, get_args, get_origin, get_type_hints

from lumosx_core.errors import LumosXError, MissingPackageError, shown
from lumosx_core.files.text_file import read_text

from .toml_text import parse_toml, parse_value

Settings = TypeVar("Settings")
_LARGEST = 2**63  # the largest whole number that TOML has
_KINDS = {bool: "true or false", int: "a whole number", float: "a number", str: "text"}


def read_tables(path: str | Path | None, changes: Sequence[str] = ()) -> dict:
    """The tables of a TOML file (None: no tables), with `changes` ("table.name=value") made.

    Raises:
        LumosXError: no such file, invalid TOML, or a malformed change.
    """
    toml = _toml()
    text = "" if path is None else read_text(path, "Check the path of the config.")
    tables = parse_toml(toml, text, str(path))
    for change in changes:
        name, equals, text = change.partition("=")
        *above, last = name.strip().split(".")
        if not equals or not above:
            raise LumosXError(f"--set {shown(change)!r} is not understood. Write it as --set training.steps=100.")
        table = tables
        for step in above:
            table = table.setdefault(step, {})
            if not isinstance(table, dict):
                raise LumosXError(f"--set {shown(change)!r} is not possible: {shown(step)} is not a table.")
        table[last] = parse_value(toml, text.strip(), f"--set {name.strip()}")
    return tables


def _toml():
    try:
        import tomllib
    except ImportError:  # Python 3.10
        try:
            import tomli as tomllib
        except ImportError as error:
            raise MissingPackageError("tomli", "Reading a config on Python 3.10", error) from error
    return tomllib


def tables_to_dataclass(
    kind: type[Settings], tables: dict, name: str = "", *, kinds: Mapping[str, type] | None = None
) -> Settings:
    """Build a dataclass of plain values and dataclasses.

    Args:
        kinds: entry -> the type it has in this config, instead of the annotated one.

    Raises:
        LumosXError: an unknown or missing name, or a value of another type.
    """
    known = {entry.name: entry for entry in fields(cast(Any, kind))}
    for unknown in tables:
        if unknown not in known:
            near = difflib.get_close_matches(unknown, known, 1, 0.5)
            hint = f"Did you mean {_join(name, near[0])}?" if near else f"There are: {', '.join(known)}."
            raise LumosXError(f"{shown(_join(name, unknown))} does not exist. {hint}")
    for entry in known.values():
        if entry.name not in tables and entry.default is MISSING and entry.default_factory is MISSING:
            what = f"the table [{_join(name, entry.name)}]" if not name else _join(name, entry.name)
            raise LumosXError(f"{what} is missing. Add it.")
    types_of = {**get_type_hints(kind), **(kinds or {})}
    return kind(**{each: _converted(types_of[each], value, _join(name, each)) for each, value in tables.items()})


def _converted(kind: Any, value: object, name: str) -> object:
    if get_origin(kind) in (Union, types.UnionType):  # only ever "X or None": absent means None
        [kind] = [option for option in get_args(kind) if option is not type(None)]
    if is_dataclass(kind):
        if not isinstance(value, dict):
            raise LumosXError(f"{name} is {_quoted(value)}, expected a table [{name}].")
        return tables_to_dataclass(cast(type, kind), value, name)
    if get_origin(kind) is Literal:
        if not isinstance(value, str) or value not in get_args(kind):
            raise LumosXError(f"{name} is {_quoted(value)}, expected one of {', '.join(map(repr, get_args(kind)))}.")
        return value
    if get_origin(kind) is tuple:
        if not isinstance(value, list):
            raise LumosXError(f"{name} is {_quoted(value)}, expected a list.")
        return tuple(_converted(get_args(kind)[0], entry, f"{name}[{place}]") for place, entry in enumerate(value))
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        value = float(value) if abs(value) < _LARGEST else value
    if type(value) is not kind:
        raise LumosXError(f"{name} is {_quoted(value)}, expected {_KINDS[kind]}.")
    if kind is int and abs(cast(int, value)) >= _LARGEST:
        raise LumosXError(f"{name} is {_quoted(value)}, expected a number below 2**63.")
    if kind is float and not math.isfinite(cast(float, value)):
        raise LumosXError(f"{name} is {value!r}, expected a finite number.")
    return value


def _quoted(value: object) -> str:
    try:
        return shown(repr(value), 100)
    except ValueError:  # Python writes no number of more than 4300 digits, which hexadecimal may have
        return "a number of thousands of digits"


def _join(table: str, name: str) -> str:
    return f"{table}.{name}" if table else name
