"""Samples listed in a JSONL file, one record a line (see records.py); paths are relative to the file."""

from __future__ import annotations

import codecs
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from lumosx_core.errors import LumosXError, shown
from lumosx_core.files.seen_name import find_seen
from lumosx_core.files.text_file import check_regular

from ..fingerprints import files_below, fingerprint_of, texts_in
from ..samples import BadSample, RawSample, SampleSettings
from .located import located
from .records import parse_record, read_record, record_key

_LONGEST_LINE = 2**22  # bytes; a record of 200 images has some ten thousand
_LONGEST_NAME = 1000  # letters of a text that may name a file


class ManifestSource:
    """The samples of a manifest. A line that cannot be read is a bad sample of its own, called "line N".

    Raises:
        LumosXError: the file cannot be read, or has no line.
    """

    def __init__(self, path: str | Path, settings: SampleSettings | None = None):
        self.path = Path(path)
        self.settings = settings or SampleSettings()
        self._lines: dict[str, tuple[int, int]] = {}  # number of the line and where it starts
        self._repeated: dict[str, str] = {}
        try:
            check_regular(self.path)
            with self.path.open("rb") as file:
                self._check_encoding(file)
                self._index(file)
        except OSError as error:
            raise LumosXError(f"Cannot read the manifest {self.path}: {error.strerror}. Check the path.") from error
        if not self._lines:
            raise LumosXError(f"The manifest {self.path} is empty. Write one JSON object for each sample, one a line.")

    def keys(self) -> list[str]:
        return list(self._lines)

    def fingerprint(self, key: str) -> str:
        """A text that changes when the line or a file that it names does."""
        line = self._line(key)
        try:
            record = parse_record(_text(line))
        except LumosXError:
            record = {}
        files = [path for name in texts_in(record) if (path := self._file(name)) is not None]
        case = files_below(self._locate(record["case"])) if "case" in record else []
        return fingerprint_of(files + case, line)

    def load(self, key: str) -> RawSample:
        place = f"{self.path}, line {self._lines[key][0]}"
        if key in self._repeated:
            raise BadSample(place, self._repeated[key])
        try:
            record = parse_record(_text(self._line(key)))
        except LumosXError as error:
            raise BadSample(place, str(error)) from error
        return read_record(record, self._locate, self.settings, key=key, place=place)

    def _locate(self, name: str) -> Path:
        return located(self.path.parent, name)

    def _file(self, name: str) -> Path | None:
        """The file of a text in a record; None for a caption."""
        if len(name) > _LONGEST_NAME or "\n" in name:
            return None
        try:
            path = find_seen(self.path.parent, name)
            return path if path is not None and path.is_file() else None
        except (LumosXError, OSError):
            return None

    def _line(self, key: str) -> bytes:
        with self.path.open("rb") as file:
            file.seek(self._lines[key][1])
            return file.readline(_LONGEST_LINE + 1)

    def _check_encoding(self, file: BinaryIO) -> None:
        """Raise LumosXError for the UTF-16 and UTF-32 of Windows' editors and shells: its lines end otherwise."""
        head = file.read(4)
        file.seek(0)
        if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE, codecs.BOM_UTF32_BE)) or head[1:2] == b"\0":
            raise LumosXError(f"The manifest {self.path} is UTF-16 or UTF-32. Save it again as UTF-8.")

    def _index(self, file: BinaryIO) -> None:
        start = 0
        for number, (line, size) in enumerate(_bounded_lines(file), 1):
            if line.strip():
                self._add(number, start, line)
            start += size

    def _add(self, number: int, start: int, line: bytes) -> None:
        fallback = f"line {number}"
        try:
            key = record_key(parse_record(_text(line))) or fallback
        except LumosXError:
            key = fallback
        if key in self._lines:
            first = self._lines[key][0]
            repeated, key = key, f"{key} (line {number})"
            self._repeated[key] = (
                f"The sample {shown(repeated)!r} is on line {first} already. Remove one line, or give each an own "
                f'"key" if both are meant.'
            )
        self._lines[key] = number, start


def _bounded_lines(file: BinaryIO) -> Iterator[tuple[bytes, int]]:
    """Each line and its size in the file; of a line that is too long only the beginning."""
    while line := file.readline(_LONGEST_LINE + 1):
        size = len(line)
        rest = line
        while len(rest) > _LONGEST_LINE and not rest.endswith(b"\n"):
            rest = file.readline(_LONGEST_LINE + 1)
            size += len(rest)
        yield line, size


def _text(line: bytes) -> str:
    if len(line) > _LONGEST_LINE:
        raise LumosXError(f"It has more than {_LONGEST_LINE:,} bytes. Write one JSON object a line.")
    try:
        return line.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise LumosXError(f"It is not UTF-8 ({error}). Save the manifest again as UTF-8.") from error
