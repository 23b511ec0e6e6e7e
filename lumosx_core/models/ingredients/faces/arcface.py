"""Who somebody is: the features of a face by ArcFace, which onnxruntime runs."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from ....errors import LumosXError, MissingPackageError, ran_out_of_memory, shown

SIDE = 112  # pixels of the square images that the network sees
_EXPECTED = (
    "Expected: glintr100.onnx of insightface's antelopev2, which takes images of 3 x 112 x 112 and gives one vector."
)
_LONGEST = 4096  # features: what gives more is not a recogniser


class ArcFace:
    """The recogniser glintr100.

    Args:
        session: of onnxruntime, checked by `load`.
        features: length of the vector, 512 in the release.
    """

    def __init__(self, session: Any, features: int):
        self._session = session
        self.features = features

    @classmethod
    def load(cls, path: str | os.PathLike) -> ArcFace:
        """Open the network, on the CPU: a face takes a fraction of a second there, and each GPU rounds differently.

        Raises:
            LumosXError: there is no such file, it is damaged, or it holds another network.
            MissingPackageError: onnxruntime is not installed.
        """
        try:
            import onnxruntime
        except ImportError as error:
            raise MissingPackageError("onnxruntime", "Reading faces (glintr100.onnx)", error) from error
        path = Path(path).expanduser()
        if not os.path.isfile(path):
            raise LumosXError(f"There is no face recogniser at {str(path)!r}. Check the path. {_EXPECTED}")
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 4  # what is wrong is said below
        try:
            # Without the fallback, which would open the file again and print why.
            session = onnxruntime.InferenceSession(
                str(path), options, providers=["CPUExecutionProvider"], enable_fallback=0
            )
        except Exception as error:  # onnxruntime has a dozen types of its own, all directly below Exception
            if ran_out_of_memory(error):
                raise
            raise LumosXError(
                f"{path} cannot be opened: it is damaged, or not an onnx file ({shown(error)}). Download it again. "
                f"{_EXPECTED}"
            ) from error
        inputs, outputs = session.get_inputs(), session.get_outputs()
        if len(inputs) != 1 or len(outputs) != 1 or not _takes_faces(inputs[0]):
            raise LumosXError(
                f"{path} is another network: it takes {_list(inputs)} and gives {_list(outputs)}. {_EXPECTED}"
            )
        found = cls(session, 0)
        try:
            # What the file says of its output need not be true, or there at all; and a damaged network that opens may
            # still not run.
            found.features = found._vector(np.zeros((1, 3, SIDE, SIDE), np.float32)).shape[0]
        except LumosXError as error:
            raise LumosXError(f"{path} cannot be used: {error} {_EXPECTED}") from error
        return found

    @torch.no_grad()
    def encode(self, crops: Sequence[Tensor]) -> Tensor:
        """The features of aligned faces, not normalised: their length says how clear a face is.

        As the release does, a crop is resized to 112 without a filter, in whole 255ths.

        Args:
            crops: (H, W, 3) float of 0..1, RGB, square.

        Returns: (N, features) float32.

        Raises:
            LumosXError: the network fails, or gives values that are not numbers.
        """
        return torch.stack([torch.from_numpy(self._vector(_prepared(crop))) for crop in crops])

    def _vector(self, image: np.ndarray) -> np.ndarray:
        try:
            (output,) = self._session.run(None, {self._session.get_inputs()[0].name: image})
        except Exception as error:  # see `load`
            if ran_out_of_memory(error):
                raise
            raise LumosXError(f"The face recogniser does not run ({shown(error)}).") from error
        vector = np.asarray(output)
        if (
            vector.ndim != 2
            or vector.shape[0] != 1
            or not 0 < vector.shape[1] <= _LONGEST
            or vector.dtype != np.float32
        ):
            raise LumosXError(
                f"The face recogniser gives {vector.dtype} of shape {vector.shape}, expected one float32 vector."
            )
        if not np.isfinite(vector).all():
            raise LumosXError("The face recogniser gives values that are not numbers. Download it again.")
        return vector[0].copy()


def _prepared(crop: Tensor) -> np.ndarray:
    """(H, W, 3) of 0..1 -> (1, 3, 112, 112) of -1..1."""
    values = crop.detach().to("cpu", torch.float32).permute(2, 0, 1)[None] * 255
    small = F.interpolate(values, size=(SIDE, SIDE), mode="bilinear", align_corners=False, antialias=False)
    return ((small.round().clamp(0, 255) - 127.5) / 127.5).numpy()


def _takes_faces(argument: Any) -> bool:
    shape = list(argument.shape)
    images = len(shape) == 4 and shape[1:] == [3, SIDE, SIDE] and (shape[0] == 1 or not isinstance(shape[0], int))
    return images and argument.type == "tensor(float)"


def _list(arguments: Sequence[Any]) -> str:
    each = [f"{shown(argument.name, 40)} {shown(argument.shape, 80)}" for argument in arguments[:3]]
    return ", ".join(each) + (f" and {len(arguments) - 3} more" if len(arguments) > 3 else "") or "nothing"
