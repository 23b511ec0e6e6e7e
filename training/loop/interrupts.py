"""Ctrl-C and SIGTERM end a run after the current step, with a checkpoint; a second Ctrl-C ends it at once."""

from __future__ import annotations

import signal
import threading
from typing import Any

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interrupts:
    """Records the signals that arrive while its block runs.

    Attributes:
        heard: the first signal that arrived, or None.
    """

    def __init__(self):
        self.heard: signal.Signals | None = None
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Interrupts:
        if threading.current_thread() is threading.main_thread():  # Python allows no other thread to
            self._before = {each: signal.signal(each, self._hear) for each in SIGNALS}
        return self

    def __exit__(self, *_) -> None:
        for each, handler in self._before.items():
            signal.signal(each, handler)

    def _hear(self, number: int, _frame) -> None:
        # A launcher sends SIGTERM after the terminal's Ctrl-C: only a second Ctrl-C leaves at once.
        if self.heard is not None and number == signal.SIGINT and self.heard == signal.SIGINT:
            raise KeyboardInterrupt
        if self.heard is None:
            self.heard = signal.Signals(number)
            print(f"\n{self.heard.name}: saving after this step. Ctrl-C twice leaves at once.", flush=True)
