"""Encodes the faces of clips for a cache: crops to features and to the latents of their canvas, masks to shares."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ....errors import LumosXError
from ....files.model_files import ModelFiles
from ....prompt.phrase_mask import check_prompt_length
from ....scene.case_folder import Case
from ....scene.layout import ReferenceLayout
from ...trainable import ClipParts
from ..canvas import conditioning_canvas
from ..conditions import faces_of
from ..faces.face_encoder import FaceEncoder
from ..faces.photo import face_crops
from ..faces.retinaface import RETINAFACE, released_detector
from ..spec import FACE_ENCODER, SPEC
from .face_example import token_shares

log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class PreparedFaces:
    """The faces of a clip before they are encoded.

    Args:
        crops: (512, 512, 3) of each face.
        canvas: (H, W, 3) in 0..1.
        shares: (N, S), see `token_shares`.
        tokens: of the caption.
    """

    crops: list[Tensor]
    canvas: Tensor
    shares: Tensor
    tokens: int


class FaceExampleEncoder:
    """Reads the face images of cases; see `PartsEncoder`.

    With the detector of the release in the face encoder's folder, the face in each image is found and aligned, as
    released. Without it images are taken as aligned crops, which drawn faces need.

    Raises:
        LumosXError: no face encoder is named, or it cannot be read.
    """

    def __init__(self, files: ModelFiles, vae: Any, text_encoder: Any, device: torch.device):
        folder = files.companions.get(FACE_ENCODER)
        if folder is None:
            raise LumosXError(f"{SPEC.name} needs its face encoder. Add --face-encoder FOLDER.")
        self.vae, self.text_encoder = vae, text_encoder
        self.faces = FaceEncoder.load(folder, device=device)
        self.find_faces = released_detector(folder)
        if self.find_faces is None:
            log.warning("%s has no %s, so face images are taken as aligned crops.", folder, RETINAFACE)

    def prepare(self, case: Case, prompt: str, video: Tensor, masks: Tensor | None) -> PreparedFaces:
        """See `PartsEncoder.prepare`."""
        faces = faces_of(case.scene)
        ids = self.text_encoder.tokenize_prompt(prompt)
        check_prompt_length(ids, SPEC.text_len)
        crops = face_crops(faces, self.find_faces)
        frames, height, width = video.shape[:3]
        if masks is None:
            masks = torch.zeros(len(faces), frames, height, width)
        if masks.shape != (len(faces), frames, height, width):
            raise LumosXError(
                f"The masks have shape {tuple(masks.shape)}, expected {(len(faces), frames, height, width)}: one for "
                f"each face and frame of the clip."
            )
        return PreparedFaces(crops, conditioning_canvas(crops, width, height), token_shares(masks), len(ids))

    def encode(self, prepared: Sequence[PreparedFaces]) -> list[ClipParts]:
        """See `PartsEncoder.encode`."""
        if not prepared:
            return []
        features = self.faces.encode([crop for each in prepared for crop in each.crops])
        parts, start = [], 0
        for each in prepared:
            faces = slice(start, start + len(each.crops))
            start = faces.stop
            image = self.vae.encode_images(each.canvas[None])[0, :, 0]
            tensors = {
                "id_cond": features.id_cond[faces],
                "id_vit_hidden": features.id_vit_hidden[faces],
                "image": image.cpu(),
                "face_share": each.shares,
            }
            layout = ReferenceLayout(0, (1,) * len(each.crops))
            parts.append(ClipParts(tensors, layout, {"tokens": each.tokens}))
        return parts
