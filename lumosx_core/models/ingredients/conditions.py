"""From a scene to what the network is given of it: face features and the image condition."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ...errors import LumosXError
from ...prompt.messages import owner_of
from ...scene.scene import Reference, Scene

MOST_FACES = 8
"""The network was trained with two faces, and no weight depends on their number; with more than eight a face has less
than a cell of 180x240 pixels on the canvas."""


@dataclass(frozen=True, eq=False)
class FaceConditions:
    """N faces as the network reads them.

    Args:
        id_cond: (N, id), ArcFace and CLIP embeddings of each face.
        id_vit_hidden: (N, 5, tokens, width), five layers of the CLIP image encoder.
        image_latents: (1, C, T, h, w), the canvas of all faces in the first latent frame, zeros behind it.
        labels: of each face, for reports.

    Raises:
        LumosXError: the parts do not describe the same faces.
    """

    id_cond: Tensor
    id_vit_hidden: Tensor
    image_latents: Tensor
    labels: Sequence[str] = ()

    def __post_init__(self):
        faces = len(self.id_cond)
        if self.id_cond.ndim != 2 or self.id_vit_hidden.ndim != 4 or len(self.id_vit_hidden) != faces or not faces:
            raise LumosXError(
                f"Faces have embeddings of shape {tuple(self.id_cond.shape)} and hidden states of shape "
                f"{tuple(self.id_vit_hidden.shape)}, expected (faces, width) and (faces, layers, tokens, width) of the "
                f"same one or more faces. Encode the faces again."
            )
        object.__setattr__(self, "labels", tuple(self.labels))
        if self.labels and len(self.labels) != faces:
            raise LumosXError(f"{len(self.labels)} labels were given for {faces} faces. Give one for each.")

    def to(self, device: torch.device | str) -> FaceConditions:
        """The same on a device."""
        return replace(
            self,
            id_cond=self.id_cond.to(device),
            id_vit_hidden=self.id_vit_hidden.to(device),
            image_latents=self.image_latents.to(device),
        )


def faces_of(scene: Scene) -> list[tuple[str, Reference]]:
    """The face of each subject of a scene, with its owner's name for messages, in the order of the subjects.

    Raises:
        LumosXError: no subject has a face, one of them has none, or there are more than eight.
    """
    faces = []
    for number, subject in enumerate(scene.subjects, 1):
        if subject.face is None:
            raise LumosXError(
                f"{_capital(scene.name_of(number))} has no face image, and Ingredients (CogVideoX) reads faces only. "
                f"Give it a face, or remove the subject."
            )
        faces.append((scene.name_of(number), subject.face))
    if not faces:
        raise LumosXError(
            "The scene has no subject with a face, and Ingredients (CogVideoX) reads faces only. Add a subject with a "
            "face image."
        )
    check_face_count(len(faces))
    return faces


def check_face_count(faces: int) -> None:
    """Raise LumosXError for more faces than a video can show."""
    if faces > MOST_FACES:
        raise LumosXError(
            f"There are {faces} faces, and Ingredients (CogVideoX) takes at most {MOST_FACES}; it was trained with 2. "
            f"Remove {faces - MOST_FACES} of them."
        )


def unused_parts(scene: Scene) -> list[str]:
    """What of a scene Ingredients does not read: a sentence about it, naming each image."""
    faces = {id(subject.face) for subject in scene.subjects}
    unread = [(label, each) for label, each in scene.labelled() if id(each) not in faces]
    warnings = []
    if unread:
        names = ", ".join(
            f"{owner_of(label)} ({each.phrase})" if each.phrase else owner_of(label) for label, each in unread
        )
        warnings.append(
            f"Ingredients (CogVideoX) reads faces only, so {len(unread)} of the {len(scene.references)} images are "
            f"ignored: {names}. Describe in the prompt what they show, or use LumosX, which reads them."
        )
    adjusted = [
        scene.name_of(number)
        for number, subject in enumerate(scene.subjects, 1)
        if subject.face is not None
        and (subject.strength_of(subject.face), subject.start, subject.end) != (1.0, 0.0, 1.0)
    ]
    if adjusted:
        warnings.append(
            f"Ingredients (CogVideoX) has no strength or timing of a face, so those of {', '.join(adjusted)} are "
            f"ignored."
        )
    return warnings


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
