"""Aligned faces to what the network reads of them: ArcFace and EVA02-CLIP, one after the other."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from ....errors import LumosXError
from ....files.safetensors_file import all_finite
from .align import CROP, check_values
from .arcface import ArcFace
from .eva_clip import STATES_BEFORE, EvaClip, open_tower

ARCFACE = "models/antelopev2/glintr100.onnx"
EVA_CLIP = "EVA02_CLIP_L_336_psz14_s6B.pt"
"""Files of the folder `face_encoder` in the release."""

_RELEASE = (
    "Give the folder face_encoder of the released Ingredients (CogVideoX) weights, feizhengcong/Ingredients on "
    "Hugging Face."
)


@dataclass(frozen=True, eq=False)
class FaceFeatures:
    """What the network reads of N faces, float32 on the CPU.

    Args:
        id_cond: (N, 1280): 512 of ArcFace, not normalised, then 768 of EVA02-CLIP, of length 1.
        id_vit_hidden: (N, 5, 577, 1024): states of EVA02-CLIP.
    """

    id_cond: Tensor
    id_vit_hidden: Tensor

    def __len__(self) -> int:
        return len(self.id_cond)


class FaceEncoder:
    """The two networks that read faces; they are in memory only while they run, and one at a time.

    Args:
        folder: laid out as the release's face_encoder.
        device: of EVA02-CLIP; ArcFace runs on the CPU.
        id_width: length of `id_cond` of one face.
        states: (5, T, D), the size of `id_vit_hidden` of one face.
    """

    def __init__(self, folder: Path, device: torch.device, id_width: int, states: tuple[int, int, int]):
        self.folder = folder
        self.device = device
        self.id_width = id_width
        self.states = states

    @classmethod
    def load(cls, folder: str | os.PathLike, *, device: torch.device | str = "cpu") -> FaceEncoder:
        """Open both files and check that they hold the right networks.

        Raises:
            LumosXError: a file is missing, damaged, or holds another network.
            MissingPackageError: onnxruntime is not installed.
        """
        folder = Path(folder).expanduser()
        missing = [name for name in (ARCFACE, EVA_CLIP) if not os.path.isfile(folder / name)]
        if missing:
            raise LumosXError(f"The face encoder {str(folder)!r} lacks {' and '.join(missing)}. {_RELEASE}")
        features = ArcFace.load(folder / ARCFACE).features
        _, sizes = open_tower(folder / EVA_CLIP)
        states = len(STATES_BEFORE), sizes.tokens, sizes.width
        return cls(folder, torch.device(device), features + sizes.out, states)

    def encode(self, crops: Sequence[Tensor]) -> FaceFeatures:
        """The features of aligned faces, of each on its own.

        Args:
            crops: (512, 512, 3) float of 0..1, RGB; see `align`.

        Raises:
            LumosXError: there is no crop, one has another size, or values that are not of an image.
        """
        if not crops:
            raise LumosXError("There is no face to encode. Give one aligned crop or more.")
        for number, crop in enumerate(crops, 1):
            check_crop(crop, f"Face {number}")
        identity = ArcFace.load(self.folder / ARCFACE).encode(crops)
        states, pooled = EvaClip.load(self.folder / EVA_CLIP, device=self.device).encode(crops)
        if not all_finite(states) or not all_finite(pooled):
            raise LumosXError(
                f"{self.folder / EVA_CLIP} gives values that are not numbers (NaN or infinite). Download it again."
            )
        return FaceFeatures(torch.cat([identity, pooled], dim=-1), states)


def check_crop(crop: Tensor, name: str) -> None:
    """Refuse what is not an aligned crop.

    Args:
        name: what the message calls it.

    Raises:
        LumosXError: see `FaceEncoder.encode`.
    """
    if tuple(crop.shape) != (CROP, CROP, 3):
        raise LumosXError(
            f"{name} has shape {tuple(crop.shape)}, expected an aligned crop of shape ({CROP}, {CROP}, 3). Align it "
            f"with its landmarks, or fit it to that size."
        )
    check_values(crop, name, "Make it again.")
