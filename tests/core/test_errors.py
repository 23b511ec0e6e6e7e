import pickle

import pytest

from lumosx_core.errors import LumosXError, shown


@pytest.mark.parametrize(
    ("given", "quoted"),
    [
        ("a shirt", "a shirt"),
        ("two\nlines\tand a tab", "two\\nlines\\tand a tab"),
        ("\x1b[31mred\x1b[0m", "\\x1b[31mred\\x1b[0m"),
        ("a\u202egnp.exe", "a\\u202egnp.exe"),
        ("zero\u200bwidth", "zero\\u200bwidth"),
        ("K\udcf6ln.png", "K\\udcf6ln.png"),  # a name in latin-1 as Python reads it
        ("half \ud83d pair", "half \\ud83d pair"),
        ("नमस्ते क्‍ष", "नमस्ते क्‍ष"),  # a joiner belongs to the word
        (12, "12"),
    ],
)
def test_a_quoted_text_is_one_line_without_control_characters(given, quoted):
    assert shown(given) == quoted


def test_a_quoted_text_is_cut():
    assert shown("x" * 1000) == "x" * 200 + " ..."
    assert shown("x" * 1000, 10) == "x" * 10 + " ..."
    assert shown("x" * 200) == "x" * 200


def test_no_message_carries_control_characters_or_a_megabyte():
    message = str(LumosXError(f"The phrase {'y' * 10**6} \x1b[2J\udc80 is wrong. Write another one."))
    assert len(message) < 4100
    assert message.startswith("The phrase yyy") and message.endswith("is wrong. Write another one.")
    assert "\x1b" not in message and "\\x1b[2J\\udc80" in message
    message.encode()
    assert str(LumosXError("first line\nsecond line")) == "first line\nsecond line"


def test_an_error_survives_pickle_unchanged():
    error = LumosXError("a \x07 bell")
    assert str(pickle.loads(pickle.dumps(error))) == str(error) == "a \\x07 bell"
