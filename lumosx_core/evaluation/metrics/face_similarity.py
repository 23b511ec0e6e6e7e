"""FaceSim-Arc and FaceSim-Cur of OpenS2V (arXiv 2505.20292), with face recall, and subject consistency per person.

FaceSim is the mean over 32 frames of the cosine of the largest face to the reference, clipped at 0, without frames that
show no face: a video that hides its people is not punished, so recall stands beside it. With several references
(ours: the definition has one) as many of the largest faces are matched to them, and each person has a score.
"""

from __future__ import annotations

from torch import Tensor

from ...auto_scene.cutouts.regions import Face
from ...auto_scene.detectors import FaceFinder
from ...auto_scene.persons import cheapest, people_of
from ...errors import LumosXError
from ...scene.scene import Scene
from ..measured_video import Video
from ..networks import ImageEmbedder
from ..results import FaceSimilarityScores, PersonSimilarity
from .consistency import self_consistency
from .face_crops import aligned_face, embed_all, faces_in, largest_faces

FRAMES = 32


def face_similarity(
    video: Video,
    scene: Scene,
    finder: FaceFinder,
    arc: ImageEmbedder,
    cur: ImageEmbedder | None = None,
    dino: ImageEmbedder | None = None,
) -> FaceSimilarityScores:
    """FaceSim of each person, and how much their figures stay the same.

    Args:
        dino: embeds figures; None: no consistency.

    Raises:
        LumosXError: no subject has a face image.
        MissingPackageError: scipy is not installed.
    """
    references = aligned_references(scene, finder)
    subjects = [subject for subject, _ in references]
    arc_references = embed_all(arc, [image for _, image in references])
    cur_references = embed_all(cur, [image for _, image in references]) if cur else None
    indices = video.even_frames(FRAMES)
    arcs: dict[int, list[float]] = {subject: [] for subject in subjects}
    curs: dict[int, list[float]] = {subject: [] for subject in subjects}
    figures: dict[int, list[Tensor]] = {subject: [] for subject in subjects}
    for index in indices:
        frame = video.frames[index]
        faces = largest_faces(finder, frame, len(subjects))
        if not faces:
            continue
        crops = [aligned_face(frame, face) for face in faces]
        cosines = embed_all(arc, crops) @ arc_references.T
        cur_cosines = embed_all(cur, crops) @ cur_references.T if cur and cur_references is not None else None
        for row, column in cheapest((1 - cosines).tolist()):
            arcs[subjects[column]].append(max(0.0, float(cosines[row, column])))
            if cur_cosines is not None:
                curs[subjects[column]].append(max(0.0, float(cur_cosines[row, column])))
            figures[subjects[column]].append(_figure(frame, faces[row]))
    persons = tuple(
        PersonSimilarity(
            subject,
            _mean(arcs[subject]),
            _mean(curs[subject]),
            len(arcs[subject]) / len(indices),
            self_consistency(embed_all(dino, figures[subject])) if dino and figures[subject] else None,
        )
        for subject in subjects
    )
    return FaceSimilarityScores(
        _mean([each.arc for each in persons]),
        _mean([each.cur for each in persons]),
        sum(each.recall for each in persons) / len(persons),
        _mean([each.consistency for each in persons]),
        persons,
        tuple(indices),
    )


def aligned_references(scene: Scene, finder: FaceFinder) -> list[tuple[int, Tensor]]:
    """Index and aligned face of each subject that has one; the whole image where no face is found.

    Raises:
        LumosXError: no subject has a face.
    """
    faces = []
    for index, subject in enumerate(scene.subjects):
        if subject.face is not None:
            found = faces_in(finder, subject.face.image)
            faces.append((index, aligned_face(subject.face.image, found[0]) if found else subject.face.image))
    if not faces:
        raise LumosXError("No subject has a face image to compare with. Give the case a face_PHRASE.png.")
    return faces


def _figure(frame: Tensor, face: Face) -> Tensor:
    """The figure around a face, as large as figures are."""
    [person] = people_of(0, [face], {}, frame.shape[0], frame.shape[1])
    return person.box.crop(frame)


def _mean(values: list[float] | list[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None
