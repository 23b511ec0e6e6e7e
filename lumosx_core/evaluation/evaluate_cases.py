"""Every case of a folder is measured; what goes wrong with one is noted, and the others go on."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from ..errors import LumosXError, MissingPackageError, OutOfMemory
from .evaluated import CaseOutcome, Evaluation
from .measure import METRICS, NEEDED, measure, unmeasurable
from .measured_video import MeasuredVideo, Networks, Protocol
from .misbinding.calibrate_videos import calibrate_videos
from .misbinding.calibration import Calibration
from .report.worst_frames import WorstFrame, badness, draw_worst
from .result_files import Pair, read_pair

WORST = 8  # cases that are shown as images


def evaluate_cases(
    pairs: Sequence[Pair],
    extra: Sequence[Path],
    networks: Networks,
    missing: Mapping[str, str],
    *,
    protocol: Protocol = Protocol.CLEAN,
    metrics: Sequence[str] = METRICS,
    calibrations: Mapping[str, Calibration] | None = None,
    calibrate: bool = False,
    step: Callable[[int, str], None] = lambda done, name: None,
) -> Evaluation:
    """Measure generated videos against their cases.

    One video at a time is in memory, and of the worst ones a drawing.

    Args:
        pairs, extra: from `pair_up`.
        networks, missing: from `open_networks`.
        calibrate: take the calibrations of the misbinding matrix from the ground truths of these cases, which are read
            first.
        step: called with how many cases are done, and the name of the next one; it may raise, to stop.

    Raises:
        LumosXError: no metric can be measured with these networks, or no ground truth can be used to calibrate.
        MissingPackageError: no video can be read, as a package is missing.
        OutOfMemory: there is not enough memory for a video.
    """
    if len(lacking_of := unmeasurable(networks, metrics)) == len(set(metrics)):
        parts = dict.fromkeys(part for lacking in lacking_of.values() for part in lacking)
        raise LumosXError(
            f"None of the metrics can be measured: networks are missing ({', '.join(parts)}). Install those that are "
            f"named above, or give their folder with --models."
        )
    if calibrate:
        if "misbinding" not in metrics:
            raise LumosXError(
                "--calibrate sets the threshold of misbinding, which is not among the metrics. Add misbinding to "
                "--metrics, or leave --calibrate out."
            )
        if lacking := networks.missing(*NEEDED["misbinding"]):
            raise LumosXError(
                f"--calibrate compares faces, for which no network is installed ({', '.join(lacking)}). Install it, or "
                f"leave --calibrate out."
            )
        calibrations = calibrate_videos(_readable(pairs), networks)
    outcomes: list[CaseOutcome] = []
    worst: list[tuple[tuple, int, WorstFrame]] = []  # a heap of the worst, the least bad first
    for number, pair in enumerate(pairs):
        step(number, pair.name)
        warnings: list[str] = []
        video = None if pair.video is None else pair.video.name
        try:
            measured = read_pair(pair, say=warnings.append)
            scores = measure(measured, networks, protocol=protocol, metrics=metrics, calibrations=calibrations)
        except (MissingPackageError, OutOfMemory):
            raise
        except LumosXError as error:
            outcomes.append(CaseOutcome(pair.name, video, None, str(error), tuple(warnings)))
            continue
        if scores.empty:
            why = "; ".join(f"{metric} ({reason})" for metric, reason in scores.skipped.items())
            outcomes.append(CaseOutcome(pair.name, video, None, f"No metric has a score: {why}", tuple(warnings)))
            continue
        outcomes.append(CaseOutcome(pair.name, video, scores, "", tuple(warnings)))
        rank = badness(scores)
        if len(worst) < WORST or rank > worst[0][0]:
            heapq.heappush(worst, (rank, number, draw_worst(measured, scores)))
            if len(worst) > WORST:
                heapq.heappop(worst)
    for _, number, frame in worst:
        outcomes[number] = replace(outcomes[number], worst=frame)
    notes = dict(networks.notes())
    return Evaluation(
        protocol, tuple(metrics), tuple(outcomes), tuple(path.name for path in extra), notes, dict(missing)
    )


def _readable(pairs: Sequence[Pair]) -> Iterator[MeasuredVideo]:
    """The cases that can be read, one by one; what is wrong with the others is noted where they are measured."""
    for pair in pairs:
        try:
            video = read_pair(pair, say=lambda text: None)
        except (MissingPackageError, OutOfMemory):
            raise
        except LumosXError:
            continue
        yield video
