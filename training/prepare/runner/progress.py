"""The progress of a stage as one line: how far, how fast, how long still, and what became of the items."""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Callable
from typing import TextIO

from .worker import FAILED, REJECTED, Status

EVERY_TERMINAL, EVERY_LOG = 0.5, 30.0  # seconds between two lines
_MOST_REASONS = 4


class Progress:
    """Counts the statuses of one stage and shows them: on a terminal as a line that changes, else one now and then.

    Args:
        stage: its name.
        total: items that this run works on.
        before: items that earlier runs have dealt with.
        clock: seconds.
    """

    def __init__(
        self,
        stage: str,
        total: int,
        before: int = 0,
        *,
        stream: TextIO | None = None,
        clock: Callable[[], float] = time.monotonic,
    ):
        self._stage, self._total, self._before = stage, total, before
        self._stream = stream or sys.stderr
        self._terminal = self._stream.isatty()
        self._clock = clock
        self._began = self._shown = clock()
        self._states: Counter[str] = Counter()
        self._reasons: Counter[str] = Counter()
        self._width = 0

    def add(self, status: Status) -> None:
        """Count one item, and show the line if it is time to."""
        self._states[status.state] += 1
        if status.state == REJECTED:
            self._reasons[status.reason] += 1
        if self._clock() - self._shown >= (EVERY_TERMINAL if self._terminal else EVERY_LOG):
            self._show()

    def close(self) -> None:
        """Show the last line."""
        self._show()
        if self._terminal:
            print(file=self._stream, flush=True)

    def line(self) -> str:
        """Such as "cut  120 of 500, 3.1/s, 0:02:03 left; kept 100, rejected 18 (subtitles 12, borders 6), failed 2"."""
        done = self._states.total()
        seconds = self._clock() - self._began
        parts = [f"{self._stage}  {done} of {self._total}"]
        if done and seconds > 0:
            rate = done / seconds
            parts.append(f"{rate:.3g}/s")
            if done < self._total:
                parts.append(f"{_duration((self._total - done) / rate)} left")
        counts = [f"kept {done - self._states[REJECTED] - self._states[FAILED]}", f"rejected {self._states[REJECTED]}"]
        if self._reasons:
            shown = [f"{reason} {count}" for reason, count in self._reasons.most_common(_MOST_REASONS)]
            counts[-1] += f" ({', '.join(shown)}{', ...' if len(self._reasons) > _MOST_REASONS else ''})"
        counts.append(f"failed {self._states[FAILED]}")
        if self._before:
            counts.append(f"{self._before} done before")
        return f"{', '.join(parts)}; {', '.join(counts)}"

    def _show(self) -> None:
        self._shown = self._clock()
        line = self.line()
        if self._terminal:
            print(f"\r{line.ljust(self._width)}", end="", file=self._stream, flush=True)
            self._width = len(line)
        else:
            print(line, file=self._stream, flush=True)


def _duration(seconds: float) -> str:
    whole = round(seconds)
    return f"{whole // 3600}:{whole // 60 % 60:02}:{whole % 60:02}"
