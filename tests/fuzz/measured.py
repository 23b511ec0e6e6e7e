"""One input given to one reader, in a process that is only for that: what became of it, its time and its memory.

Reading well or refusing with a LumosXError is right. Any other exception is a fault, and so are an input over the
limits of time or memory, a message that is empty, and one that a terminal would obey.
"""

from __future__ import annotations

import faulthandler
import gc
import pickle
import re
import resource
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lumosx_core.errors import LumosXError, MissingPackageError, ran_out_of_memory

MOST_BYTES = 2**30
HANG = 20
"""Seconds after which the process ends itself with its stack: compiled code cannot be interrupted otherwise."""
_STATUS = Path("/proc/self/status")
_REFS = Path("/proc/self/clear_refs")
_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\ud800-\udfff]")


class Refused(Exception):
    """For readers that end by themselves, such as commands: the input was refused with this message."""


class Fault(AssertionError):
    """What a reader must not do, other than raise something unforeseen."""


@dataclass
class Figures:
    """What the inputs of one reader came to."""

    inputs: int = 0
    read: int = 0
    refused: int = 0
    slowest: float = 0.0
    largest: int = 0
    seconds: float = 0.0
    faults: dict[str, str] = field(default_factory=dict)


def limit_memory() -> None:
    """Let this process have 6 GiB of addresses more than now: a bomb fails here, not the machine."""
    sizes = Path("/proc/self/statm")
    if sizes.exists():
        most = int(sizes.read_text().split()[0]) * resource.getpagesize() + 6 * 2**30
        resource.setrlimit(resource.RLIMIT_AS, (most, most))


class Measured:
    """Gives inputs to a reader.

    Args:
        read: reads an input; its second argument is an empty folder.
        scratch: where the folders are made, and the last input is kept.
        seconds: that an input may take.
    """

    def __init__(self, read: Callable[[Any, Path], object], scratch: Path, seconds: float):
        self.read, self.scratch, self.limit = read, scratch, seconds
        self.figures = Figures()

    def __call__(self, value: Any) -> None:
        """Raises what the reader must not, or Fault."""
        (self.scratch / "last_input.pickle").write_bytes(pickle.dumps(value))
        started = time.monotonic()
        seconds, grown, error = self._once(value)
        if (
            seconds > self.limit
        ):  # another program had the machine, or packages were imported: slow is what is slow twice
            again = self._once(value)
            seconds, error = min(seconds, again[0]), again[2]
        figures = self.figures
        figures.inputs += 1
        if figures.inputs % 50 == 0:
            gc.collect()  # mapped files in cycles of references fill the limit of addresses
        figures.seconds += time.monotonic() - started
        figures.slowest, figures.largest = max(figures.slowest, seconds), max(figures.largest, grown)
        if isinstance(error, LumosXError | Refused):
            _check_message(error)
            figures.refused += 1
        elif error is not None:
            raise error
        else:
            figures.read += 1
        if grown > MOST_BYTES:
            raise Fault(f"took {grown / 2**20:.0f} MiB")
        if seconds > self.limit:
            raise Fault(f"took {seconds:.1f} s")

    def _once(self, value: Any) -> tuple[float, int, Exception | None]:
        """Seconds, bytes of memory that it took at its peak, and how it ended."""
        folder = self.scratch / f"input-{self.figures.inputs}"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        before = _reset_peak()
        faulthandler.dump_traceback_later(HANG, exit=True)
        started = time.perf_counter()
        error: Exception | None = None
        try:
            self.read(value, folder)
        except Exception as raised:
            error = raised
        finally:
            seconds = time.perf_counter() - started
            faulthandler.cancel_dump_traceback_later()
            grown = _peak() - before
            shutil.rmtree(folder, ignore_errors=True)
        if error is not None and not isinstance(error, Refused) and ran_out_of_memory(error):
            raise Fault("asked for more memory than there is") from error
        return seconds, max(0, grown), error


def _check_message(error: Exception) -> None:
    text = str(error)
    if isinstance(error, MissingPackageError):
        raise Fault("a package is missing, so nothing was read") from error
    if len(text.strip()) < 15 or len(text) > 20_000 or _CONTROL.search(text):
        raise Fault(
            f"refused with a message that says nothing, says too much or has control characters: {text[:300]!r}"
        )


def _reset_peak() -> int:
    """Forget the largest memory so far; returns what is used now."""
    try:
        _REFS.write_text("5")
        return _number("VmRSS")
    except OSError:
        return 0


def _peak() -> int:
    try:
        return _number("VmHWM")
    except OSError:
        return 0


def _number(name: str) -> int:
    match = re.search(rf"^{name}:\s*(\d+) kB", _STATUS.read_text(), re.MULTILINE)
    return int(match[1]) * 1024 if match else 0
