"""Optical flow with RAFT (Teed and Deng, 2020, arXiv:2003.12039), as torchvision builds it, for the dynamic degree."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from ...errors import LumosXError, MissingPackageError
from ...files.read_weights import open_tensors
from ..networks import NetworkNote
from .released import RAFT, weights_note

RAFT_SOURCE = (
    "Give torchvision's file raft_large_C_T_V1-22a6c225.pth, which holds the weights of raft-things.pth; it is not "
    "downloaded unasked."
)
ITERATIONS = 20  # of the released benchmark
_MULTIPLE = 8  # pixels: each side of what the network sees
_SMALLEST = 128  # pixels: its pyramid of correlations has four levels


class RaftFlow:
    """An optical flow.

    Args:
        model: RAFT as torchvision builds it.
        note: for reports.
        iterations: refinements of each flow.
    """

    def __init__(self, model: Any, note: NetworkNote, *, iterations: int = ITERATIONS):
        self.model = model  # torchvision's own interface has no types
        self.note = note
        self.iterations = iterations

    @classmethod
    def load(cls, path: str | os.PathLike, *, device: str | torch.device | None = None) -> RaftFlow:
        """Open torchvision's file of raft_large.

        Raises:
            LumosXError: no such file, another network, or a damaged one.
            MissingPackageError: torchvision is not installed.
        """
        try:
            from torchvision.models.optical_flow import raft_large
        except ImportError as error:
            raise MissingPackageError("torchvision", "Measuring motion with RAFT", error) from error
        path = Path(path).expanduser()
        if not os.path.isfile(path):
            raise LumosXError(f"There is no file {str(path)!r} with the weights of RAFT. {RAFT_SOURCE}")
        stored = open_tensors(path)
        model = raft_large(weights=None, progress=False)
        wanted = model.state_dict()
        lacking = sorted(name for name in wanted if name not in stored or stored[name].shape != wanted[name].shape)
        if lacking:
            raise LumosXError(
                f"{path} is another network than torchvision's raft_large: {lacking[0]!r} is missing or has another "
                f"size. {RAFT_SOURCE}"
            )
        model.load_state_dict({name: stored[name].load() for name in wanted})
        model = model.to(device=device, dtype=torch.float32).eval().requires_grad_(False)
        return cls(model, weights_note("RAFT-things", path, RAFT))

    @torch.no_grad()
    def flow(self, first: Tensor, second: Tensor) -> Tensor:
        """(H, W, 3) of 0..1 twice -> (2, H, W): how many pixels to the right and down each pixel moves.

        Raises:
            LumosXError: the frames have different sizes.
        """
        if first.shape != second.shape or first.ndim != 3:
            raise LumosXError(
                f"Two frames have shapes {tuple(first.shape)} and {tuple(second.shape)}, expected one (height, width, "
                f"3) for both. Give frames of one video."
            )
        height, width = first.shape[:2]
        device = next(self.model.parameters()).device
        pixels = torch.stack([first, second]).float().permute(0, 3, 1, 2) * 2 - 1
        # The edge is repeated on all sides, as the released code pads: the middle stays in the middle.
        spare = [max(_SMALLEST, -(-size // _MULTIPLE) * _MULTIPLE) - size for size in (width, height)]
        (left, right), (top, bottom) = ((each // 2, each - each // 2) for each in spare)
        padded = F.pad(pixels, (left, right, top, bottom), mode="replicate").to(device)
        flow = self.model(padded[:1], padded[1:], num_flow_updates=self.iterations)[-1][0].float().cpu()
        return flow[:, top : top + height, left : left + width]
