"""Faces by any recogniser in the onnx format that takes 112 x 112 pixels, such as ArcFace's, for ArcSim."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from ...models.ingredients.faces.arcface import ArcFace
from ..networks import NetworkNote
from .pixels import unit
from .released import weights_note

ARC_FACE_SOURCE = (
    "Give an onnx face recogniser of InsightFace, such as glintr100.onnx of antelopev2 or w600k_r50.onnx of buffalo_l."
)


class OnnxFaceEmbedder:
    """A face embedder. The paper's own ArcFace, a file backbone.pth of unknown origin, is never claimed.

    Args:
        network: opened.
        note: for reports.
    """

    def __init__(self, network: ArcFace, note: NetworkNote):
        self.network = network
        self.note = note

    @classmethod
    def load(cls, path: str | os.PathLike) -> OnnxFaceEmbedder:
        """Open an onnx file; nothing is downloaded.

        Raises:
            LumosXError: no such file, a damaged one, or another network.
            MissingPackageError: onnxruntime is not installed.
        """
        path = Path(path).expanduser()
        network = ArcFace.load(path)
        return cls(network, weights_note(f"ArcFace ({path.stem})", path, None))

    def embed(self, images: Sequence[Tensor]) -> Tensor:
        """(H, W, 3) crops of faces, RGB of 0..1 -> (N, d) of length 1; each is brought to 112 x 112 as a whole.

        Raises:
            LumosXError: the network fails, or gives values that are not numbers.
        """
        if not images:
            return torch.zeros(0, self.network.features)
        return unit(self.network.encode(images))
