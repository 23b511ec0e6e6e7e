"""Small text files as people save them: UTF-8 with or without a byte order mark, and the UTF-16 of Windows' editors."""

from __future__ import annotations

import codecs
import errno
import os
import stat
from pathlib import Path

from ..errors import LumosXError

MOST_BYTES = 2**20  # far more than a caption or a list of files
_MARKS = (  # the longer ones first: that of UTF-32 begins like that of UTF-16
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


def read_text(path: str | Path, advice: str, *, most: int = MOST_BYTES) -> str:
    """The text of a file; its lines end in line feeds, however they were saved.

    Args:
        advice: a sentence that says what to write there, for the message about a file that cannot be read.
        most: bytes that the file may have.

    Raises:
        LumosXError: no such file, a folder, a device or a named pipe, too large, or of an unknown encoding.
    """
    data = read_bytes(path, advice, most=most)
    return decode_text(data, str(path)).replace("\r\n", "\n").replace("\r", "\n")


def read_bytes(path: str | Path, advice: str, *, most: int = MOST_BYTES) -> bytes:
    """The bytes of a file; arguments and errors as of `read_text`."""
    try:
        check_regular(path)
        size = os.stat(path).st_size
        if size > most:
            raise LumosXError(f"{path} has {size:,} bytes, but at most {most:,} are read. Is it the right file?")
        with open(path, "rb") as file:
            return file.read(most)
    except OSError as error:
        raise LumosXError(f"Cannot read {path}: {error.strerror}. {advice}") from error


def check_regular(path: str | Path) -> None:
    """Raise LumosXError for what is there but is not a file: reading a named pipe or a device may never end.

    Raises:
        OSError: there is nothing, or nothing can have that name.
    """
    try:
        mode = os.stat(path).st_mode
    except ValueError as error:  # such as a zero byte in its name
        raise FileNotFoundError(errno.ENOENT, f"no file can have this name ({error})") from error
    if not stat.S_ISREG(mode):
        kind = "a folder" if stat.S_ISDIR(mode) else "a named pipe, a socket or a device"
        raise LumosXError(f"{path} is {kind}, expected a file. Put a file there, or fix the path.")


def decode_text(data: bytes, name: str) -> str:
    """The text that bytes of a file spell.

    Args:
        name: of the file, for messages.

    Raises:
        LumosXError: the encoding is unknown, or it is not plain text.
    """
    if data.startswith(b"{\\rtf"):
        raise LumosXError(f"{name} is formatted text (RTF). Save it again as plain text in UTF-8.")
    encoding = next((encoding for mark, encoding in _MARKS if data.startswith(mark)), None)
    encoding = encoding or _unmarked_utf16(data) or "utf-8"
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError as error:
        if encoding == "utf-8":
            raise LumosXError(
                f"{name} is not UTF-8 text ({error}); older Windows programs save such files. Save it again as UTF-8: "
                f"in Notepad under Save as, Encoding."
            ) from error
        raise LumosXError(f"{name} is damaged {encoding.upper()} text ({error}). Save it again as UTF-8.") from error
    if "\0" in text:
        raise LumosXError(f"{name} is not text: it contains zero bytes. Save it again as plain text in UTF-8.")
    return text


def _unmarked_utf16(data: bytes) -> str | None:
    """UTF-16 without a mark, which shows by the zero bytes of its Latin letters, spaces and line ends."""
    if len(data) % 2 or b"\0" not in data:
        return None
    even, odd = data[::2].count(0), data[1::2].count(0)
    if 8 * (even + odd) < len(data) and _is_utf8(data):  # one zero byte by accident makes no UTF-16
        return None
    if odd and not even:
        return "utf-16-le"
    return "utf-16-be" if even and not odd else None


def _is_utf8(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True
