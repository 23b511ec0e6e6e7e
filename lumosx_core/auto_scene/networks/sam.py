"""Segmentation of boxes with Segment Anything (Kirillov et al., 2023) or SAM 2 (Ravi et al., 2024)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..cutouts.regions import Box, MaskQuality, Region
from .sam_networks import SamNetwork, open_network

_MEAN, _DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of all released SAMs, for pixels of 0..1
_BOXES = 16  # in one pass of the mask decoder; what it needs grows with them
_WOBBLE = 1.0  # of the logits: how far the threshold is moved to see how stable a mask is, as SAM's authors do


def load_segmenter(
    path: str | Path,
    *,
    device: str | torch.device | None = None,
    dtype: torch.dtype | None = None,
    mask_threshold: float = 0.0,
) -> SamSegmenter:
    """Open a SAM of any size; nothing is downloaded and no code in it is run.

    Args:
        path: a checkpoint of segment-anything or MobileSAM (.pth, .pt or .safetensors), or a folder in the
            transformers format whose model is of the type sam or sam2.
        device: None for the CPU.
        dtype: of the weights; None for float32. In a checkpoint only the image encoder's, which is nearly all of it.
        mask_threshold: of the logits; above it a pixel belongs to the region.

    Raises:
        LumosXError: no such file, another network, or a damaged one.
        MissingPackageError: segment-anything for a checkpoint, timm too for MobileSAM's, or transformers for a folder
            is not installed.
    """
    network = open_network(Path(path).expanduser())
    network.model.eval().requires_grad_(False)
    network.move(device, dtype or torch.float32)
    return SamSegmenter(network, mask_threshold)


class SamSegmenter:
    """A segmenter.

    Args:
        network: as `open_network` opens it.
        mask_threshold: of the logits; above it a pixel belongs to the region.
    """

    def __init__(self, network: SamNetwork, mask_threshold: float = 0.0):
        self.network = network
        self.mask_threshold = mask_threshold

    @property
    def model(self) -> nn.Module:
        """The whole network. It may be moved between devices; where it is, is looked at on each call."""
        return self.network.model

    @property
    def side(self) -> int:
        """Pixels of the square that a photo is brought to."""
        return self.network.side

    @torch.no_grad()
    def look_at(self, image: Tensor) -> Callable[[Sequence[Box]], list[Region]]:
        """Run the image encoder on an (H, W, 3) photo of 0..1; boxes then cost only the small mask decoder.

        A region has a hard edge (bool) and is empty where nothing was found. Its rectangle is the box with its
        leeway, brought within the photo. Its quality is the network's own estimate, and the stability of the mask.
        """
        height, width = image.shape[:2]
        side = self.network.side
        h, w = (side, side) if self.network.stretches else _longest_side(height, width, side)
        small = F.interpolate(image.permute(2, 0, 1)[None], size=(h, w), mode="bilinear", antialias=True)
        mean, deviation = (torch.tensor(values)[:, None, None] for values in (_MEAN, _DEVIATION))
        # Padded after normalising, as in training: the padding is of the mean colour.
        pixels = F.pad((small - mean) / deviation, (0, side - w, 0, side - h))
        seen = self.network.encode(pixels.to(next(self.model.parameters())))

        @torch.no_grad()
        def regions_in(boxes: Sequence[Box]) -> list[Region]:
            # The network fills its box: one that is 4 % too tight on each side costs a tenth of the mask.
            boxes = [box.within(height, width).with_leeway().within(height, width) for box in boxes]
            found = []
            for i in range(0, len(boxes), _BOXES):
                some = boxes[i : i + _BOXES]
                scaled = [box.scaled(w / width, h / height) for box in some]
                corners = torch.tensor([(box.left, box.top, box.right, box.bottom) for box in scaled])
                corners = corners.to(next(self.model.parameters()).device)
                logits, estimates = self.network.decode(seen, corners)
                logits = logits.float()
                if not self.network.stretches:  # in the network's own pixels the padding is cut off
                    logits = F.interpolate(logits[:, None], size=(side, side), mode="bilinear")[:, 0, :h, :w]
                stable = _stability(logits, self.mask_threshold)
                for box, each, *quality in zip(some, logits.cpu(), estimates.tolist(), stable.tolist(), strict=True):
                    inside = _in_box(each, box, height, width) > self.mask_threshold
                    found.append(Region(int(box.left), int(box.top), inside, MaskQuality(*quality)))
            return found

        return regions_in


def _stability(logits: Tensor, threshold: float) -> Tensor:
    """(N,) intersection over union of each mask at a little higher and at a little lower threshold; 0 for nothing."""
    small, large = ((logits > threshold + step).sum(dim=(1, 2)) for step in (_WOBBLE, -_WOBBLE))
    return small / large.clamp(min=1)


def _in_box(logits: Tensor, box: Box, height: int, width: int) -> Tensor:
    """Logits of a whole photo, much smaller than it, -> those at the centres of the pixels in a box."""
    rows = (torch.arange(box.top, box.bottom) + 0.5) * (logits.shape[0] / height)
    columns = (torch.arange(box.left, box.right) + 0.5) * (logits.shape[1] / width)
    return _interpolated(_interpolated(logits, columns, 1), rows, 0)


def _interpolated(values: Tensor, at: Tensor, dim: int) -> Tensor:
    """Linearly, at positions where entry i is at i + 0.5; beyond the ends their values."""
    at = (at - 0.5).clamp(0, values.shape[dim] - 1)
    before = at.long()
    after = (before + 1).clamp(max=values.shape[dim] - 1)
    share = (at - before).unsqueeze(1 - dim)
    return torch.lerp(values.index_select(dim, before), values.index_select(dim, after), share)


def _longest_side(height: int, width: int, side: int) -> tuple[int, int]:
    scale = side / max(height, width)
    # Rounded half up, as in training; a hair-thin image keeps a pixel.
    return max(1, int(height * scale + 0.5)), max(1, int(width * scale + 0.5))
