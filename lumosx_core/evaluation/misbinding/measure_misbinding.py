"""The misbinding matrices of a video: 8 even frames, compared with the ground truth or with the references alone."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import numpy as np
import torch
from torch import Tensor

from ...auto_scene.cutouts.regions import Box
from ...errors import LumosXError, MissingPackageError, OutOfMemory
from ..measured_video import MeasuredVideo, Networks, Video
from ..results import DimensionScores, FrameMatrix
from .calibration import Calibration
from .dimensions import AttributeDimension, Dimension, FaceDimension, PersonDimension
from .person_slots import SeenPerson, SlotsByClothing, SlotsByFaces, SlotsByPosition, people_in
from .slot_labels import as_rows, label_slots, majority
from .things import ThingReader

DIMENSIONS = ("face", "person", "attributes")
FRAMES = 8

Matcher = SlotsByFaces | SlotsByClothing | SlotsByPosition


def measure_misbinding(
    video: MeasuredVideo,
    networks: Networks,
    calibrations: Mapping[str, Calibration] | None = None,
    dimensions: Collection[str] = DIMENSIONS,
) -> tuple[tuple[DimensionScores, ...], dict[str, str]]:
    """The matrices of faces, whole people and attributes.

    People and attributes are known by the faces of their subjects. Faces cannot be: for them a person is whose clothes
    they wear, or, where a subject has no attributes, who stands where the subject does in the ground truth.

    Args:
        networks: `faces` and `arc` are needed; `things` with `dino` or `clip` for attributes, and for slots by
            clothing; `phrases` finds figures, without it they are guessed from faces.
        calibrations: by dimension; else t is .10, and a case without ground truth cannot be measured.
        dimensions: which of DIMENSIONS.

    Returns: the dimensions that could be measured, and for other dimensions and for left out subjects why not.

    Raises:
        LumosXError: fewer than two subjects, no face image, or a network is missing.
        MissingPackageError: scipy is not installed.
    """
    scene = video.case.scene
    if len(scene.subjects) < 2:
        raise LumosXError(f"The scene has {len(scene.subjects)} people; who is mixed up with whom takes two or more.")
    if missing := networks.missing("faces", "arc"):
        raise LumosXError(f"No network for {' and '.join(missing)}. Misbinding needs a face detector and ArcFace.")
    readings = _Readings(video, networks)
    scores: list[DimensionScores] = []
    skipped: dict[str, str] = {}
    for name in (each for each in DIMENSIONS if each in dimensions):
        calibration = (calibrations or {}).get(name, Calibration())
        try:
            scores.append(readings.scores(name, calibration, skipped))
        except (MissingPackageError, OutOfMemory):
            raise
        except LumosXError as error:
            skipped[name] = str(error)
    return tuple(scores), skipped


class _Readings:
    """One video and its ground truth, whose people are found once for all dimensions."""

    def __init__(self, video: MeasuredVideo, networks: Networks):
        assert networks.faces is not None and networks.arc is not None
        self.scene = video.case.scene
        self.faces, self.arc, self.phrases = networks.faces, networks.arc, networks.phrases
        self.embedder = networks.dino or networks.clip
        self.reader = None
        if networks.things is not None and self.embedder is not None:
            self.reader = ThingReader(self.scene, networks.things, self.embedder)
        self.by_faces = SlotsByFaces(self.scene, self.faces, self.arc)
        self.generated = self._people(video.generated)
        self.truth = None if video.truth is None else self._people(video.truth)

    def _people(self, video: Video) -> list[tuple[int, Tensor, list[SeenPerson]]]:
        """Index, frame and people of each frame that is looked at."""
        return [
            (index, video.frames[index], people_in(video.frames[index], self.scene, self.faces, self.phrases))
            for index in video.even_frames(FRAMES)
        ]

    def scores(self, name: str, calibration: Calibration, skipped: dict[str, str]) -> DimensionScores:
        """One dimension; subjects whom nobody can be matched to are left out of it, which `skipped` then says."""
        dimension = self._dimension(name)
        matchers = self._matchers(name)
        known = set(matchers[0].known)
        kept = [row for row, slot in enumerate(dimension.slots) if slot.subject in known]
        for slot in dimension.slots:
            if slot.subject not in known:
                skipped[f"{name} of {slot.phrase}"] = "Nothing shows who is this subject: it has no face image."
        if len({dimension.slots[row].subject for row in kept}) < 2:
            raise LumosXError(f"Fewer than two people can be compared in the dimension {name!r}.")
        slots = tuple(dimension.slots[row] for row in kept)
        truth = self._truth(dimension, calibration, kept)
        frames = []
        for (index, frame, people), matcher in zip(self.generated, matchers, strict=True):
            rows, boxes = dimension.read(frame, matcher(frame, people))
            gen = rows[kept][:, kept].double().numpy()
            labels = label_slots(as_rows(gen), as_rows(truth), calibration.threshold, [slot.subject for slot in slots])
            found = tuple(boxes[row] for row in kept)
            frames.append(FrameMatrix(index, found, as_rows(gen), as_rows(gen - truth), labels))
        labels = majority([frame.labels for frame in frames])
        return DimensionScores(name, slots, as_rows(truth), calibration.threshold, tuple(frames), labels)

    def _dimension(self, name: str) -> Dimension:
        if name == "face":
            return FaceDimension(self.scene, self.faces, self.arc)
        if self.embedder is None:
            raise LumosXError("No network that compares images. Choose DINOv2 or CLIP.")
        if name == "person":
            return PersonDimension(self.scene, self.embedder)
        if self.reader is None or not self.reader.owners:
            what = "No network that finds attributes" if self.reader is None else "No subject has an attribute"
            raise LumosXError(f"{what}, so there are none to compare.")
        return AttributeDimension(self.scene, self.reader)

    def _truth(self, dimension: Dimension, calibration: Calibration, kept: list[int]) -> np.ndarray:
        """S_gt: the mean over frames of the ground truth. What is never seen there, or all without a ground truth, is
        compared reference with reference, and with itself as well as real things are with their references.
        """
        mean = np.full((len(kept), len(kept)), np.nan)
        if self.truth is not None:
            rows = [dimension.read(frame, self.by_faces(frame, people))[0] for _, frame, people in self.truth]
            mean = torch.stack(rows).double().nanmean(dim=0).numpy()[np.ix_(kept, kept)]
        if not np.isnan(mean).any():
            return mean
        if calibration.matched is None:
            lost = [dimension.slots[kept[row]].phrase for row in np.flatnonzero(np.isnan(mean).any(axis=1))]
            raise LumosXError(
                f"The ground truth does not show {', '.join(lost)}, and without it the similarity of real matches must "
                f"be known. Give a video.mp4 that shows everybody, or calibrate."
            )
        alone = dimension.references.double().numpy()[np.ix_(kept, kept)]
        np.fill_diagonal(alone, calibration.matched)
        return np.where(np.isnan(mean), alone, mean)

    def _matchers(self, name: str) -> list[Matcher]:
        """For each frame how people are matched to subjects."""
        number = len(self.generated)
        if name != "face":
            return [self.by_faces] * number
        if self.reader is not None and all(subject.attributes for subject in self.scene.subjects):
            return [SlotsByClothing(self.scene, self.reader)] * number
        if self.truth is None:
            raise LumosXError(
                "Not every subject has attributes that can be found, and there is no ground truth that shows who is "
                "where, so that faces have no slots. See identity."
            )
        expected = []
        for _, frame, people in self.truth:
            height, width = frame.shape[:2]
            slots = self.by_faces(frame, people)
            expected.append([None if each is None else each.box.scaled(1 / width, 1 / height) for each in slots])
        # The ground truth may have another length: the frame at the same fraction of it counts.
        nearest = [round(i * (len(expected) - 1) / max(1, number - 1)) for i in range(number)]
        return [SlotsByPosition(_filled(expected, at)) for at in nearest]


def _filled(expected: list[list[Box | None]], at: int) -> list[Box | None]:
    """Where each subject is in one frame of the ground truth, or in the nearest frame that shows it."""
    order = sorted(range(len(expected)), key=lambda frame: abs(frame - at))
    return [
        next((expected[frame][subject] for frame in order if expected[frame][subject] is not None), None)
        for subject in range(len(expected[at]))
    ]
