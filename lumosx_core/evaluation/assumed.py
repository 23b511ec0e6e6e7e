"""What a video is compared with where there is no ground truth, such as in a node."""

from __future__ import annotations

from .measured_video import Networks
from .misbinding.calibration import UNCALIBRATED, Calibration

MATCHED = 0.6
"""The cosine of a person, or a thing, to its reference image in a real video, where it was not measured."""

_MEASURED = {"dlib's face ResNet": 0.82}
"""Of face embedders: the median cosine of a face to the same face turned by 12 degrees, 17 people. Blurred, mirrored,
compressed or small, it is higher."""


def assumed_calibrations(networks: Networks) -> dict[str, Calibration]:
    """A calibration of each dimension of the misbinding matrix.

    It stands for the diagonal of the ground truth; what is beside it comes from the reference images.
    """
    matched = MATCHED if networks.arc is None else _MEASURED.get(networks.arc.note.name, MATCHED)
    return {
        "face": Calibration(UNCALIBRATED, matched),
        "person": Calibration(UNCALIBRATED, MATCHED),
        "attributes": Calibration(UNCALIBRATED, MATCHED),
    }
