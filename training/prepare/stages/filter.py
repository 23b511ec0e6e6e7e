"""Stage 3: which clips are good enough, by the paper's filters."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..filters.all_filters import FilterNetworks, check_filters, open_filters
from ..filters.clip_filter import ClipFilter, Verdict
from ..models.finders import weights_hash
from ..settings import FilterSettings, settings_hash
from ..stage import Outcome, Task
from ..video_frames import chosen_frames, read_timeline
from .cut import clip_path


@dataclass(frozen=True)
class Filter:
    """Facts are what each filter measured, by its name; a rejection has the name of the first filter that rejects.

    `reasons` has the reasons of all that do, with value and bound; `not_measured` the filters that are switched off or
    were not asked, and why.

    Args:
        networks: in the place of those that the settings name.
    """

    settings: FilterSettings
    networks: FilterNetworks = field(default_factory=FilterNetworks)
    name: str = "filter"
    after: str | None = "cut"
    batch_size: int = 4

    @property
    def gpus(self) -> float:
        return 1 if self.settings.device == "cuda" else 0

    def version(self) -> str:
        paths = (self.settings.motion.weights, self.settings.people.model, self.settings.embedding.folder)
        hashes = [weights_hash(path) if path and Path(path).expanduser().exists() else "" for path in paths]
        return settings_hash(2, self.settings, self.networks.note, hashes)

    def check(self) -> None:
        check_filters(self.settings, self.networks)

    def open(self) -> FilterWorker:
        return FilterWorker(self.settings, self.networks)


class FilterWorker:
    """Measures clips."""

    def __init__(self, settings: FilterSettings, networks: FilterNetworks):
        self._measure_all = settings.measure_all
        self._filters, self._off = open_filters(settings, networks)

    def __call__(self, tasks: Sequence[Task]) -> list[Outcome]:
        return [self.measure(clip_path(task)) for task in tasks]

    def measure(self, clip: Path) -> Outcome:
        """The outcome of one clip.

        Raises:
            LumosXError: the clip cannot be read.
        """
        cheap = [each for each in self._filters if not each.costly]
        costly = [each for each in self._filters if each.costly]
        verdicts = _verdicts(clip, cheap)
        not_measured = dict(self._off)
        if self._measure_all or not any(verdict.reason for verdict in verdicts.values()):
            verdicts |= _verdicts(clip, costly)
        else:
            not_measured |= {each.name: "rejected by another filter" for each in costly}
        facts: dict[str, Any] = {name: dict(verdict.facts) for name, verdict in verdicts.items()}
        reasons = {name: verdict.reason for name, verdict in verdicts.items() if verdict.reason}
        facts |= {"reasons": reasons, "not_measured": not_measured}
        return Outcome(next(iter(reasons), ""), facts)


def _verdicts(clip: Path, filters: Sequence[ClipFilter]) -> dict[str, Verdict]:
    """Of each filter, in one pass over the clip."""
    timeline = read_timeline(clip)
    measurements = {each.name: each.start(timeline) for each in filters}
    wanted = frozenset().union(*(each.wanted for each in measurements.values()))
    for number, frame in chosen_frames(clip, wanted):
        for measurement in measurements.values():
            if number in measurement.wanted:
                measurement.add(number, frame)
    return {name: measurement.verdict() for name, measurement in measurements.items()}
