"""dlib's face recognition network, a residual network of 29 convolutions (King, 2017), in face-api's 8-bit weights.

It is small (6 MB) and free (MIT). Its vectors are measured from the mean of many faces, see dlib_centre.py, so that
cosines of strangers are about 0; still, do not compare them with those of ArcFace. Its scale layers hold what dlib's
affine layers do: a factor and a summand for each channel.

A batch of crops is (n, c, h, w): n crops, c channels, h x w pixels.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

from ...auto_scene.cutouts.regions import Box
from ...errors import LumosXError
from ..networks import NetworkNote
from .dlib_centre import CENTRE
from .face_api_weights import read_face_api
from .pixels import BATCH, unit
from .released import weights_note

SIDE = 150  # pixels of a crop
FEATURES = 128
DLIB_SOURCE = "Give face_recognition_model-weights_manifest.json of @vladmandic/face-api, with its .bin file beside it."
# Where faces are in detectors' boxes with room above for the hair, as medians of 44 faces.
_HIGH = 1.15  # height over width of a crop: above it, it is such a box
_SIDE_OF_BOX, _MIDDLE_OF_BOX = 0.9, 0.62
_MEAN = (122.782, 117.001, 104.298)  # of red, green and blue in 0..255
# Of each stage: its channels, and whether its first unit halves the map, with how many units follow.
_STAGES = (("conv32", 32, False, 3), ("conv64", 64, True, 3), ("conv128", 128, True, 2), ("conv256", 256, True, 2))
_LAST = "conv256_down_out"


class DlibFace:
    """A face embedder.

    Args:
        weights: name -> tensor as face-api names them.
        note: for reports.
    """

    def __init__(self, weights: Mapping[str, Tensor], note: NetworkNote):
        self.weights = weights
        self.note = note

    @classmethod
    def load(cls, path: str | os.PathLike) -> DlibFace:
        """Open face-api's weights.

        Args:
            path: the manifest, the file of weights beside it, or their folder.

        Raises:
            LumosXError: no such file, another network, or a damaged one.
        """
        manifest = _manifest_at(Path(path).expanduser())
        weights = read_face_api(manifest)
        for name, shape in _shapes().items():
            if name not in weights or weights[name].shape != shape:
                raise LumosXError(
                    f"{manifest} is another network than dlib's for faces: {name!r} is missing or has another size. "
                    f"{DLIB_SOURCE}"
                )
        files = sorted(manifest.parent.glob("face_recognition_model*.bin"))
        name = "dlib's face ResNet"
        note = weights_note(name, files[0] if len(files) == 1 else manifest, None)
        return cls({name: weights[name] for name in _shapes()}, note)

    @torch.no_grad()
    def embed(self, images: Sequence[Tensor]) -> Tensor:
        """(H, W, 3) crops of faces, RGB of 0..1 -> (N, 128) of length 1.

        Crops show a face with a margin, as `face_square` cuts them, or are detectors' boxes; of a wide one the longer
        side is kept, and its edge is repeated above and below.
        """
        found = [torch.zeros(0, FEATURES)]
        for start in range(0, len(images), BATCH):
            crops = torch.cat([_squared(image) for image in images[start : start + BATCH]])
            # A face and its mirror image are one person: their mean is steadier than either.
            both = unit(self._features(crops)) + unit(self._features(crops.flip(-1)))
            found.append(unit(unit(both) - CENTRE))
        return torch.cat(found)

    def _features(self, crops: Tensor) -> Tensor:
        """(n, 3, 150, 150) of 0..255 -> (n, 128)"""
        x = (crops - torch.tensor(_MEAN)[:, None, None]) / 256
        x = self._convolved(x, "conv32_down", stride=2).relu()
        x = F.max_pool2d(x, 3, stride=2)
        for name, _, halves, units in _STAGES:
            if halves:
                x = self._unit(x, f"{name}_down", stride=2)
            for number in range(1, units + 1):
                x = self._unit(x, f"{name}_{number}", stride=1)
        x = self._unit(x, _LAST, stride=2)
        return x.mean(dim=(2, 3)) @ self.weights["fc"]

    def _unit(self, x: Tensor, name: str, stride: int) -> Tensor:
        """A residual unit. One that halves the map adds the mean of 2 x 2 pixels, with zeros for what is new."""
        y = self._convolved(x, f"{name}/conv1", stride=stride).relu()
        y = self._convolved(y, f"{name}/conv2", stride=1)
        if stride == 2:
            x = F.avg_pool2d(x, 2, stride=2)
        _, c, h, w = (max(one, other) for one, other in zip(x.shape, y.shape, strict=True))
        x, y = (F.pad(each, (0, w - each.shape[3], 0, h - each.shape[2], 0, c - each.shape[1])) for each in (x, y))
        return (x + y).relu()

    def _convolved(self, x: Tensor, name: str, stride: int) -> Tensor:
        """A convolution and its scale layer; with a stride only where all of the filter is inside the map."""
        filters = self.weights[f"{name}/conv/filters"].permute(3, 2, 0, 1)  # (rows, columns, in, out) -> torch's order
        bias = self.weights[f"{name}/conv/bias"]
        y = F.conv2d(x, filters, bias, stride=stride, padding=0 if stride == 2 else filters.shape[-1] // 2)
        scale, shift = (self.weights[f"{name}/scale/{kind}"][:, None, None] for kind in ("weights", "biases"))
        return y * scale + shift


def face_square(box: Box, landmarks: Sequence[tuple[float, float]] | None) -> Box:
    """The square around a face that dlib's network was trained on.

    With landmarks its side is the distance from the eyes to the mouth over 0.45, and their middle is at 0.43 of its
    height, as face-api cuts it; without them it is the detector's box, widened to a square of its height.

    Args:
        box: as a detector draws it, from the hair line to the chin.
        landmarks: (x, y) of eye, eye, nose, and both corners of the mouth.
    """
    if landmarks is not None and len(landmarks) == 5:
        eye, other, _, corner, opposite = (torch.tensor(point, dtype=torch.float64) for point in landmarks)
        mouth = (corner + opposite) / 2
        side = float((torch.dist(mouth, eye) + torch.dist(mouth, other)) / 2 / 0.45)
        x, y = ((eye + other + mouth) / 3).tolist()
        if side >= 1:
            return Box(x - side / 2, y - 0.43 * side, x + side / 2, y + 0.57 * side)
    x, y = box.centre
    side = max(box.width, box.height)
    return Box(x - side / 2, y - side / 2, x + side / 2, y + side / 2)


def _squared(image: Tensor) -> Tensor:
    """(H, W, 3) of 0..1 -> (1, 3, 150, 150) of 0..255

    A crop that is clearly higher than wide is a detector's box: of it about the part is taken that `face_square` takes,
    as the network tells people apart by it nearly as well as with landmarks, and by the whole box badly.
    """
    height, width = image.shape[:2]
    side, middle = max(height, width), height / 2
    if height > _HIGH * width:
        side, middle = max(1, round(_SIDE_OF_BOX * (height * width) ** 0.5)), _MIDDLE_OF_BOX * height
    left = (width - side) // 2
    top = round(min(max(middle - side / 2, 0), height - side)) if side <= height else (height - side) // 2
    # Beyond its edges a crop repeats them.
    rows = torch.arange(top, top + side).clamp(0, height - 1)
    columns = torch.arange(left, left + side).clamp(0, width - 1)
    square = image.float()[rows][:, columns].permute(2, 0, 1)[None]
    small = F.interpolate(square, size=(SIDE, SIDE), mode="bilinear", antialias=True)
    return small.clamp(0, 1) * 255


def _manifest_at(path: Path) -> Path:
    folder = path if os.path.isdir(path) else path.parent
    found = sorted(folder.glob("face_recognition_model*manifest.json")) if os.path.exists(path) else []
    if os.path.isfile(path) and path.suffix == ".json":
        found = [path]
    if len(found) != 1:
        raise LumosXError(f"There is no manifest of dlib's face network at {str(path)!r}. {DLIB_SOURCE}")
    return found[0]


def _shapes() -> dict[str, torch.Size]:
    """Name -> size of each weight."""
    shapes: dict[str, tuple[int, ...]] = {}

    def convolution(name: str, side: int, inputs: int, outputs: int) -> None:
        shapes[f"{name}/conv/filters"] = (side, side, inputs, outputs)
        for part in ("conv/bias", "scale/weights", "scale/biases"):
            shapes[f"{name}/{part}"] = (outputs,)

    def unit_of(name: str, inputs: int, outputs: int) -> None:
        convolution(f"{name}/conv1", 3, inputs, outputs)
        convolution(f"{name}/conv2", 3, outputs, outputs)

    convolution("conv32_down", 7, 3, 32)
    before = 32
    for name, channels, halves, units in _STAGES:
        if halves:
            unit_of(f"{name}_down", before, channels)
        for number in range(1, units + 1):
            unit_of(f"{name}_{number}", channels, channels)
        before = channels
    unit_of(_LAST, before, before)
    shapes["fc"] = (before, FEATURES)
    return {name: torch.Size(shape) for name, shape in shapes.items()}
