"""Alignment of faces, against the recorded numbers and OpenCV, and landmarks that are not a face's."""

import json
import math

import numpy as np
import pytest
import torch

from lumosx_core.errors import LumosXError
from lumosx_core.media.images import read_picture
from lumosx_core.models.ingredients.faces.align import (
    BORDER,
    TEMPLATE,
    aligned_crop,
    fraction_inside,
    similarity,
)
from lumosx_core.models.ingredients.faces.shrink import shrunk


def grain(height: int, width: int, seed: int = 0) -> torch.Tensor:
    values = torch.randint(0, 256, (height, width, 3), generator=torch.Generator().manual_seed(seed))
    return values.float() / 255


def moved(scale: float, degrees: float, x: float, y: float, noise: float = 0.0, seed: int = 0) -> torch.Tensor:
    """Landmarks of a face at this place of a photo, `scale` times as large as in a crop."""
    points = torch.tensor(TEMPLATE, dtype=torch.float64)
    points += noise * torch.randn(5, 2, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    cosine, sine = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    turn = torch.tensor([[cosine, -sine], [sine, cosine]], dtype=torch.float64)
    return scale * (points - 256) @ turn.T + torch.tensor([x, y])


def test_matrix_and_crop_are_the_recorded_ones(golden_ingredients):
    recorded = json.loads((golden_ingredients / "align" / "align.json").read_text())
    photo = read_picture(golden_ingredients / "align" / "source.png")
    expected = read_picture(golden_ingredients / "align" / "aligned.png")
    matrix = torch.tensor(recorded["affine"], dtype=torch.float64)
    assert (similarity(recorded["landmarks"]) - matrix).abs().max() < 1e-4
    assert (aligned_crop(photo, recorded["landmarks"]) - expected).abs().mean() * 255 < 0.001


@pytest.mark.parametrize("noise", [0.5, 3.0, 10.0, 30.0])
def test_landmarks_that_do_not_fit_are_left_out_as_opencv_leaves_them_out(noise):
    cv2 = pytest.importorskip("cv2", reason="OpenCV is not installed")
    corners = torch.tensor([[0.0, 0, 1], [400, 0, 1], [0, 400, 1], [400, 400, 1]], dtype=torch.float64)
    for seed in range(40):
        points = moved(0.5, 20, 200, 200, noise, seed)
        expected = cv2.estimateAffinePartial2D(points.numpy(), np.array(TEMPLATE), method=cv2.LMEDS)[0]
        apart = corners @ (similarity(points) - torch.from_numpy(expected)).T
        assert apart.norm(dim=1).max() < 0.01, (seed, apart)


@pytest.mark.parametrize(("scale", "degrees"), [(0.3, 0), (0.9, 160), (1.7, -35)])
def test_a_crop_is_the_one_of_opencv_up_to_rounding(scale, degrees):
    cv2 = pytest.importorskip("cv2", reason="OpenCV is not installed")
    photo, points = grain(300, 400), moved(scale, degrees, 170, 140)
    matrix = similarity(points).numpy()
    crop = cv2.warpAffine((photo * 255).byte().numpy(), matrix, (512, 512), borderValue=BORDER)
    apart = (aligned_crop(photo, points) * 255 - torch.from_numpy(crop)).abs()
    assert apart.max() < 1.01
    assert apart.mean() < 0.02


def test_landmarks_at_their_place_leave_a_photo_as_it_is():
    photo = grain(512, 512)
    assert torch.equal(aligned_crop(photo, TEMPLATE), photo)


def test_beyond_the_photo_is_the_border_of_the_release():
    crop = aligned_crop(torch.ones(512, 300, 3), TEMPLATE)
    assert torch.equal(crop[:, :300], torch.ones(512, 300, 3))
    assert (crop[:, 300:] * 255).round().unique(dim=0).reshape(-1, 3).unique(dim=0).tolist() == [[132, 133, 135]]


def test_the_fraction_inside_the_photo_counts_its_pixels():
    assert fraction_inside(TEMPLATE, 512, 512) == 1
    assert fraction_inside(TEMPLATE, 512, 256) == 0.5
    assert fraction_inside(moved(0.5, 0, 128, 128), 256, 256) > 0.99


@pytest.mark.parametrize(
    ("landmarks", "message"),
    [
        ([(10, 10)] * 5, "all in one place"),
        ([(10 + i / 10, 10) for i in range(5)], "all in one place"),
        ([(float("nan"), 1), *TEMPLATE[1:]], "not pixels of a photo"),
        ([(1e9, 1), *TEMPLATE[1:]], "not pixels of a photo"),
        (TEMPLATE[:4], r"shape \(4, 2\), expected five points"),
        ("five points", "are not five points"),
        ([TEMPLATE[i] for i in (1, 0, 2, 4, 3)], "not those of a face.*left before right"),
        ([(x, 3 * y) for y, x in TEMPLATE], "not those of a face"),
        (moved(1, 0, 900, 256), r"5 of the five landmarks .* outside of the photo, which has 512x512 pixels"),
    ],
)
def test_landmarks_that_cannot_be_of_a_face_are_refused(landmarks, message):
    with pytest.raises(LumosXError, match=message):
        aligned_crop(torch.zeros(512, 512, 3), landmarks)


@pytest.mark.parametrize("squeezed", [1.0, 0.5, 0.2])
def test_a_face_that_looks_to_the_side_is_aligned(squeezed):
    profile = [(200 + squeezed * (x - 256), y) for x, y in TEMPLATE]
    assert aligned_crop(grain(512, 512), profile).isfinite().all()


def test_a_large_photo_is_shrunk_as_opencv_does_it():
    cv2 = pytest.importorskip("cv2", reason="OpenCV is not installed")
    photo = grain(700, 1500)
    expected = cv2.resize((photo * 255).byte().numpy(), (1024, 477), interpolation=cv2.INTER_LANCZOS4)
    apart = (shrunk(photo) * 255 - torch.from_numpy(expected)).abs()
    assert apart.max() < 1.01
    assert apart.mean() < 0.1


def test_a_photo_of_one_colour_stays_so_and_small_ones_are_not_touched():
    assert torch.equal(shrunk(torch.full((3000, 700, 3), 0.6)), torch.full((1024, 238, 3), 0.6))
    photo = torch.rand(1024, 30, 3)
    assert shrunk(photo) is photo
    assert shrunk(torch.rand(1, 5000, 3)).shape == (1, 1024, 3)
