"""The faces of clips as training reads them: features, image condition, and how much of each token shows whose face."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor

from ....errors import LumosXError
from ....scene.layout import ReferenceLayout
from ..routing_loss import IGNORED
from ..spec import SPEC

PATCH = 2
"""Latent pixels along each side of a token, as in every CogVideoX."""


@dataclass(frozen=True, eq=False)
class FaceExample:
    """N faces of each of B clips.

    Args:
        id_cond: (B, N, id).
        id_vit_hidden: (B, N, 5, tokens, width).
        image: (B, C, h, w), latents of the canvas of all faces.
        face_share: (B, N, S), the fraction of each image token's pixels, in all frames of its latent frame, that show
            each face, tokens in the order frame, row, column; 0 everywhere where masks are not known.
        tokens: of the caption of one clip, its end token included.

    Raises:
        LumosXError: the parts do not describe the same faces.
    """

    id_cond: Tensor
    id_vit_hidden: Tensor
    image: Tensor
    face_share: Tensor
    tokens: int = 0

    def __post_init__(self):
        clips, faces = self.id_cond.shape[:2]
        shapes = {"id_vit_hidden": self.id_vit_hidden.shape, "face_share": self.face_share.shape}
        fits = self.id_cond.ndim == 3 and self.id_vit_hidden.ndim == 5 and self.face_share.ndim == 3
        if not fits or self.image.ndim != 4 or len(self.image) != clips or not faces:
            raise LumosXError(f"id_cond has shape {tuple(self.id_cond.shape)}, expected (clips, faces, width).")
        for name, shape in shapes.items():
            if tuple(shape[:2]) != (clips, faces):
                raise LumosXError(f"{name} has shape {tuple(shape)}, expected ({clips}, {faces}, ..).")

    @property
    def layout(self) -> ReferenceLayout:
        """A group of one for each face."""
        return ReferenceLayout(0, (1,) * self.id_cond.shape[1])

    def map(self, change: Callable[[Tensor], Tensor]) -> FaceExample:
        """The same with `change` applied to each tensor."""
        return replace(
            self,
            id_cond=change(self.id_cond),
            id_vit_hidden=change(self.id_vit_hidden),
            image=change(self.image),
            face_share=change(self.face_share),
        )

    def labels(self, least: float) -> Tensor:
        """The face that each image token shows: (B, S) long, -1 where it shows none.

        The face with the largest share of a token has it, if that share is at least `least`. The paper does not say
        how masks become labels of tokens; this rule is ours.
        """
        share, face = self.face_share.max(dim=1)
        return torch.where(share >= least, face, IGNORED)


def collate_faces(examples: Sequence[FaceExample]) -> FaceExample:
    """The faces of several clips, float32."""
    id_cond, hidden, image, share = (
        torch.cat([getattr(example, name) for example in examples]).float()
        for name in ("id_cond", "id_vit_hidden", "image", "face_share")
    )
    return FaceExample(id_cond, hidden, image, share)


def token_shares(masks: Tensor) -> Tensor:
    """How much of each image token shows each face: (N, F, H, W) masks in 0..1 -> (N, S) float32.

    A token covers 16 x 16 pixels of the frames of its latent frame: of the first frame alone, then of four each.

    Raises:
        LumosXError: a size that no video of CogVideoX has.
    """
    faces, frames, height, width = masks.shape
    side = SPEC.spatial_stride * PATCH
    SPEC.check_size(width, height, frames)
    small = F.avg_pool2d(masks.float().flatten(0, 1)[:, None], side)[:, 0]  # (N*F, rows, columns)
    small = small.unflatten(0, (faces, frames))
    first, rest = small[:, :1], small[:, 1:]
    rest = rest.unflatten(1, (-1, SPEC.temporal_stride)).mean(dim=2)
    return torch.cat([first, rest], dim=1).flatten(1)
