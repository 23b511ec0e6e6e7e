"""Samples listed in a JSONL file, one record a line (see records.py); paths are relative to the file."""

from __future__ import annotations

import os
from pathlib import Path

from lumosx_core.errors import LumosXError

from ..fingerprints import files_below, fingerprint_of, texts_in
from ..samples import BadSample, RawSample, SampleSettings
from .records import parse_record, read_record, record_key


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
            with self.path.open("rb") as file:
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
        named = (self.path.parent / name for name in texts_in(record))
        files = [path for path in named if os.path.isfile(path)]  # a caption names none
        return fingerprint_of(
            files + (files_below(self.path.parent / record["case"]) if "case" in record else []), line
        )

    def load(self, key: str) -> RawSample:
        place = f"{self.path}, line {self._lines[key][0]}"
        if key in self._repeated:
            raise BadSample(place, self._repeated[key])
        try:
            record = parse_record(_text(self._line(key)))
        except LumosXError as error:
            raise BadSample(place, str(error)) from error
        return read_record(record, lambda name: self.path.parent / name, self.settings, key=key, place=place)

    def _line(self, key: str) -> bytes:
        with self.path.open("rb") as file:
            file.seek(self._lines[key][1])
            return file.readline()

    def _index(self, file) -> None:
        start = 0
        for number, line in enumerate(file, 1):
            if line.strip():
                self._add(number, start, line)
            start += len(line)

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
                f"The sample {repeated!r} is on line {first} already. Remove one line, or give each an own "
                f'"key" if both are meant.'
            )
        self._lines[key] = number, start


def _text(line: bytes) -> str:
    try:
        return line.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise LumosXError(f"It is not UTF-8 ({error}). Save the manifest again as UTF-8.") from error
