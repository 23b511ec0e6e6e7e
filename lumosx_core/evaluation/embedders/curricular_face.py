"""CurricularFace (Huang et al., 2020, arXiv:2004.00288) on IR-101, for CurSim: the network of TFace's weight files.

A batch of crops is (n, c, h, w): n crops, c channels, h x w pixels.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path

import torch
from torch import Tensor, nn

from ...errors import LumosXError
from ...files.read_weights import open_tensors
from ..networks import NetworkNote
from .pixels import BATCH, normalised, stretched, unit
from .released import CURRICULAR_FACE, weights_note

SIDE = 112  # pixels of a crop
CURRICULAR_FACE_SOURCE = "Give glint360k_curricular_face_r101_backbone.bin, as OpenS2V and ConsisID use it."
_HALF = (0.5, 0.5, 0.5)


class _Unit(nn.Module):
    """A residual unit: normalise, convolve, convolve with a stride, and add the input."""

    def __init__(self, inputs: int, outputs: int, stride: int):
        super().__init__()
        self.res_layer = nn.Sequential(
            nn.BatchNorm2d(inputs),
            nn.Conv2d(inputs, outputs, 3, padding=1, bias=False),
            nn.BatchNorm2d(outputs),
            nn.PReLU(outputs),
            nn.Conv2d(outputs, outputs, 3, stride=stride, padding=1, bias=False),
            nn.BatchNorm2d(outputs),
        )
        # Where the width stays, a unit with a stride passes every second pixel on as it is.
        self.shortcut_layer: nn.Module = nn.MaxPool2d(1, stride)
        if inputs != outputs:
            self.shortcut_layer = nn.Sequential(
                nn.Conv2d(inputs, outputs, 1, stride=stride, bias=False), nn.BatchNorm2d(outputs)
            )

    def forward(self, x: Tensor) -> Tensor:
        return self.res_layer(x) + self.shortcut_layer(x)


class ImprovedResidualNetwork(nn.Module):
    """IR-n of CurricularFace: a stem, units of growing width, and a vector of the last map.

    Args:
        widths: channels of the stem, then of each unit; the first unit and each that widens halves the map.
        features: length of the vector.
    """

    def __init__(self, widths: Sequence[int], features: int):
        super().__init__()
        self.input_layer = nn.Sequential(
            nn.Conv2d(3, widths[0], 3, padding=1, bias=False), nn.BatchNorm2d(widths[0]), nn.PReLU(widths[0])
        )
        units, side = [], SIDE
        for number, (inputs, outputs) in enumerate(pairwise(widths)):
            stride = 2 if number == 0 or inputs != outputs else 1
            side = -(-side // stride)
            units.append(_Unit(inputs, outputs, stride))
        self.body = nn.Sequential(*units)
        self.features = features
        self.output_layer = nn.Sequential(
            nn.BatchNorm2d(widths[-1]),
            nn.Identity(),  # dropout while it was trained
            nn.Flatten(),
            nn.Linear(widths[-1] * side * side, features),
            nn.BatchNorm1d(features, affine=False),
        )

    def forward(self, crops: Tensor) -> Tensor:
        """(n, 3, 112, 112) of -1..1 -> (n, features)"""
        return self.output_layer(self.body(self.input_layer(crops)))


class CurricularFace:
    """A face embedder.

    Args:
        network: with its weights.
        note: for reports.
    """

    def __init__(self, network: ImprovedResidualNetwork, note: NetworkNote):
        self.network = network
        self.note = note

    @classmethod
    def load(cls, path: str | os.PathLike, *, device: str | torch.device | None = None) -> CurricularFace:
        """Open a weight file of TFace's naming; no code in it is run.

        Raises:
            LumosXError: no such file, another network, or a damaged one.
        """
        path = Path(path).expanduser()
        if not os.path.isfile(path):
            raise LumosXError(f"There is no file {str(path)!r} with CurricularFace. {CURRICULAR_FACE_SOURCE}")
        stored = open_tensors(path)
        network = _network_of({name: tuple(tensor.shape) for name, tensor in stored.items()}, path)
        wanted = network.state_dict()
        # Counters of training steps are of no use here, and some files leave them out.
        names = [name for name in wanted if not name.endswith("num_batches_tracked")]
        lacking = sorted(name for name in names if name not in stored or stored[name].shape != wanted[name].shape)
        if lacking:
            raise LumosXError(
                f"{path} is another network than IR-101, or damaged: {lacking[0]!r} is missing or has another size. "
                f"{CURRICULAR_FACE_SOURCE}"
            )
        network.load_state_dict({name: stored[name].load() for name in names}, strict=False)
        network = network.to(device=device, dtype=torch.float32).eval().requires_grad_(False)
        depth = 2 * len(network.body) + 3
        return cls(network, weights_note(f"CurricularFace IR-{depth}", path, CURRICULAR_FACE))

    @torch.no_grad()
    def embed(self, images: Sequence[Tensor]) -> Tensor:
        """(H, W, 3) crops of faces, RGB of 0..1 -> (N, d) of length 1; each is brought to 112 x 112 as a whole.

        Raises:
            LumosXError: the network gives values that are not numbers.
        """
        device = next(self.network.parameters()).device
        found = [torch.zeros(0, self.network.features)]
        for start in range(0, len(images), BATCH):
            crops = torch.cat([stretched(image[None], SIDE) for image in images[start : start + BATCH]])
            found.append(unit(self.network(normalised(crops, _HALF, _HALF).to(device))))
        return torch.cat(found)


def _network_of(shapes: Mapping[str, tuple[int, ...]], path: Path) -> ImprovedResidualNetwork:
    """The network that weights of these names and sizes belong to."""
    stem, linear = shapes.get("input_layer.0.weight", ()), shapes.get("output_layer.3.weight", ())
    units = 0
    while f"body.{units}.res_layer.1.weight" in shapes:
        units += 1
    first = [shapes[f"body.{number}.res_layer.1.weight"] for number in range(units)]
    if len(stem) != 4 or len(linear) != 2 or not units or any(len(shape) != 4 for shape in first):
        raise LumosXError(
            f"{path} is not CurricularFace: it has no input_layer, body and output_layer of its kind (found "
            f"{', '.join(sorted(shapes)[:3])}). {CURRICULAR_FACE_SOURCE}"
        )
    widths = [stem[0], *(shape[0] for shape in first)]
    if widths != sorted(widths) or max(widths) > 4096 or units > 400 or linear[0] > 4096:
        raise LumosXError(f"{path} is damaged: its layers have widths {widths[:8]}. {CURRICULAR_FACE_SOURCE}")
    return ImprovedResidualNetwork(widths, linear[0])
