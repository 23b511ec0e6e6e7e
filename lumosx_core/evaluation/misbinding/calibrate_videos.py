"""Calibration from real videos: cases whose video is the one that their reference images were taken from."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import replace

from ...errors import LumosXError
from ..measured_video import MeasuredVideo, Networks
from ..results import Row
from .calibration import Calibration, calibrate, has_pairs
from .measure_misbinding import DIMENSIONS, measure_misbinding


def calibrate_videos(
    videos: Iterable[MeasuredVideo],
    networks: Networks,
    dimensions: Collection[str] = DIMENSIONS,
    step: Callable[[int], None] = lambda number: None,
) -> dict[str, Calibration]:
    """t and the matched similarity of each dimension, for these networks.

    Args:
        videos: with a ground truth, which alone is looked at; those without one, or with fewer than two people, say
            nothing.
        step: called with how many videos are done; it may raise, to stop.

    Returns: the dimensions that can be calibrated; t of a dimension is from all videos that have it.

    Raises:
        LumosXError: no video has a ground truth and two people whose faces are found.
        MissingPackageError: scipy is not installed.
    """
    frames: dict[str, list[list[Sequence[Row]]]] = {}
    number = -1
    for number, video in enumerate(videos):
        step(number)
        if video.truth is None or len(video.case.scene.subjects) < 2:
            continue
        real = replace(video, generated=video.truth)
        for scores in measure_misbinding(real, networks, dimensions=dimensions)[0]:
            frames.setdefault(scores.dimension, []).append([frame.similarity for frame in scores.frames])
    calibrated = {name: calibrate(cases) for name, cases in frames.items() if has_pairs(cases)}
    if not calibrated:
        raise LumosXError(
            f"None of the {number + 1} cases has a ground truth that shows two people with faces, so nothing can be "
            f"calibrated. Give cases with a video.mp4 of two people or more."
        )
    return calibrated
