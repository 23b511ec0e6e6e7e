"""The face detector of the release: RetinaFace-R50, detection_Resnet50_Final.pth of its folder face_encoder."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import torch
from torch import Tensor

from ....errors import LumosXError
from ....files.formats.legacy_torch_file import is_legacy_torch, open_legacy_torch
from ....files.read_weights import open_tensors
from ....files.safetensors_file import all_finite
from ....files.stored_tensor import StoredTensor
from .align import whole_255ths
from .retinaface_network import RetinaFaceNetwork, anchors

RETINAFACE = "detection_Resnet50_Final.pth"
"""File of the folder `face_encoder` in the release."""

THRESHOLD = 0.97
"""Score, 0..1, from which the release takes something for a face."""

_OVERLAP = 0.4  # intersection over union, above which two boxes are of one face
_MOST = 1000  # boxes that are compared with each other
_MEAN = (104.0, 117.0, 123.0)  # blue, green, red of the images it was trained on
_CENTRE_SCALE, _SIZE_SCALE = 0.1, 0.2  # of offsets, to sides of the anchor and to logarithms of the size
_EXPECTED = f"Expected: {RETINAFACE}, as it was released with facexlib."


@dataclass(frozen=True)
class Rectangle:
    """A box in pixels of a photo; right and bottom are exclusive."""

    left: float
    top: float
    right: float
    bottom: float


@dataclass(frozen=True)
class DetectedFace:
    """A face in a photo.

    Args:
        box: it may reach beyond the photo.
        score: 0..1.
        landmarks: (x, y) of eye, eye, nose, corner and corner of the mouth, left before right in the photo.
    """

    box: Rectangle
    score: float
    landmarks: tuple[tuple[float, float], ...]


class RetinaFace:
    """A face finder.

    Args:
        network: with its weights.
        threshold: faces with a lower score are not reported.
    """

    def __init__(self, network: RetinaFaceNetwork, *, threshold: float = THRESHOLD):
        self.network = network.eval().requires_grad_(False)
        self.threshold = threshold

    @classmethod
    def load(
        cls, path: str | os.PathLike, *, device: torch.device | str = "cpu", threshold: float = THRESHOLD
    ) -> RetinaFace:
        """Read the detector.

        Args:
            path: the file, or the released folder face_encoder with it.

        Raises:
            LumosXError: the file is missing, damaged, or holds another network.
        """
        path = Path(path).expanduser()
        path = path / RETINAFACE if os.path.isdir(path) else path
        tensors = _open(path)
        try:
            width, pyramid = tensors["body.conv1.weight"].shape[0], tensors["fpn.output1.0.weight"].shape[0]
        except (KeyError, IndexError) as error:
            raise LumosXError(f"{path} is not RetinaFace with ResNet-50. {_EXPECTED}") from error
        with torch.device("meta"):
            network = RetinaFaceNetwork(width, pyramid)
        state = {}
        for name, tensor in network.state_dict().items():
            if name.endswith("num_batches_tracked"):
                state[name] = torch.zeros((), dtype=torch.long, device=device)
            elif name not in tensors or tensors[name].shape != tensor.shape:
                found = tuple(tensors[name].shape) if name in tensors else "nothing"
                raise LumosXError(
                    f"{path} is not RetinaFace with ResNet-50: {name} is {found}, expected {tuple(tensor.shape)}. "
                    f"{_EXPECTED}"
                )
            else:
                values = tensors[name].load()
                if not all_finite(values):
                    raise LumosXError(f"{path} is damaged: {name} has values that are not finite. Download it again.")
                state[name] = values.to(device=device, dtype=torch.float32, copy=True)
        network.load_state_dict(state, assign=True)
        return cls(network, threshold=threshold)

    @torch.no_grad()
    def find(self, photo: Tensor) -> list[DetectedFace]:
        """All faces in an (H, W, 3) photo of 0..1, the surest first.

        The photo is seen in its own size: a face of 10 to 600 pixels is found best.
        """
        height, width = photo.shape[:2]
        device = self.network.body.conv1.weight.device
        image = (whole_255ths(photo) * 255).round().flip(-1) - torch.tensor(_MEAN)
        scores, boxes, landmarks = (
            each[0].float().cpu() for each in self.network(image.permute(2, 0, 1)[None].to(device))
        )
        # The best first. Of more than some hundred, the rest are other boxes of the same faces.
        order = scores.argsort(descending=True)[:_MOST]
        order = order[scores[order] > self.threshold]
        middle, side = anchors(height, width)[order].split([2, 1], dim=1)
        size = side * (_SIZE_SCALE * boxes[order, 2:]).exp()
        corner = middle + _CENTRE_SCALE * side * boxes[order, :2] - size / 2
        found = torch.cat([corner, corner + size], dim=1)
        points = middle[:, None] + _CENTRE_SCALE * side[:, None] * landmarks[order].unflatten(1, (5, 2))
        return [
            DetectedFace(
                Rectangle(*found[i].tolist()), float(scores[order[i]]), tuple((x, y) for x, y in points[i].tolist())
            )
            for i in _apart(found)
        ]


def _open(path: Path) -> dict[str, StoredTensor]:
    """The network's tensors under its own names; training in parallel put `module.` in front of them."""
    # It was released before torch had its present format.
    tensors = open_legacy_torch(path) if is_legacy_torch(path) else open_tensors(path)
    return {name.removeprefix("module."): tensor for name, tensor in tensors.items()}


def _apart(boxes: Tensor) -> list[int]:
    """Indices of (N, 4) boxes, best first, without those that are mostly one with a better one."""
    areas = (boxes[:, 2:] - boxes[:, :2]).clamp(min=0).prod(dim=1)
    kept: list[int] = []
    left = torch.ones(len(boxes), dtype=torch.bool)
    for i in range(len(boxes)):
        if not left[i]:
            continue
        kept.append(i)
        common = torch.minimum(boxes[i, 2:], boxes[:, 2:]) - torch.maximum(boxes[i, :2], boxes[:, :2])
        common_area = common.clamp(min=0).prod(dim=1)
        left &= common_area <= _OVERLAP * (areas[i] + areas - common_area)
    return kept


def released_detector(folder: str | os.PathLike) -> Callable[[Tensor], list[DetectedFace]] | None:
    """The detector that the release finds faces with, loaded when the first photo comes; None where its file is not.

    Args:
        folder: laid out as the release's face_encoder.
    """
    if not os.path.isfile(Path(folder) / RETINAFACE):
        return None
    load = cache(lambda: RetinaFace.load(folder))
    return lambda photo: load().find(photo)
