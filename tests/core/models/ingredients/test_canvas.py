"""The canvas of all faces, against the recorded one, and where faces are on it."""

import pytest
import torch

from lumosx_core.errors import LumosXError
from lumosx_core.media.images import read_picture
from lumosx_core.models.ingredients.canvas import conditioning_canvas

COLOURS = torch.arange(1, 9) / 10


def faces(count: int) -> list[torch.Tensor]:
    """Crops of one grey each."""
    return [torch.full((512, 512, 3), float(grey)) for grey in COLOURS[:count]]


def places(canvas: torch.Tensor, count: int) -> list[tuple[int, int, int, int]]:
    """x, y, width, height of each face."""
    found = []
    for grey in COLOURS[:count]:
        rows, columns = ((canvas[..., 0] - grey).abs() < 0.01).nonzero(as_tuple=True)
        left, top = int(columns.min()), int(rows.min())
        found.append((left, top, int(columns.max()) - left + 1, int(rows.max()) - top + 1))
        assert len(rows) == found[-1][2] * found[-1][3]
    return found


def test_two_faces_are_drawn_as_recorded(golden_ingredients):
    crops = [read_picture(golden_ingredients / "canvas" / f"face_{number}.png") for number in (0, 1)]
    expected = read_picture(golden_ingredients / "canvas" / "canvas.png")
    assert torch.equal(conditioning_canvas(crops, 720, 480), expected)


@pytest.mark.parametrize(
    ("count", "expected"),
    [
        (1, [(0, 60, 360, 360)]),
        (2, [(0, 60, 360, 360), (360, 60, 360, 360)]),
        (3, [(0, 120, 240, 240), (240, 120, 240, 240), (480, 120, 240, 240)]),
        (4, [(60, 0, 240, 240), (420, 0, 240, 240), (60, 240, 240, 240), (420, 240, 240, 240)]),
        (6, [(240 * (i % 3), 240 * (i // 3), 240, 240) for i in range(6)]),
        (8, [(180 * (i % 4), 30 + 240 * (i // 4), 180, 180) for i in range(8)]),
    ],
)
def test_faces_are_squares_in_equal_cells(count, expected):
    canvas = conditioning_canvas(faces(count), 720, 480)
    assert places(canvas, count) == expected
    assert float((canvas == 1).all(dim=-1).float().mean()) == pytest.approx(
        1 - sum(w * h for _, _, w, h in expected) / (720 * 480)
    )


@pytest.mark.parametrize(("width", "height"), [(80, 64), (480, 720), (1360, 768), (8, 8)])
@pytest.mark.parametrize("count", range(1, 9))
def test_at_other_sizes_faces_are_on_the_canvas_and_apart(width, height, count):
    canvas = conditioning_canvas(faces(count), width, height)
    assert canvas.shape == (height, width, 3)
    squares = places(canvas, count)
    assert len({(w, h) for _, _, w, h in squares}) == 1
    assert squares[0][2] == squares[0][3] >= min(width // 4, height // 2)


def test_the_cells_of_a_miniature_are_those_of_the_release_scaled():
    assert places(conditioning_canvas(faces(2), 80, 64), 2) == [(0, 12, 40, 40), (40, 12, 40, 40)]


@pytest.mark.parametrize(
    ("crops", "size", "message"),
    [
        ([], (720, 480), "1 to 8 faces, but 0 were given"),
        ([torch.ones(512, 512, 3)] * 9, (720, 480), "1 to 8 faces, but 9 were given"),
        ([torch.ones(512, 500, 3)], (720, 480), r"Face 1 has shape \(512, 500, 3\), expected a square"),
        (faces(8), (3, 480), "3x480 pixels has no room for 8 faces"),
    ],
)
def test_what_does_not_fit_on_a_canvas_is_refused(crops, size, message):
    with pytest.raises(LumosXError, match=message):
        conditioning_canvas(crops, *size)
