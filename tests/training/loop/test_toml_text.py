r"""Configs as editors and shells of Windows leave them: byte order marks, UTF-16, "D:\temp"."""

from __future__ import annotations

import codecs

import pytest

from lumosx_core.errors import LumosXError
from lumosx_training.loop.config.settings import DataSettings, parse_config
from lumosx_training.loop.config.toml_tables import read_tables, tables_to_dataclass

TEXT = "[data]\ncache = 'a'\n"
SINGLE = "single quotes, such as 'D:"


def written(tmp_path, text, encoding="utf-8", mark=b""):
    path = tmp_path / "c.toml"
    path.write_bytes(mark + text.encode(encoding))
    return path


@pytest.mark.parametrize(
    ("encoding", "mark"),
    [
        ("utf-8", b""),
        ("utf-8", codecs.BOM_UTF8),
        ("utf-16-le", codecs.BOM_UTF16_LE),
        ("utf-16-be", codecs.BOM_UTF16_BE),
        ("utf-16-le", b""),
        ("utf-32-le", codecs.BOM_UTF32_LE),
    ],
    ids=["plain", "Notepad", "PowerShell", "big endian", "without a mark", "UTF-32"],
)
def test_every_encoding_of_an_editor_is_read(tmp_path, encoding, mark):
    assert read_tables(written(tmp_path, TEXT.replace("\n", "\r\n"), encoding, mark)) == {"data": {"cache": "a"}}


def test_another_encoding_is_named(tmp_path):
    with pytest.raises(LumosXError, match="is not UTF-8 text"):
        read_tables(written(tmp_path, "[data]\ncache = 'Müller'\n", "cp1252"))


@pytest.mark.parametrize(
    "path",
    [
        *(r"D:\clips\new", r"C:\Users\me", r"D:\temp", r"D:\new", r"D:\backup", r"D:\films", r"D:\renders", r"\\nas\x"),
        *(r"E:\u\x", r"C:\data\e", "C:\\", r"D:\x64"),
    ],
)
def test_a_path_of_windows_in_double_quotes_is_explained(tmp_path, path):
    for text in (f'[data]\ncache = "{path}"\n', f'[samples]\ncases = ["{path}", "b"]\nvae = "x"\n'):
        with pytest.raises(LumosXError, match=SINGLE):
            read_tables(written(tmp_path, text))
    with pytest.raises(LumosXError, match=SINGLE):
        read_tables(written(tmp_path, TEXT), [f'data.cache="{path}"'])


@pytest.mark.parametrize("value", [r"'D:\temp\new'", r'"D:\\temp\\new"', r"D:\temp\new"])
def test_a_path_of_windows_is_read_where_it_is_written_rightly(tmp_path, value):
    assert read_tables(written(tmp_path, TEXT), [f"data.cache={value}"]) == {"data": {"cache": r"D:\temp\new"}}


def test_a_negative_prompt_may_have_line_breaks(tmp_path):
    text = '[samples]\nnegative_prompt = "a\\nb"\n'
    assert read_tables(written(tmp_path, text))["samples"]["negative_prompt"] == "a\nb"


@pytest.mark.parametrize(
    ("line", "advice"),
    [
        ("cache = \u201cx\u201d", "typographic"),
        ("cache: 'x'", "= instead of a colon"),
        ("preload = True", "small letters"),
        ("cache = folder", "texts in quotes"),
        ("cache = " + "[" * 100_000, "too deeply|not valid"),
        ("seed = " + "9" * 5000, "4300 digits"),
    ],
    ids=["quotes", "colon", "True", "bare", "deep", "digits"],
)
def test_invalid_toml_says_what_to_write(tmp_path, line, advice):
    with pytest.raises(LumosXError, match=advice) as error:
        read_tables(written(tmp_path, f"[data]\n{line}\n"))
    assert len(str(error.value)) < 1500


@pytest.mark.parametrize("value", ["1\n[x]", '"a', "[1, 2", "{a = 1", "[" * 5000, "9" * 5000, "1\nother=2"])
def test_a_change_that_is_no_single_value_is_refused(tmp_path, value):
    with pytest.raises(LumosXError):
        read_tables(written(tmp_path, TEXT), [f"data.cache={value}"])


@pytest.mark.parametrize(
    "value",
    [[1], {"a": 1}, True, 10**400, float("nan"), float("inf"), None, "x" * 9000, [[[]]]],
    ids=lambda v: str(v)[:9],
)
def test_a_value_of_another_kind_is_named_briefly(value):
    for name in ("text_dropout", "num_workers", "cache", "preload"):
        if (name == "preload" and value is True) or (name == "cache" and isinstance(value, str)):
            continue
        with pytest.raises(LumosXError) as error:
            tables_to_dataclass(DataSettings, {"cache": "a", name: value}, "data")
        assert name in str(error.value) and len(str(error.value)) < 400


@pytest.mark.parametrize(
    ("table", "name", "value"),
    [
        ("data", "num_workers", 10**6),
        ("data", "prefetch_factor", 10**9),
        ("training", "batch_size", 10**12),
        ("training", "steps", 10**30),
        ("lora", "rank", 10**9),
        ("samples", "width", 160_000),
        ("samples", "steps", 10**7),
    ],
)
def test_a_number_beyond_its_limit_is_refused(table, name, value):
    tables = {"model": {"file": "m"}, "data": {"cache": "a"}, "training": {"output": "o", "steps": 1}, "lora": {}}
    tables.setdefault(table, {})[name] = value
    with pytest.raises(LumosXError, match=name):
        parse_config(tables)
