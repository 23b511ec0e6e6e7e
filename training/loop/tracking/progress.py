"""Progress in the terminal: now and then a line with the step, the loss and the remaining time."""

from __future__ import annotations

import time
from collections.abc import Callable

SECONDS = 10.0  # between two lines


class Progress:
    """Reports how far a run is.

    Args:
        done, steps: where it begins and ends.
        say: takes each line.
    """

    def __init__(self, done: int, steps: int, say: Callable[[str], None]):
        self.steps, self.say = steps, say
        self._begun = self._said = time.monotonic()
        self._first = self._last = done
        self._losses: list[float] = []

    def step(self, done: int, loss: float, rate: float, bad: int) -> None:
        """Record a finished step."""
        self._losses.append(loss)
        now = time.monotonic()
        if now - self._said < SECONDS and done not in (self._first + 1, self.steps):
            return
        pace = (now - self._said) / (done - self._last)
        mean = sum(self._losses) / len(self._losses)
        damaged = f", {bad} damaged items skipped" if bad else ""
        self.say(
            f"step {done}/{self.steps}  loss {mean:.4f}  lr {rate:.2e}  {pace:.3g} s a step, "
            f"{_duration(pace * (self.steps - done))} left{damaged}"
        )
        self._said, self._last, self._losses = now, done, []


def _duration(seconds: float) -> str:
    minutes = round(seconds / 60)
    return f"{minutes // 60} h {minutes % 60} min" if minutes >= 60 else f"{minutes} min"
