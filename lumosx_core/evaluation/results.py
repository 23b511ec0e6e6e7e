"""Scores of one generated video, with what a report shows of its worst frames. Plain values, so that
`dataclasses.asdict` makes JSON of them; None is a value that could not be measured.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum

from ..auto_scene.cutouts.regions import Box

Row = tuple[float | None, ...]


class Label(str, Enum):
    """What happened to a person, or to an attribute of one. From good to bad."""

    OK = "ok"
    DRIFT = "drift"
    BLENDING = "blending"
    DOMINANCE = "dominance"
    SWAP = "swap"
    MISSING = "missing"

    @property
    def severity(self) -> int:
        """0 for ok, 5 for missing."""
        return list(Label).index(self)


# Identity


@dataclass(frozen=True)
class FaceMatch:
    """A face of one frame that was matched to a subject's reference.

    Args:
        subject: index in the scene.
        box: of the face as it was embedded, in pixels of the frame.
        arc, cur: cosine to the reference; None without that network.
    """

    subject: int
    box: Box
    arc: float
    cur: float | None


@dataclass(frozen=True)
class IdentityScores:
    """ArcSim and CurSim of the faces of a whole video.

    Args:
        arc, cur: the sum of matched cosines / (frames x references), a miss counts 0.
        subjects: indices of the subjects with a face reference, in order.
        arc_of, cur_of: the same for each of them.
        missed: of each of them, the fraction of frames in which no face was matched to it.
        frames: the matches of each frame.
    """

    arc: float
    cur: float | None
    subjects: tuple[int, ...]
    arc_of: tuple[float, ...]
    cur_of: Row
    missed: tuple[float, ...]
    frames: tuple[tuple[FaceMatch, ...], ...]


# Subject metrics


@dataclass(frozen=True)
class ThingScores:
    """An attribute of a subject, or an object, on the middle frame.

    Args:
        phrase: its words.
        box: in pixels of the frame; None: not found, all scores are 0.
    """

    phrase: str
    box: Box | None
    clip_t: float | None
    clip_i: float | None
    dino_i: float | None


@dataclass(frozen=True)
class SubjectBoxScores:
    """A subject on the middle frame.

    Args:
        subject: index in the scene.
        query: what the detector was asked for.
        box: of the subject, in pixels of the frame; None: not found.
        face: of the face in that box; None: the whole crop was compared.
        arc, cur: cosine to the face reference; None: skipped, or no network.
    """

    subject: int
    query: str
    box: Box | None
    face: Box | None
    arc: float | None
    cur: float | None
    attributes: tuple[ThingScores, ...]


@dataclass(frozen=True)
class SubjectScores:
    """CLIP-T, CLIP-I, DINO-I, ArcSim and CurSim of one case: means over attributes, then subjects; objects averaged;
    the mean of both branches.

    Args:
        frame: index of the middle frame.
    """

    frame: int
    clip_t: float | None
    clip_i: float | None
    dino_i: float | None
    arc: float | None
    cur: float | None
    subjects: tuple[SubjectBoxScores, ...]
    objects: tuple[ThingScores, ...]


# Whole videos


@dataclass(frozen=True)
class ConsistencyScores:
    """Cosine of the video to its caption (ViCLIP-T) and to the ground truth (ViCLIP-V)."""

    text: float
    video: float | None


@dataclass(frozen=True)
class DynamicScores:
    """Whether a video moves.

    Args:
        dynamic: at least `needed` pairs exceed the threshold.
        pairs: of each pair of sampled frames, the mean of its largest flows in pixels.
        frames: indices of the sampled frames.
    """

    dynamic: bool
    needed: int
    threshold: float
    pairs: tuple[float, ...]
    frames: tuple[int, ...]


@dataclass(frozen=True)
class PersonSimilarity:
    """FaceSim and subject consistency of one person.

    Args:
        subject: index in the scene.
        arc, cur: mean of cosines clipped at 0 over the frames that show the face; None: no such frame, or no network.
        recall: the fraction of the looked-at frames that show the face.
        consistency: VBench subject consistency of the person's crops; None: seen in fewer than two frames.
    """

    subject: int
    arc: float | None
    cur: float | None
    recall: float
    consistency: float | None


@dataclass(frozen=True)
class FaceSimilarityScores:
    """FaceSim-Arc and FaceSim-Cur of a video, with face recall, and subject consistency: means over persons.

    Args:
        frames: indices of the frames looked at.
    """

    arc: float | None
    cur: float | None
    recall: float
    consistency: float | None
    persons: tuple[PersonSimilarity, ...]
    frames: tuple[int, ...]


@dataclass(frozen=True)
class IngredientsScores:
    """The metrics of Ingredients, and a matched one that a lost person lowers.

    Args:
        face_sim: mean over frames of the largest cosine of any face to any reference, times 100; a frame without a face
            counts 0.
        matched: mean over subjects and frames of the matched cosine, a miss counts 0, times 100.
        matched_of: the same for each subject with a face reference.
        clip_score: 100 * cosine of frames and caption, mean over frames; None without the network.
        fid: least squared distance of Inception features of a face and a reference, mean over frames with a face; None
            without the network or any face.
    """

    face_sim: float
    matched: float
    matched_of: tuple[float, ...]
    clip_score: float | None
    fid: float | None


# Misbinding


@dataclass(frozen=True)
class Slot:
    """A row and a column of a matrix: a person, or one attribute of a person.

    Args:
        subject: index in the scene.
        phrase: of the face or the attribute.
        reference: index of its image in `Scene.references`; None: all images of the subject.
    """

    subject: int
    phrase: str
    reference: int | None = None


@dataclass(frozen=True)
class SlotLabel:
    """What happened to a slot.

    Args:
        other: index of the slot whose look it has, for swap, dominance and blending.
    """

    label: Label
    other: int | None = None


@dataclass(frozen=True)
class FrameMatrix:
    """One frame of a dimension.

    Args:
        frame: index of the frame.
        boxes: where each slot was found, in pixels of the frame; None: missing.
        similarity: S_gen, slots x references; rows of missing slots are None.
        difference: D = S_gen - S_gt.
        labels: of each slot.
    """

    frame: int
    boxes: tuple[Box | None, ...]
    similarity: tuple[Row, ...]
    difference: tuple[Row, ...]
    labels: tuple[SlotLabel, ...]


@dataclass(frozen=True)
class DimensionScores:
    """The misbinding matrix of one dimension: "face", "person" or "attributes".

    Args:
        slots: rows and columns of the matrices.
        truth: S_gt.
        threshold: t.
        frames: one matrix for each frame looked at.
        labels: of each slot, the majority over frames, ties to the worse.
    """

    dimension: str
    slots: tuple[Slot, ...]
    truth: tuple[Row, ...]
    threshold: float
    frames: tuple[FrameMatrix, ...]
    labels: tuple[SlotLabel, ...]

    @property
    def all_ok(self) -> bool:
        """Everything is bound as in the references."""
        return all(each.label is Label.OK for each in self.labels)

    @property
    def confusion(self) -> float:
        """How much slots look like others' references: mean over frames and slots of how far the largest D of another
        subject's reference exceeds the own one. Larger is worse; a missing slot does not count.
        """
        leads = [
            max(other for j, other in enumerate(row) if other is not None and self._foreign(i, j)) - own
            for frame in self.frames
            for i, row in enumerate(frame.difference)
            if (own := row[i]) is not None
            and any(other is not None and self._foreign(i, j) for j, other in enumerate(row))
        ]
        return sum(leads) / len(leads) if leads else 0.0

    def _foreign(self, i: int, j: int) -> bool:
        return self.slots[i].subject != self.slots[j].subject


# A case


@dataclass(frozen=True)
class CaseScores:
    """All scores of one generated video.

    Args:
        name: of the case.
        video: file name of the generated video.
        people: number of subjects in the scene.
        misbinding: the dimensions that could be measured; empty for fewer than two people.
        skipped: metric -> why it has no score.
    """

    name: str
    video: str
    people: int
    identity: IdentityScores | None = None
    subjects: SubjectScores | None = None
    consistency: ConsistencyScores | None = None
    dynamic: DynamicScores | None = None
    face_similarity: FaceSimilarityScores | None = None
    ingredients: IngredientsScores | None = None
    misbinding: tuple[DimensionScores, ...] = ()
    skipped: dict[str, str] = field(default_factory=dict)

    @property
    def empty(self) -> bool:
        """Nothing could be measured."""
        of_metrics = (self.identity, self.subjects, self.consistency, self.dynamic, self.face_similarity)
        return not self.misbinding and all(each is None for each in (*of_metrics, self.ingredients))
