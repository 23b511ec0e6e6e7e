"""Several images on one canvas, side by side in rows, the images of each subject next to each other."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations, pairwise

from PIL import Image
from torch import Tensor

from ..errors import LumosXError
from ..media.images import to_pil, to_tensor

MOST_ROWS, MOST_COLUMNS = 3, 5
MOST_PANELS = MOST_ROWS * MOST_COLUMNS
_ROW_NAMES = {1: ("",), 2: ("Top Row", "Bottom Row"), 3: ("Top Row", "Middle Row", "Bottom Row")}
_COLUMN_NAMES = {
    1: ("Center",),
    2: ("Left", "Right"),
    3: ("Left", "Center", "Right"),
    4: ("Far Left", "Left", "Right", "Far Right"),
    5: ("Far Left", "Left", "Center", "Right", "Far Right"),
}


@dataclass(frozen=True)
class Panel:
    """Where one image is on a canvas.

    Args:
        left, top, right, bottom: in pixels, `right` and `bottom` behind the last one.
        place: in words, such as "Top Row Left"; each panel of a canvas has another one.
    """

    left: int
    top: int
    right: int
    bottom: int
    place: str


def draw_panels(
    images: Sequence[Tensor], groups: Sequence[range], width: int, height: int, colour: str
) -> tuple[Tensor, list[Panel]]:
    """Fit images side by side on one canvas, in their order, as large as it goes, proportions kept.

    A group is divided between two rows only where no arrangement keeps all of them together.

    Args:
        images: 1 to 15, (H, W, 3) float, 0..1.
        groups: indices of the images that belong together, in order.
        colour: of the canvas between the images.

    Returns: (height, width, 3) float32, 0..1, and the panel of each image.

    Raises:
        LumosXError: no image, too many of them, or no room for a panel.
    """
    if not 1 <= len(images) <= MOST_PANELS:
        raise LumosXError(f"{len(images)} images are to go on one canvas, expected 1 to {MOST_PANELS}.")
    gap = max(4, min(width, height) // 40)
    rows = _best_rows(images, groups, width, height, gap)
    if min(_cell(width, height, len(rows), len(row), gap)[axis] for row in rows for axis in (0, 1)) < 8:
        raise LumosXError(
            f"A canvas of {width}x{height} pixels has no room for {len(images)} images. Use a larger one, or fewer "
            f"images."
        )
    canvas = Image.new("RGB", (width, height), colour)
    panels = []
    for number, row in enumerate(rows):
        cell_width, cell_height = _cell(width, height, len(rows), len(row), gap)
        for column, index in enumerate(row):
            size = _fitted(images[index], cell_width, cell_height)
            left = gap + column * (cell_width + gap) + (cell_width - size[0]) // 2
            top = gap + number * (cell_height + gap) + (cell_height - size[1]) // 2
            canvas.paste(to_pil(images[index]).resize(size, Image.Resampling.LANCZOS), (left, top))
            place = f"{_ROW_NAMES[len(rows)][number]} {_COLUMN_NAMES[len(row)][column]}".strip()
            panels.append(Panel(left, top, left + size[0], top + size[1], place))
    return to_tensor(canvas), panels


def _best_rows(images: Sequence[Tensor], groups: Sequence[range], width: int, height: int, gap: int) -> list[range]:
    """The rows that divide the fewest groups, and among these those that show the images largest."""

    def worth(rows: list[range]) -> tuple[int, int]:
        starts = {row.start for row in rows[1:]}
        divided = sum(any(index in starts for index in group[1:]) for group in groups)
        area = 0
        for row in rows:
            cell = _cell(width, height, len(rows), len(row), gap)
            for index in row:
                size = _fitted(images[index], *cell)
                area += size[0] * size[1]
        return -divided, area

    return max(_all_rows(len(images)), key=worth)


def _all_rows(count: int) -> Iterator[list[range]]:
    for number in range(1, MOST_ROWS + 1):
        for cuts in combinations(range(1, count), number - 1):
            rows = [range(start, end) for start, end in pairwise((0, *cuts, count))]
            if max(map(len, rows)) <= MOST_COLUMNS:
                yield rows


def _cell(width: int, height: int, rows: int, columns: int, gap: int) -> tuple[int, int]:
    return (width - gap * (columns + 1)) // columns, (height - gap * (rows + 1)) // rows


def _fitted(image: Tensor, width: int, height: int) -> tuple[int, int]:
    own_height, own_width = image.shape[:2]
    scale = min(width / own_width, height / own_height)
    return max(1, int(own_width * scale)), max(1, int(own_height * scale))
