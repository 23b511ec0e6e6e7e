"""All metrics of one generated video, as far as its scene and the networks allow."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from typing import Any

from ..errors import LumosXError, MissingPackageError, OutOfMemory, shown
from .measured_video import MeasuredVideo, Networks, Protocol
from .metrics.consistency import consistency
from .metrics.dynamic_degree import dynamic_degree
from .metrics.face_similarity import face_similarity
from .metrics.identity import identity
from .metrics.ingredients_metrics import ingredients_metrics
from .metrics.subject_metrics import subject_metrics
from .misbinding.calibration import Calibration
from .misbinding.measure_misbinding import measure_misbinding
from .results import CaseScores

NEEDED: dict[str, tuple[str, ...]] = {
    "identity": ("faces", "arc"),
    "subjects": ("phrases", "things"),
    "consistency": ("video",),
    "dynamic": ("flow",),
    "face_similarity": ("faces", "arc"),
    "ingredients": ("faces", "arc"),
    "misbinding": ("faces", "arc"),
}
"""The networks without which a metric cannot be measured at all."""
METRICS = tuple(NEEDED)
"""Fields of `CaseScores`, in the order of a report."""

Step = Callable[[str], None]
"""Called with the name of a metric before it is measured; it may raise, to stop."""


def unmeasurable(networks: Networks, metrics: Collection[str]) -> dict[str, list[str]]:
    """Each metric that no video can have, and the parts of `Networks` that it lacks."""
    lacking = {metric: networks.missing(*NEEDED[metric]) for metric in METRICS if metric in metrics}
    return {metric: parts for metric, parts in lacking.items() if parts}


def measure(
    video: MeasuredVideo,
    networks: Networks,
    *,
    protocol: Protocol = Protocol.CLEAN,
    metrics: Collection[str] = METRICS,
    calibrations: Mapping[str, Calibration] | None = None,
    step: Step = lambda metric: None,
) -> CaseScores:
    """Measure one video.

    A metric that this video does not allow (no face image, no ground truth, too short), or whose networks are missing,
    has no score, and `CaseScores.skipped` says why.

    Args:
        metrics: which of METRICS.
        calibrations: of the misbinding matrix, by dimension ("face", "person", "attributes").

    Raises:
        LumosXError: there is no such metric.
        MissingPackageError: scipy is not installed.
        OutOfMemory: from a network.
    """
    if unknown := [each for each in metrics if each not in METRICS]:
        raise LumosXError(f"There is no metric {shown(unknown[0])!r}. Use some of {', '.join(METRICS)}.")
    scores = CaseScores(video.name, video.file, len(video.case.scene.subjects))
    for metric in (each for each in METRICS if each in metrics):
        step(metric)
        if missing := networks.missing(*NEEDED[metric]):
            scores.skipped[metric] = f"No network for {' and '.join(missing)}."
            continue
        try:
            scores = replace(scores, **_measured(metric, video, networks, protocol, calibrations, scores.skipped))
        except (MissingPackageError, OutOfMemory):
            raise
        except LumosXError as error:
            scores.skipped[metric] = str(error)
    return scores


def _measured(
    metric: str,
    video: MeasuredVideo,
    networks: Networks,
    protocol: Protocol,
    calibrations: Mapping[str, Calibration] | None,
    skipped: dict[str, str],
) -> dict[str, Any]:
    """The field of one metric, all of whose NEEDED networks are there."""
    scene, prompt, generated = video.case.scene, video.case.prompt, video.generated
    n = networks
    if metric == "identity" and n.faces and n.arc:
        return {metric: identity(generated, scene, n.faces, n.arc, n.cur, protocol)}
    if metric == "subjects" and n.phrases and n.things:
        subjects = subject_metrics(
            generated,
            scene,
            phrases=n.phrases,
            things=n.things,
            faces=n.faces,
            arc=n.arc,
            cur=n.cur,
            clip=n.clip,
            dino=n.dino,
            protocol=protocol,
        )
        return {metric: subjects}
    if metric == "consistency" and n.video:
        try:
            if video.truth is None:
                raise LumosXError("The case has no video.mp4.")
            return {metric: consistency(generated, prompt, n.video, video.truth, protocol)}
        except OutOfMemory:
            raise
        except LumosXError as error:  # a ground truth that is missing or too short costs no other score
            alone = consistency(generated, prompt, n.video)
            skipped["consistency with the ground truth"] = str(error)
            return {metric: alone}
    if metric == "dynamic" and n.flow:
        return {metric: dynamic_degree(generated, n.flow, protocol)}
    if metric == "face_similarity" and n.faces and n.arc:
        return {metric: face_similarity(generated, scene, n.faces, n.arc, n.cur, n.dino)}
    if metric == "ingredients" and n.faces and n.arc:
        scores = ingredients_metrics(
            generated, scene, prompt, n.faces, n.arc, clip=n.clip, inception=n.inception, protocol=protocol
        )
        return {metric: scores}
    dimensions, left_out = measure_misbinding(video, networks, calibrations)
    skipped |= {f"misbinding, {name}": reason for name, reason in left_out.items()}
    return {metric: dimensions}
