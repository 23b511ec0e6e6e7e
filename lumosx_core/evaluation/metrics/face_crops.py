"""Faces in frames and reference images, cut out as the metrics want them."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from ...auto_scene.cutouts.regions import Box, Face
from ...auto_scene.detectors import FaceFinder
from ...errors import LumosXError
from ...models.ingredients.faces.align import fit_similarity
from ...scene.scene import Scene
from ..measured_video import Protocol
from ..networks import ImageEmbedder

LEAST_SCORE, MOST_OVERLAP = 0.2, 0.4  # of boxes of faces: confidence, and intersection over union of two faces
ABOVE, BELOW = 0.17, 0.03  # of a box's height, that the crop of a face has above and below it
ALIGNED = 112
"""Pixels of an aligned crop's side."""
ALIGNED_LANDMARKS = ((38.2946, 51.6963), (73.5318, 51.5014), (56.0252, 71.7366), (41.5493, 92.3655), (70.7299, 92.2041))
"""Where ArcFace was trained to see eyes, nose and corners of the mouth, in pixels of an aligned crop."""
_BATCH = 64


def faces_in(finder: FaceFinder, image: Tensor, protocol: Protocol = Protocol.CLEAN) -> list[Face]:
    """The faces of an (H, W, 3) image, the surest first, of confidence .2 or more and each once.

    The released code gives its detector red and blue exchanged, which REFERENCE repeats.
    """
    seen = image.flip(-1) if protocol is Protocol.REFERENCE else image
    kept: list[Face] = []
    for face in sorted(finder.find(seen), key=lambda face: -face.score):
        if face.score >= LEAST_SCORE and all(face.box.iou(other.box) <= MOST_OVERLAP for other in kept):
            kept.append(face)
    return kept


def face_area(box: Box, height: int, width: int, protocol: Protocol = Protocol.CLEAN) -> Box:
    """The part of an image of this size that is embedded for the box of a face.

    It reaches 17 % of the box's height above it and 3 % below; under REFERENCE those 3 % are of the box that is already
    higher by 17 %.
    """
    below = BELOW * (1 + ABOVE) if protocol is Protocol.REFERENCE else BELOW
    return box.grown(top=ABOVE, bottom=below).within(height, width)


def reference_faces(scene: Scene, finder: FaceFinder, protocol: Protocol) -> list[tuple[int, Tensor]]:
    """Index and crop of the face of each subject that has one.

    The surest face of the reference image, cut out as in frames; the whole image where none is found, and always under
    REFERENCE.

    Raises:
        LumosXError: no subject has a face.
    """
    crops = []
    for index, subject in enumerate(scene.subjects):
        if subject.face is None:
            continue
        image = subject.face.image
        found = [] if protocol is Protocol.REFERENCE else faces_in(finder, image)
        crops.append((index, face_area(found[0].box, *image.shape[:2]).crop(image) if found else image))
    if not crops:
        raise LumosXError("No subject has a face image to compare with. Give the case a face_PHRASE.png.")
    return crops


def largest_faces(finder: FaceFinder, image: Tensor, count: int) -> list[Face]:
    """So many faces of an image, the largest first."""
    return sorted(faces_in(finder, image), key=lambda face: -face.box.area)[:count]


def aligned_face(image: Tensor, face: Face) -> Tensor:
    """A face brought to where ArcFace was trained to see it, (112, 112, 3), black beyond the image; without landmarks
    its box, as it is.
    """
    height, width = image.shape[:2]
    if face.landmarks is None or len(face.landmarks) != len(ALIGNED_LANDMARKS):
        return face_area(face.box, height, width).crop(image)
    points = torch.tensor(face.landmarks, dtype=torch.float64)
    if float((points - points.mean(dim=0)).abs().max()) < 1.0:  # all in one place: there is no size to align
        return face_area(face.box, height, width).crop(image)
    matrix = fit_similarity(points, torch.tensor(ALIGNED_LANDMARKS, dtype=torch.float64))
    axis = torch.arange(ALIGNED, dtype=torch.float64)
    y, x = torch.meshgrid(axis, axis, indexing="ij")
    source = (torch.stack([x, y], dim=-1) - matrix[:, 2]) @ torch.linalg.inv(matrix[:, :2]).T
    grid = (2 * source + 1) / torch.tensor([width, height], dtype=torch.float64) - 1
    planes = image.permute(2, 0, 1)[None].float()
    return F.grid_sample(planes, grid[None].float(), mode="bilinear", align_corners=False)[0].permute(1, 2, 0)


def embed_all(embedder: ImageEmbedder, images: Sequence[Tensor]) -> Tensor:
    """(N, d) float32 of length 1, embedded in batches.

    Raises:
        LumosXError: the network returns another number of vectors, or values that are not numbers.
    """
    parts = [embedder.embed(images[start : start + _BATCH]) for start in range(0, len(images), _BATCH)]
    vectors = torch.cat([part.detach().cpu().float() for part in parts]) if parts else torch.zeros(0, 1)
    return checked_vectors(vectors, len(images), embedder.note.name)


def checked_vectors(vectors: Tensor, number: int, name: str) -> Tensor:
    """The vectors, if they are so many and their values are numbers; else LumosXError."""
    if vectors.ndim != 2 or len(vectors) != number:
        raise LumosXError(f"{name} returned shape {tuple(vectors.shape)} for {number} inputs. Check its weights.")
    if not bool(torch.isfinite(vectors).all()):
        raise LumosXError(f"{name} returned values that are not numbers. Check its weights, or run it in float32.")
    return vectors
