"""Face alignment: a photo is turned, scaled and moved so that five landmarks are where they always are in a crop."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from ....errors import LumosXError, shown
from ....files.safetensors_file import all_finite

CROP = 512
"""Pixels of a crop's side."""

TEMPLATE = (
    (192.98138, 239.94708),
    (318.90277, 240.1936),
    (256.63416, 314.01935),
    (201.26117, 371.41043),
    (313.08905, 371.15118),
)
"""Pixels (x, y) of eye, eye, nose, corner and corner of the mouth in a crop, left before right as one sees them."""

BORDER = (132, 133, 135)
"""RGB in 0..255 of what a crop shows beyond the edge of its photo."""

# The release estimates by least median of squares, whose trials are random pairs of landmarks from a generator that
# always starts alike. These are the pairs that come up.
_TRIALS = ((0, 4), (0, 3), (1, 2), (0, 1), (1, 4), (1, 3))
_OUTLIER = 2.5 * 1.4826 * (1 + 5 / 3)  # standard deviations, from the median residual of five points less two
_LEAST_SPREAD = 1.0  # pixels, root mean square around their middle: of landmarks that are not all one point
_LEAST_LIKENESS = 0.5  # to the template, of 0..1; a profile has 0.8, a mirrored face 0.1

Landmarks = Sequence[Sequence[float]] | Tensor
"""Five (x, y) in pixels of a photo, in the order of `TEMPLATE`."""


def similarity(landmarks: Landmarks) -> Tensor:
    """The rotation, scale and shift that bring landmarks to the template.

    By least squares over the landmarks that fit: of the trials with two landmarks each, the one with the least median
    residual decides which of the five are outliers (Rousseeuw 1984), as in the released code.

    Returns: (2, 3) float64; crop = matrix @ (x, y, 1).

    Raises:
        LumosXError: the landmarks are not five finite points, are all in one place, or are not a face's.
    """
    points = _checked(landmarks)
    template = torch.tensor(TEMPLATE, dtype=torch.float64)
    best, residuals = math.inf, torch.zeros(len(TEMPLATE), dtype=torch.float64)
    for trial in _TRIALS:
        pair = list(trial)
        if torch.equal(points[pair[0]], points[pair[1]]):
            continue
        matrix = fit_similarity(points[pair], template[pair])
        squares = (points @ matrix[:, :2].T + matrix[:, 2] - template).square().sum(dim=1)
        median = float(squares.median())
        if median < best:
            best, residuals = median, squares
    fitting = residuals <= max(_OUTLIER * math.sqrt(best), 0.001) ** 2
    return fit_similarity(points[fitting], template[fitting])


def aligned_crop(photo: Tensor, landmarks: Landmarks) -> Tensor:
    """The face of these landmarks, upright in the middle of a square.

    Pixels between those of the photo are interpolated linearly, without a filter, and rounded to whole 255ths, as in
    the released code.

    Args:
        photo: (H, W, 3) float of 0..1, RGB.

    Returns: (512, 512, 3) float32 of 0..1.

    Raises:
        LumosXError: see `similarity`; or most landmarks are outside of the photo.
    """
    height, width = photo.shape[:2]
    points = _checked(landmarks)
    outside = ((points < 0) | (points > torch.tensor([width - 1, height - 1]))).any(dim=1)
    if int(outside.sum()) > len(TEMPLATE) // 2:
        raise LumosXError(
            f"{int(outside.sum())} of the five landmarks {_listed(points)} are outside of the photo, which has "
            f"{width}x{height} pixels. Give landmarks in pixels of this photo."
        )
    size = torch.tensor([width, height], dtype=torch.float64)
    # -1 and 1 are the edges, half a pixel beyond the middles of the first and the last one.
    grid = ((2 * _source(points) + 1) / size - 1).float()
    border = torch.tensor(BORDER) / 255
    beyond_border = (whole_255ths(photo) - border).permute(2, 0, 1)[None]  # 0 outside of the photo is the border
    crop = F.grid_sample(beyond_border, grid[None], mode="bilinear", padding_mode="zeros", align_corners=False)
    return whole_255ths(crop[0].permute(1, 2, 0) + border)


def fraction_inside(landmarks: Landmarks, height: int, width: int) -> float:
    """How much of the aligned crop shows a photo of this size, 0..1; the rest is border."""
    source = _source(_checked(landmarks))
    size = torch.tensor([width, height], dtype=torch.float64)
    return float(((source > -0.5) & (source < size - 0.5)).all(dim=-1).double().mean())


def _source(points: Tensor) -> Tensor:
    """(512, 512, 2): where in the photo each pixel of the crop comes from, as (x, y)."""
    matrix = similarity(points)
    axis = torch.arange(CROP, dtype=torch.float64)
    y, x = torch.meshgrid(axis, axis, indexing="ij")
    return (torch.stack([x, y], dim=-1) - matrix[:, 2]) @ torch.linalg.inv(matrix[:, :2]).T


def whole_255ths(image: Tensor) -> Tensor:
    """An image as it would be read from a file of 8 bits: float32 on the CPU."""
    return image.detach().to("cpu", torch.float32).mul(255).round().clamp(0, 255).div(255)


def fit_similarity(points: Tensor, targets: Tensor) -> Tensor:
    """The (2, 3) similarity that brings (n, 2) points nearest to their targets."""
    middle, target_middle = points.mean(dim=0), targets.mean(dim=0)
    a, b = points - middle, targets - target_middle
    norm = a.square().sum()
    cosine = (a * b).sum() / norm
    sine = (a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0]).sum() / norm
    turn = torch.stack([cosine, -sine, sine, cosine]).reshape(2, 2)
    return torch.cat([turn, (target_middle - turn @ middle)[:, None]], dim=1)


def _checked(landmarks: Landmarks) -> Tensor:
    """Landmarks as (5, 2) float64."""
    try:
        points = torch.as_tensor(landmarks, dtype=torch.float64).detach().cpu()
    except (TypeError, ValueError, RuntimeError) as error:
        raise LumosXError(f"Landmarks {shown(landmarks)} are not five points (x, y).") from error
    if points.shape != (len(TEMPLATE), 2):
        raise LumosXError(
            f"Landmarks have shape {tuple(points.shape)}, expected five points (x, y): eye, eye, nose, corner and "
            f"corner of the mouth."
        )
    if not bool(torch.isfinite(points).all()) or float(points.abs().max()) > 1e6:
        raise LumosXError(f"Landmarks {_listed(points)} are not pixels of a photo. Find the face again.")
    template = torch.tensor(TEMPLATE, dtype=torch.float64)
    a, b = points - points.mean(dim=0), template - template.mean(dim=0)
    spread = float(a.square().sum(dim=1).mean().sqrt())
    if spread < _LEAST_SPREAD:
        raise LumosXError(
            f"The landmarks {_listed(points)} are all in one place, so the face has no size. Use a photo in which the "
            f"face is larger."
        )
    along = (a * b).sum()
    across = (a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0]).sum()
    likeness = float(torch.hypot(along, across) / (a.norm() * b.norm()))
    if likeness < _LEAST_LIKENESS:
        raise LumosXError(
            f"The landmarks {_listed(points)} are not those of a face. Expected: eye, eye, nose, corner and corner of "
            f"the mouth, left before right as one sees them in the photo."
        )
    return points


def _listed(points: Tensor) -> str:
    return ", ".join(f"({x:.0f}, {y:.0f})" for x, y in points.tolist())


def check_values(image: Tensor, name: str, fix: str) -> None:
    """Raise LumosXError unless the values are floats of 0..1, up to what resampling overshoots.

    Args:
        name: what the message calls the image.
        fix: what to do about values that are not numbers.
    """
    if not image.is_floating_point():
        raise LumosXError(f"{name} has values of type {image.dtype}, expected float of 0..1. Divide bytes by 255.")
    if not all_finite(image):
        raise LumosXError(f"{name} has values that are not numbers (NaN or infinite). {fix}")
    low, high = float(image.min()), float(image.max())
    if low < -0.01 or high > 1.01:
        raise LumosXError(f"{name} has values of {low:g} to {high:g}, expected 0 to 1. Scale it to that range.")
