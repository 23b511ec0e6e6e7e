import os

import pytest

from lumosx_core.errors import LumosXError
from lumosx_core.files.text_file import read_text

TEXT = "Ein Mann in Köln, 男人\nzweite Zeile"


@pytest.mark.parametrize(
    "encoded",
    [
        TEXT.encode(),
        TEXT.encode("utf-8-sig"),
        TEXT.encode("utf-16"),  # with a mark, as Notepad's "Unicode"
        b"\xfe\xff" + TEXT.encode("utf-16-be"),
        TEXT.encode("utf-32"),
        TEXT.replace("\n", "\r\n").encode(),
        TEXT.replace("\n", "\r\n").encode("utf-16"),
        TEXT.replace("\n", "\r").encode(),
    ],
)
def test_a_text_is_read_however_editors_save_it(tmp_path, encoded):
    (tmp_path / "a.txt").write_bytes(encoded)
    assert read_text(tmp_path / "a.txt", "") == TEXT


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
def test_utf_16_without_a_mark_shows_by_its_zero_bytes(tmp_path, encoding):
    (tmp_path / "a.txt").write_bytes("a man in Köln".encode(encoding))
    assert read_text(tmp_path / "a.txt", "") == "a man in Köln"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("Köln".encode("cp1252"), "is not UTF-8 text .* Save it again as UTF-8"),
        ("赤い帽子".encode("shift-jis"), "is not UTF-8"),
        ("红色帽子".encode("gbk"), "is not UTF-8"),
        (b"{\\rtf1\\ansi a man}", "formatted text"),
        (b"a\0man\0\0walks", "zero bytes"),
        (b"a man walks\0\n", "zero bytes"),
        (b"a woman\0 sits in a garden", "zero bytes"),
        (b"\xff\xfea", "damaged UTF-16"),
        (b"PK\x03\x04\x00\x00\xff\xff", "is not UTF-8"),
        (b"\xed\xa0\x80", "is not UTF-8"),  # half a surrogate pair
        (b"a" * (2**20 + 1), "1,048,577 bytes"),
    ],
)
def test_what_cannot_be_read_for_certain_is_refused(tmp_path, content, message):
    (tmp_path / "a.txt").write_bytes(content)
    with pytest.raises(LumosXError, match=message):
        read_text(tmp_path / "a.txt", "Write it.")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
def test_a_named_pipe_a_device_and_a_folder_are_refused_at_once(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", "/dev/zero", tmp_path):
        with pytest.raises(LumosXError, match="expected a file"):
            read_text(path, "Write it.")


@pytest.mark.parametrize("name", ["absent.txt", "x" * 300, "nul\0", "a/" * 3000])
def test_a_name_that_nothing_has_is_named(tmp_path, name):
    with pytest.raises(LumosXError, match=r"Cannot read .*Write it\."):
        read_text(tmp_path / name, "Write it.")
