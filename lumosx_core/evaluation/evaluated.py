"""What came of measuring a folder of videos, case by case."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from .measured_video import Protocol
from .networks import NetworkNote
from .report.worst_frames import WorstFrame
from .results import CaseScores


@dataclass(frozen=True)
class CaseOutcome:
    """One case: its scores, or why there are none.

    Args:
        name: of the case folder.
        video: the file name of its generated video; None if there is none.
        scores: None if it could not be measured.
        problem: why not; empty otherwise.
        warnings: what of the case was left out or may not be meant.
        worst: its worst frame, of the worst cases only.
    """

    name: str
    video: str | None
    scores: CaseScores | None = None
    problem: str = ""
    warnings: tuple[str, ...] = ()
    worst: WorstFrame | None = None


@dataclass(frozen=True)
class Evaluation:
    """A folder of videos.

    Args:
        protocol: by which rules.
        metrics: those that were asked for.
        outcomes: of each case, in the order of names.
        extra: names of files that belong to no case.
        networks: part -> what is known of the network that was used.
        missing: part -> what to install.
    """

    protocol: Protocol
    metrics: tuple[str, ...]
    outcomes: tuple[CaseOutcome, ...]
    extra: tuple[str, ...] = ()
    networks: Mapping[str, NetworkNote] = field(default_factory=dict)
    missing: Mapping[str, str] = field(default_factory=dict)

    @property
    def scores(self) -> list[CaseScores]:
        """Of the cases that could be measured."""
        return [outcome.scores for outcome in self.outcomes if outcome.scores is not None]

    @property
    def problems(self) -> list[CaseOutcome]:
        """The cases that could not."""
        return [outcome for outcome in self.outcomes if outcome.scores is None]
