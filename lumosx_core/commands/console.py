"""Standard output and error on every console: what its encoding lacks is escaped, and a reader may leave early.

A program that has done its work must not fail because a console of Windows cannot show a name, or because
`| head -1` has read enough.
"""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, TextIO

_READER_LEFT = {errno.EPIPE, errno.ESHUTDOWN, errno.ECONNRESET, *([errno.EINVAL] if os.name == "nt" else [])}


class ConsoleStream:
    """A text stream on which writing never fails.

    Args:
        stream: the stream that it stands for.
    """

    def __init__(self, stream: TextIO):
        self._stream = stream
        self.failure: OSError | None = None
        """Why the last text was not written; a reader that left is no failure."""

    def write(self, text: str) -> int:
        try:
            return self._stream.write(text)
        except OSError as error:
            self._give_up(error)
        except UnicodeEncodeError:  # the stream cannot be reconfigured
            encoding = getattr(self._stream, "encoding", None) or "ascii"
            return self.write(text.encode(encoding, "backslashreplace").decode(encoding))
        return len(text)

    def flush(self) -> None:
        try:
            self._stream.flush()
        except OSError as error:
            self._give_up(error)
        except ValueError:  # a closed file
            return

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def _give_up(self, error: OSError) -> None:
        if error.errno not in _READER_LEFT:
            self.failure = error
        # What is still in the buffer has to go somewhere, or Python complains when it ends.
        with suppress(OSError, ValueError, AttributeError):
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self._stream.fileno())
            os.close(nowhere)


@contextmanager
def console(*, own_process: bool) -> Iterator[ConsoleStream]:
    """Make standard output and error robust for the block; gives standard output.

    Args:
        own_process: the process belongs to this command, so that its closed streams may be opened.
    """
    if own_process:
        _open_closed_streams()
    before = sys.stdout, sys.stderr
    streams = []
    for stream in before:
        stream = open(os.devnull, "w", encoding="utf-8") if stream is None else stream  # noqa: SIM115 - until the end
        escape_unprintable(stream)
        streams.append(ConsoleStream(stream))
    sys.stdout, sys.stderr = streams
    try:
        yield streams[0]
    finally:
        for wrapped in streams:
            wrapped.flush()
        sys.stdout, sys.stderr = before


def escape_unprintable(stream: TextIO) -> None:
    r"""Let a stream write "\u5f20" for a letter that its encoding lacks, and "\udcff" for a byte that is no letter."""
    strict = getattr(stream, "errors", None)
    unicode = (getattr(stream, "encoding", None) or "").lower().replace("-", "") == "utf8"
    # With surrogateescape, which is usual for UTF-8 in the C locale, bytes of file names come out as they were.
    if strict == "strict" or (strict == "surrogateescape" and not unicode):
        with suppress(OSError, ValueError, AttributeError):
            stream.reconfigure(errors="backslashreplace")  # type: ignore[attr-defined]


def _open_closed_streams() -> None:
    """Open what a shell closed (`>&-`): the next file that is opened would take its number, and get what is printed."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            with suppress(OSError):
                os.open(os.devnull, os.O_RDWR)  # takes the lowest free number
