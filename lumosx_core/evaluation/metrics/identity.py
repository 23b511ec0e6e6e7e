"""ArcSim and CurSim: whether the people of a video have the faces of the references, frame by frame.

Definitions of the LumosX benchmark: faces are matched to references with the least sum of 1 - ArcFace cosine. The score
of a video is the sum of matched cosines / (frames x references), so that a miss counts 0. CurSim reuses the matching.
"""

from __future__ import annotations

from ...auto_scene.detectors import FaceFinder
from ...auto_scene.persons import cheapest
from ...scene.scene import Scene
from ..measured_video import Protocol, Video
from ..networks import ImageEmbedder
from ..results import FaceMatch, IdentityScores
from .face_crops import embed_all, face_area, faces_in, reference_faces


def identity(
    video: Video,
    scene: Scene,
    finder: FaceFinder,
    arc: ImageEmbedder,
    cur: ImageEmbedder | None = None,
    protocol: Protocol = Protocol.CLEAN,
) -> IdentityScores:
    """ArcSim and CurSim of every frame of a video.

    Raises:
        LumosXError: no subject has a face image.
        MissingPackageError: scipy is not installed.
    """
    subjects, references = zip(*reference_faces(scene, finder, protocol), strict=True)
    height, width = video.frames.shape[1:3]
    areas = [
        [face_area(face.box, height, width, protocol) for face in faces_in(finder, frame, protocol)]
        for frame in video.frames
    ]
    crops = [area.crop(frame) for frame, found in zip(video.frames, areas, strict=True) for area in found]
    arc_cosines = (embed_all(arc, crops) @ embed_all(arc, references).T).tolist() if crops else []
    cur_cosines = (embed_all(cur, crops) @ embed_all(cur, references).T).tolist() if crops and cur else None

    frames, start = [], 0
    for found in areas:
        rows = arc_cosines[start : start + len(found)]
        pairs = cheapest([[1 - cosine for cosine in row] for row in rows]) if rows else []
        frames.append(
            tuple(
                FaceMatch(subjects[r], found[f], rows[f][r], None if cur_cosines is None else cur_cosines[start + f][r])
                for f, r in pairs
            )
        )
        start += len(found)
    return _scores(subjects, tuple(frames), cur is not None)


def _scores(subjects: tuple[int, ...], frames: tuple[tuple[FaceMatch, ...], ...], with_cur: bool) -> IdentityScores:
    number = len(frames)
    matched = {subject: [each for frame in frames for each in frame if each.subject == subject] for subject in subjects}
    arc_of = tuple(sum(each.arc for each in matched[subject]) / number for subject in subjects)
    cur_of = tuple(sum(each.cur or 0.0 for each in matched[subject]) / number for subject in subjects)
    return IdentityScores(
        sum(arc_of) / len(subjects),
        sum(cur_of) / len(subjects) if with_cur else None,
        subjects,
        arc_of,
        cur_of if with_cur else (None,) * len(subjects),
        tuple(1 - len(matched[subject]) / number for subject in subjects),
        frames,
    )
