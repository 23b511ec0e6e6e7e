"""The threshold of a misbinding matrix: how much similarities differ when nothing is wrong."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ...errors import LumosXError
from ..results import Row

UNCALIBRATED = 0.10
PERCENTILE = 95


@dataclass(frozen=True)
class Calibration:
    """What a dimension's matrix is compared with, for one network.

    Args:
        threshold: t; a D of no more than that is no difference.
        matched: median similarity of a real person, or thing, to its reference image. It takes the place of the ground
            truth's diagonal where there is no ground truth; None: such a case cannot be measured.
        videos: from how many real videos this comes; 0: not calibrated.
    """

    threshold: float = UNCALIBRATED
    matched: float | None = None
    videos: int = 0

    def __post_init__(self):
        if not 0 < self.threshold < 2:
            raise LumosXError(f"The threshold is {self.threshold}, expected more than 0 and below 2. Calibrate again.")
        if self.matched is not None and not -1 <= self.matched <= 1:
            raise LumosXError(f"The matched similarity is {self.matched}, expected a cosine. Calibrate again.")


def calibrate(videos: Sequence[Sequence[Sequence[Row]]]) -> Calibration:
    """The threshold and the matched similarity from real videos.

    Between two frames of a real video nobody changes clothes, so what their similarities differ by is noise: t is the
    95th percentile of |D| over all pairs of frames of a video.

    Args:
        videos: for each, S of some frames, slots x references (as `FrameMatrix.similarity`): two frames or more.

    Raises:
        LumosXError: no video shows a slot in two frames.
    """
    changes = _changes(videos)
    if not changes:
        raise LumosXError(
            f"None of the {len(videos)} videos shows anybody in two frames, so there is no threshold. Give videos of "
            f"people whose faces the detector finds."
        )
    own = (row[i] for frames in videos for rows in frames for i, row in enumerate(rows))
    matched = float(np.median([value for value in own if value is not None]))
    # Still images repeated as a video do not differ at all; a threshold of 0 would call rounding a difference.
    return Calibration(max(float(np.percentile(changes, PERCENTILE)), 1e-6), matched, len(videos))


def has_pairs(videos: Sequence[Sequence[Sequence[Row]]]) -> bool:
    """Whether some slot is seen in two frames of a video, so that `calibrate` is possible."""
    return bool(_changes(videos))


def _changes(videos: Sequence[Sequence[Sequence[Row]]]) -> list[float]:
    """|D| of each entry between any two frames of a video."""
    return [
        abs(a - b)
        for frames in videos
        for before, after in itertools.combinations(frames, 2)
        for one, other in zip(before, after, strict=True)
        for a, b in zip(one, other, strict=True)
        if a is not None and b is not None
    ]
