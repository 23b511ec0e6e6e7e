"""What a face looks like: states of the image tower of EVA02-CLIP, read from its release."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

from ....errors import LumosXError
from ....files.read_weights import open_weights
from ....files.stored_tensor import StoredTensor
from .eva_tower import EvaSizes, EvaTower, NotThisTower

STATES_BEFORE = (4, 8, 12, 16, 20)
"""Blocks whose inputs the network reads."""

# Of the images that CLIP was trained on, per channel (arXiv 2103.00020).
MEAN = (0.48145466, 0.4578275, 0.40821073)
STD = (0.26862954, 0.26130258, 0.27577711)

_EXPECTED = "Expected: EVA02_CLIP_L_336_psz14_s6B.pt, as it was released."
_PREFIX = "visual."
_WRAPPERS = {"", "module", "state_dict", "model"}  # what saving puts in front of it
_MOST_BLOCKS = 100
_MOST_SIDE = 4096  # pixels: above, the tables that depend on it would fill the memory


class EvaClip:
    """The image tower of EVA02-CLIP-L-14-336, or of another size of the same kind.

    Args:
        tower: in evaluation mode.
    """

    def __init__(self, tower: EvaTower):
        self.tower = tower.eval().requires_grad_(False)

    @classmethod
    def load(
        cls, path: str | os.PathLike, *, device: torch.device | str = "cpu", dtype: torch.dtype = torch.float32
    ) -> EvaClip:
        """Read the tower out of a checkpoint of the whole CLIP; the text tower in it stays in the file.

        Raises:
            LumosXError: the file is missing, damaged, or holds another network.
        """
        tensors, sizes = open_tower(path)
        with torch.device("meta"):
            tower = EvaTower(sizes)
        state = {name: tensors[name].load().to(device=device, dtype=dtype, copy=True) for name in tower.state_dict()}
        tower.load_state_dict(state, assign=True)
        return cls(tower)

    @torch.no_grad()
    def encode(self, crops: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """The states and the pooled output of aligned faces, one at a time.

        Args:
            crops: (H, W, 3) float of 0..1, RGB, square.

        Returns:
            (N, 5, T, D) inputs of the blocks `STATES_BEFORE`, not normed; (N, out) of length 1. Both float32 on the
            CPU.
        """
        outputs = [self.tower(self._prepared(crop), STATES_BEFORE) for crop in crops]
        states = torch.cat([each for each, _ in outputs]).float().cpu()
        pooled = torch.cat([each for _, each in outputs]).float().cpu()
        return states, F.normalize(pooled, dim=-1)

    def _prepared(self, crop: Tensor) -> Tensor:
        """(H, W, 3) of 0..1 -> (1, 3, side, side), normalised; bicubic values beyond 0..1 stay, as in the release."""
        side = self.tower.sizes.side
        image = crop.detach().to(self.tower.cls_token.device, torch.float32).permute(2, 0, 1)[None]
        image = F.interpolate(image, size=(side, side), mode="bicubic", align_corners=False, antialias=True)
        mean, std = (torch.tensor(values, device=image.device).view(1, 3, 1, 1) for values in (MEAN, STD))
        return ((image - mean) / std).to(self.tower.cls_token.dtype)


def open_tower(path: str | os.PathLike) -> tuple[dict[str, StoredTensor], EvaSizes]:
    """The tensors of the image tower, still in their file, and the sizes of the network.

    Raises:
        LumosXError: the file is missing, damaged, or holds another network.
    """
    path = Path(path).expanduser()
    try:
        tensors = open_weights(path, _tower_names)
        sizes = EvaSizes.of(tensors)
        _check(tensors, sizes)
    except NotThisTower as error:
        raise LumosXError(f"{path} is not an EVA02-CLIP: {error}. {_EXPECTED}") from error
    return tensors, sizes


def _tower_names(names: Iterable[str]) -> dict[str, str]:
    """Names in the tower -> names in the file."""
    names = list(names)
    found = {}
    for name in names:
        before, prefix, inner = name.partition(_PREFIX)
        if prefix and set(before.split(".")) <= _WRAPPERS and not _is_unused(inner):
            found[inner] = name
    if not found:
        kind = ", ".join(name[:100] for name in sorted(names)[:3]) or "no tensors"
        raise NotThisTower(f"it has no tensors {_PREFIX}... (found {kind})")
    return found


def _is_unused(name: str) -> bool:
    """Tables of rotations, which are computed here, and the token that hid patches in pretraining."""
    return name.startswith("rope.") or ".rope." in name or name == "mask_token"


def _check(tensors: dict[str, StoredTensor], sizes: EvaSizes) -> None:
    """Refuse a tower that the network cannot read, or that is not complete."""
    if not STATES_BEFORE[-1] < sizes.blocks <= _MOST_BLOCKS:
        raise NotThisTower(f"it has {sizes.blocks} blocks, expected 24")
    if sizes.side > _MOST_SIDE:
        raise NotThisTower(f"it reads images of {sizes.side} pixels, expected 336")
    with torch.device("meta"):
        expected = EvaTower(sizes).state_dict()
    for name, tensor in expected.items():
        if name not in tensors:
            raise NotThisTower(f"{_PREFIX}{name} is missing")
        if tensors[name].shape != tensor.shape:
            raise NotThisTower(
                f"{_PREFIX}{name} has shape {tuple(tensors[name].shape)}, expected {tuple(tensor.shape)}"
            )
    if unknown := sorted(tensors.keys() - expected.keys()):
        raise NotThisTower(f"it has {len(unknown)} tensors that it should not have, first {_PREFIX}{unknown[0][:100]}")
