"""The metrics of Ingredients (arXiv 2501.01790), and a matched face similarity that a lost person lowers.

Face similarity there is the largest cosine of any of the two largest faces to any reference, mean over 24 frames: one
face that is right is enough. "FID" is no distance of distributions but, for each frame, the least squared distance of
the features of a face to those of a reference.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ...auto_scene.detectors import FaceFinder
from ...auto_scene.persons import cheapest
from ...scene.scene import Scene
from ..measured_video import Protocol, Video
from ..networks import FeatureExtractor, ImageEmbedder, TextImageEmbedder
from ..results import IngredientsScores
from .face_crops import aligned_face, checked_vectors, embed_all, largest_faces
from .face_similarity import aligned_references

FRAMES = 24
_REFERENCE_FACES = 2  # of a frame in the released evaluation, whatever the number of references


def ingredients_metrics(
    video: Video,
    scene: Scene,
    prompt: str,
    finder: FaceFinder,
    arc: ImageEmbedder,
    *,
    clip: TextImageEmbedder | None = None,
    inception: FeatureExtractor | None = None,
    protocol: Protocol = Protocol.CLEAN,
) -> IngredientsScores:
    """Face similarity, matched similarity, CLIP score and face distance of a video.

    CLEAN looks at as many of the largest faces as there are references; a frame without a face counts 0, where the
    released evaluation stops with an error. REFERENCE looks at two faces, and gives CLIP red and blue exchanged.

    Raises:
        LumosXError: no subject has a face image.
        MissingPackageError: scipy is not installed.
    """
    references = aligned_references(scene, finder)
    images = [image for _, image in references]
    vectors = embed_all(arc, images)
    features = None if inception is None else _features(inception, images)
    count = _REFERENCE_FACES if protocol is Protocol.REFERENCE else len(references)
    frames = [video.frames[index] for index in face_frames(len(video))]
    largest, distances = [], []
    matched = torch.zeros(len(references), dtype=torch.float64)
    for frame in frames:
        crops = [aligned_face(frame, face) for face in largest_faces(finder, frame, count)]
        if not crops:
            continue  # counts 0: the sums below are divided by all frames
        cosines = (embed_all(arc, crops) @ vectors.T).double()
        largest.append(float(cosines.max()))
        for row, column in cheapest((1 - cosines).tolist()):
            matched[column] += cosines[row, column]
        if inception is not None and features is not None:
            apart = _features(inception, crops)[:, None] - features[None]
            distances.append(float(apart.square().sum(dim=-1).min()))
    matched_of = tuple((100 * matched / len(frames)).tolist())
    return IngredientsScores(
        100 * sum(largest) / len(frames),
        sum(matched_of) / len(matched_of),
        matched_of,
        None if clip is None else _clip_score(clip, video, prompt, protocol),
        sum(distances) / len(distances) if distances else None,
    )


def face_frames(number: int) -> list[int]:
    """24 frames from the first to the last, rounded down; of fewer frames some come twice."""
    return [i * (number - 1) // (FRAMES - 1) for i in range(FRAMES)]


def clip_frames(number: int) -> list[int]:
    """24 frames at the start of each 24th of the video."""
    return [i * number // FRAMES for i in range(FRAMES)]


def _clip_score(clip: TextImageEmbedder, video: Video, prompt: str, protocol: Protocol) -> float:
    frames = [video.frames[index] for index in clip_frames(len(video))]
    if protocol is Protocol.REFERENCE:
        frames = [frame.flip(-1) for frame in frames]
    text = checked_vectors(clip.embed_text([prompt]).detach().cpu().float(), 1, clip.note.name)[0]
    return 100 * float((embed_all(clip, frames) @ text).mean())


def _features(inception: FeatureExtractor, images: list[Tensor]) -> Tensor:
    return checked_vectors(inception.features(images).detach().cpu().float(), len(images), inception.note.name)
