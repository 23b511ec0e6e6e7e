"""CLIP-T, CLIP-I, DINO-I, ArcSim and CurSim of what is in the boxes of subjects and objects on the middle frame.

Definitions of the LumosX benchmark. A subject is searched for as "WORD with A and B", its attributes in its crop,
objects in the frame. What is not found counts 0, except CurSim, which skips a subject without a box.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from torch import Tensor

from ...auto_scene.cutouts.regions import Box
from ...auto_scene.detectors import FaceFinder, PhraseFinder
from ...errors import LumosXError
from ...prompt.match import split_number
from ...scene.scene import Reference, Scene, Subject
from ..measured_video import Protocol, Video
from ..networks import ImageEmbedder, TextImageEmbedder
from ..results import SubjectBoxScores, SubjectScores, ThingScores
from .face_crops import checked_vectors, embed_all, face_area, faces_in, reference_faces

LEAST_THING_SCORE = 0.1  # of the box of an attribute or an object


def subject_metrics(
    video: Video,
    scene: Scene,
    *,
    phrases: PhraseFinder,
    things: PhraseFinder,
    faces: FaceFinder | None = None,
    arc: ImageEmbedder | None = None,
    cur: ImageEmbedder | None = None,
    clip: TextImageEmbedder | None = None,
    dino: ImageEmbedder | None = None,
    protocol: Protocol = Protocol.CLEAN,
) -> SubjectScores:
    """The subject metrics of the middle frame. The background is not scored.

    A subject without a face has no ArcSim, one without attributes no CLIP-T, CLIP-I and DINO-I. A scene without either
    has no score; under REFERENCE it has 0.

    Args:
        arc, cur: need `faces`.

    Raises:
        LumosXError: the scene has no subject and no object.
    """
    if not scene.subjects and not scene.objects:
        raise LumosXError("The scene has no subject and no object to compare with. Give the case subjects or objects.")
    index = len(video) // 2
    reader = _Reader(video.frames[index], things, clip, dino, protocol)
    references = {}
    if faces is not None and (arc or cur) and any(subject.face for subject in scene.subjects):
        references = dict(reference_faces(scene, faces, protocol))
    subjects = []
    for number, subject in enumerate(scene.subjects):
        query = subject_query(subject)
        found = phrases.find(reader.frame, [query])[0] if query else []
        box = reader.usable(found[0].box, whole=reader.whole) if found else None
        face, arc_score, cur_score = _face_scores(reader, box, references.get(number), faces, arc, cur)
        attributes = tuple(reader.thing(reference, box) for reference in subject.attributes)
        subjects.append(SubjectBoxScores(number, query, box, face, arc_score, cur_score, attributes))
    objects = tuple(reader.thing(reference, reader.whole) for reference in scene.objects)

    def both(score: Callable[[ThingScores], float | None]) -> float | None:
        of_subjects = _mean(_mean(score(each) for each in subject.attributes) for subject in subjects)
        return _overall(_mean((of_subjects, _mean(score(each) for each in objects))), protocol)

    return SubjectScores(
        index,
        both(lambda each: each.clip_t) if clip else None,
        both(lambda each: each.clip_i) if clip else None,
        both(lambda each: each.dino_i) if dino else None,
        _overall(_mean(each.arc for each in subjects), protocol) if arc and faces else None,
        _overall(_mean(each.cur for each in subjects), protocol) if cur and faces else None,
        tuple(subjects),
        objects,
    )


def subject_query(subject: Subject) -> str:
    """What a detector is asked for: "man with denim jacket and white cap"."""
    words = [split_number(each.phrase)[0] for each in subject.references]
    if subject.face is None:
        return " and ".join(words)
    return f"{words[0]} with {' and '.join(words[1:])}" if len(words) > 1 else words[0]


class _Reader:
    """The middle frame, and what embeds parts of it."""

    def __init__(
        self,
        frame: Tensor,
        things: PhraseFinder,
        clip: TextImageEmbedder | None,
        dino: ImageEmbedder | None,
        protocol: Protocol,
    ):
        self.frame = frame
        self.protocol = protocol
        self.whole = Box(0, 0, frame.shape[1], frame.shape[0])
        self._things, self._clip, self._dino = things, clip, dino

    def usable(self, box: Box, whole: Box) -> Box | None:
        """A detected box inside the frame. One without area is none; under REFERENCE it means the whole instead."""
        if box.area == 0 or box.intersection(self.whole).area == 0:
            return whole if self.protocol is Protocol.REFERENCE else None
        return box.within(*self.frame.shape[:2])

    def thing(self, reference: Reference, inside: Box | None) -> ThingScores:
        """An attribute, or an object, in a part of the frame; None: its subject was not found."""
        box = self._find(reference.phrase, inside) if inside is not None else None
        phrase = split_number(reference.phrase)[0]
        if box is None:
            return ThingScores(reference.phrase, None, *(0.0 if each else None for each in self._networks()))
        crop, clip_t, clip_i, dino_i = box.crop(self.frame), None, None, None
        if self._clip:
            own, image = embed_all(self._clip, [crop, reference.image])
            name = self._clip.note.name
            text = checked_vectors(self._clip.embed_text([phrase]).detach().cpu().float(), 1, name)[0]
            clip_t, clip_i = float(own @ text), float(own @ image)
        if self._dino:
            own, image = embed_all(self._dino, [crop, reference.image])
            dino_i = float(own @ image)
        return ThingScores(reference.phrase, box, clip_t, clip_i, dino_i)

    def _networks(self) -> tuple[bool, bool, bool]:
        return self._clip is not None, self._clip is not None, self._dino is not None

    def _find(self, phrase: str, inside: Box) -> Box | None:
        [found] = self._things.find(inside.crop(self.frame), [split_number(phrase)[0]])
        best = max(found, key=lambda each: each.score, default=None)
        if best is None or best.score < LEAST_THING_SCORE:
            return None
        return self.usable(best.box.moved(inside.left, inside.top), whole=inside)


def _face_scores(
    reader: _Reader,
    box: Box | None,
    reference: Tensor | None,
    finder: FaceFinder | None,
    arc: ImageEmbedder | None,
    cur: ImageEmbedder | None,
) -> tuple[Box | None, float | None, float | None]:
    """Box, ArcSim and CurSim of the surest face in a subject's box; of the whole crop where there is none."""
    if reference is None or finder is None:
        return None, None, None
    if box is None:
        return None, 0.0 if arc else None, None
    crop = box.crop(reader.frame)
    found = faces_in(finder, crop, reader.protocol)
    area = face_area(found[0].box, crop.shape[0], crop.shape[1], reader.protocol) if found else None
    images = [area.crop(crop) if area else crop, reference]
    if reader.protocol is Protocol.REFERENCE:
        images = [image.flip(-1) for image in images]  # the released code embeds BGR here

    def cosine(network: ImageEmbedder | None) -> float | None:
        if network is None:
            return None
        own, theirs = embed_all(network, images)
        return float(own @ theirs)

    return area and area.moved(box.left, box.top), cosine(arc), cosine(cur)


def _mean(values: Iterable[float | None]) -> float | None:
    """Of those that there are."""
    known: Sequence[float] = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None


def _overall(value: float | None, protocol: Protocol) -> float | None:
    return 0.0 if value is None and protocol is Protocol.REFERENCE else value
