"""What filters and the stage that runs them agree on."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from ..video_frames import Timeline


@dataclass(frozen=True)
class Verdict:
    """What a filter says of a clip.

    Args:
        facts: the measured scores, as JSON values; also of a clip that is kept.
        reason: why it is rejected, with the value and the bound; empty for one that is kept.
    """

    facts: Mapping[str, Any] = field(default_factory=dict)
    reason: str = ""


class Measurement(Protocol):
    """One clip being measured."""

    @property
    def wanted(self) -> Collection[int]:
        """Indices of the frames that it has to see."""

    def add(self, number: int, frame: np.ndarray) -> None:
        """A wanted frame, (H, W, 3) uint8 RGB; they come in order."""

    def verdict(self) -> Verdict:
        """After all wanted frames."""


class ClipFilter(Protocol):
    """A filter that is ready to work."""

    @property
    def name(self) -> str:
        """By which its rejections are known."""

    @property
    def costly(self) -> bool:
        """It needs a network, so it is not asked about clips that others have rejected."""

    def start(self, timeline: Timeline) -> Measurement:
        """Begin with a clip."""


def even_frames(timeline: Timeline, number: int) -> list[int]:
    """Indices of so many frames in the middles of equal parts of a clip, by time; fewer if it has fewer."""
    wanted = [timeline.seconds * (part + 0.5) / number for part in range(number)]
    return _nearest(timeline, wanted)


def key_frames(timeline: Timeline) -> list[int]:
    """Indices of the frames at 5, 50 and 95 % (paper); always three, of a short clip one several times."""
    times = np.asarray(timeline.times)
    return [int(np.abs(times - fraction * timeline.times[-1]).argmin()) for fraction in (0.05, 0.5, 0.95)]


def _nearest(timeline: Timeline, seconds: list[float]) -> list[int]:
    times = np.asarray(timeline.times)
    return sorted({int(np.abs(times - each).argmin()) for each in seconds})
