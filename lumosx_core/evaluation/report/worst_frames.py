"""The frame of a video that shows best what is wrong with it, with boxes and the reference images."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import NamedTuple

from PIL import Image
from torch import Tensor

from ...auto_scene.annotations import Mark, draw_findings
from ...drawing.contact_sheet import group_colour
from ...media.images import to_pil
from ...scene.scene import Scene
from ..measured_video import MeasuredVideo
from ..results import CaseScores, DimensionScores, FrameMatrix, Label

_THUMBNAIL = 132  # pixels of a reference image's long side
_QUALITY = 82


class Badness(NamedTuple):
    """How bad a video is; larger is worse."""

    severity: int
    confusion: float
    unlike: float


@dataclass(frozen=True)
class Thumbnail:
    """A reference image as a report shows it.

    Args:
        phrase: its words.
        owner: such as "subject 1" or "background".
        colour: of its group.
        jpeg: the file.
    """

    phrase: str
    owner: str
    colour: str
    jpeg: bytes


@dataclass(frozen=True)
class WorstFrame:
    """A frame with what was found in it.

    Args:
        frame: its index.
        jpeg: the file.
        references: of the scene, in the network's order.
    """

    frame: int
    jpeg: bytes
    references: tuple[Thumbnail, ...]


def badness(scores: CaseScores) -> Badness:
    """How severe the labels of a video are, then how confused its slots, then how unlike its faces."""
    labels = [label.label for dimension in scores.misbinding for label in dimension.labels]
    confusion = max((dimension.confusion for dimension in scores.misbinding), default=0.0)
    return Badness(sum(label.severity for label in labels), confusion, -scores.identity.arc if scores.identity else 0.0)


def draw_worst(measured: MeasuredVideo, scores: CaseScores) -> WorstFrame:
    """The worst frame of a video: of the dimension with the most severe labels, else the one with the fewest faces."""
    frame, marks = _worst(measured.case.scene, scores, len(measured.generated))
    image = measured.generated.frames[frame]
    return WorstFrame(frame, jpeg_of(draw_findings(image, marks)), thumbnails(measured.case.scene))


def thumbnails(scene: Scene) -> tuple[Thumbnail, ...]:
    """All reference images of a scene, small."""
    groups = [group for group, images in enumerate(scene.layout.groups) for _ in images]
    return tuple(
        Thumbnail(reference.phrase, name, group_colour(scene, group), jpeg_of(_small(reference.image)))
        for (name, reference), group in zip(scene.labelled(), groups, strict=True)
    )


def jpeg_of(image: Image.Image) -> bytes:
    """The bytes of a JPEG file."""
    file = io.BytesIO()
    image.save(file, "JPEG", quality=_QUALITY)
    return file.getvalue()


def _worst(scene: Scene, scores: CaseScores, frames: int) -> tuple[int, list[Mark]]:
    found = [(dimension, matrix) for dimension in scores.misbinding for matrix in dimension.frames]
    if found:
        dimension, matrix = max(found, key=lambda pair: _severity(pair[1]))
        return matrix.frame, _marks_of(scene, dimension, matrix)
    if identity := scores.identity:
        frame = min(range(len(identity.frames)), key=lambda index: len(identity.frames[index]), default=0)
        matches = identity.frames[frame] if identity.frames else ()
        return frame, [
            Mark(f"{scene.name_of(match.subject + 1)} {match.arc:.2f}", _colour(scene, match.subject), match.box)
            for match in matches
        ]
    if subjects := scores.subjects:
        marks = [
            Mark(scene.name_of(each.subject + 1), _colour(scene, each.subject), each.box)
            for each in subjects.subjects
            if each.box is not None
        ]
        return subjects.frame, marks
    return frames // 2, []


def _severity(matrix: FrameMatrix) -> int:
    return sum(label.label.severity for label in matrix.labels)


def _marks_of(scene: Scene, dimension: DimensionScores, matrix: FrameMatrix) -> list[Mark]:
    marks = []
    for slot, box, label in zip(dimension.slots, matrix.boxes, matrix.labels, strict=True):
        text = slot.phrase or scene.name_of(slot.subject + 1)
        other = "" if label.other is None else dimension.slots[label.other].phrase
        note = "" if label.label is Label.OK else f"{label.label.value} {other}".strip()
        # With neither box nor region, the tag alone is drawn: it says that the slot is missing.
        marks.append(Mark(f"{slot.subject + 1} {text}", _colour(scene, slot.subject), box, note=note))
    return marks


def _colour(scene: Scene, subject: int) -> str:
    return group_colour(scene, len(scene.standalone) + subject)


def _small(image: Tensor) -> Image.Image:
    picture = to_pil(image)
    picture.thumbnail((_THUMBNAIL, _THUMBNAIL), Image.Resampling.LANCZOS)
    return picture
