"""Faces of Ingredients (CogVideoX) on their way through a graph: from the node that reads them to the model."""

from __future__ import annotations

from dataclasses import dataclass

import comfy.conds
import node_helpers
from torch import Tensor

from ....lumosx_core.errors import LumosXError
from ....lumosx_core.models.ingredients.faces.face_encoder import FaceFeatures

KEY = "ingredients"
IMAGE = "concat_latent_image"  # ComfyUI's name for the latents of an image that is shown to the network


@dataclass(frozen=True, eq=False)
class Faces:
    """The people of a video, in order.

    Args:
        crops: N times (512, 512, 3), 0..1, aligned.
        features: what the network reads of them.
        names: what messages call each.
    """

    crops: tuple[Tensor, ...]
    features: FaceFeatures
    names: tuple[str, ...]


class FaceCondition(comfy.conds.CONDConstant):
    """Faces in a conditioning. Only the model of Ingredients (CogVideoX) reads them; any other leaves them unread.

    Two conditionings run in one batch only if they carry the same faces.
    """

    def __init__(self, faces: Faces, read: bool = False):
        super().__init__(faces)
        self.read = read

    def _copy_with(self, cond: Faces) -> FaceCondition:
        return FaceCondition(cond, self.read)

    def can_concat(self, other: comfy.conds.CONDRegular) -> bool:
        return other.cond is self.cond

    def process_cond(self, batch_size: int, **kwargs) -> FaceCondition:
        if not self.read:
            raise LumosXError(
                "The conditioning comes from Ingredients (CogVideoX) To Video, but the MODEL of this sampler is "
                "another one, which would ignore the faces. Use the MODEL of Ingredients (CogVideoX) Load Model."
            )
        return self


def attach_faces(conditioning: list, faces: Faces, image: Tensor) -> list:
    """The conditioning with faces and conditioning image.

    Args:
        image: (1, C, 1, h, w), as the VAE gave it.
    """
    conditioning = node_helpers.conditioning_set_values(conditioning, {IMAGE: image})
    for _, values in conditioning:
        # A model condition is seen by every model, and so by one that would ignore it, unlike other values.
        values["model_conds"] = {**values.get("model_conds", {}), KEY: FaceCondition(faces)}
    return conditioning
