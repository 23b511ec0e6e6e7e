"""The log of a run: `log.jsonl`, one line of JSON for each step."""

from __future__ import annotations

import json
from pathlib import Path

from lumosx_core.errors import LumosXError
from lumosx_core.files.atomic_file import atomic_file

LOG = "log.jsonl"


class RunLog:
    """Writes the log, continuing after the step that the run resumes from.

    Lines of later steps, which the run will repeat, are removed, as is a line that a kill left unfinished.

    Args:
        done: steps that are finished.
    """

    def __init__(self, output: Path, done: int = 0):
        self.path = output / LOG
        try:
            _cut(self.path, done)
            self._file = self.path.open("a", encoding="utf-8")
        except OSError as error:
            raise LumosXError(f"{self.path} cannot be written: {error.strerror}. Fix that and start again.") from error

    def write(self, step: int, **values: float) -> None:
        """Add one step's numbers: loss, learning rate, norm of the gradient, seconds."""
        try:
            self._file.write(json.dumps({"step": step, **values}) + "\n")
            self._file.flush()
        except OSError as error:
            raise LumosXError(f"{self.path} cannot be written: {error.strerror}. Free some space.") from error

    def close(self) -> None:
        self._file.close()


def read_log(path: Path) -> list[dict]:
    """The lines of a log, without a last one that is unfinished.

    Raises:
        LumosXError: another line is not one of a log.
    """
    if not path.exists():
        return []
    written = path.read_bytes().split(b"\n")
    lines = []
    for number, line in enumerate(written, 1):
        if not line and number == len(written):
            break
        try:
            entry = json.loads(line)
            if not isinstance(entry, dict) or type(entry.get("step")) is not int:
                raise ValueError("it has no step")
        except (ValueError, RecursionError) as error:
            if number >= len(written) - 1:  # a kill or a full disk left it unfinished
                break
            raise LumosXError(
                f"Line {number} of {path} is damaged ({error}). Remove that line, or move the file away, and start "
                f"again."
            ) from error
        lines.append(entry)
    return lines


def _cut(path: Path, done: int) -> None:
    lines = read_log(path)
    content = "".join(json.dumps(line) + "\n" for line in lines if line["step"] <= done)
    if path.exists() and content.encode() != path.read_bytes():
        with atomic_file(path) as file:
            file.write(content.encode())
