"""The conditioning canvas: one white image with all faces, from which the network learns what they look like."""

from __future__ import annotations

from collections.abc import Sequence

from PIL import Image
from torch import Tensor

from ...errors import LumosXError
from ...media.images import to_pil, to_tensor

# Columns and rows for so many faces. The release knows two faces side by side. A single one is where the first of two
# would be, as it draws it; three and more have the equal cells in which faces are largest at 720x480.
_GRIDS = {1: (2, 1), 2: (2, 1), 3: (3, 1), 4: (2, 2), 5: (3, 2), 6: (3, 2), 7: (4, 2), 8: (4, 2)}


def conditioning_canvas(crops: Sequence[Tensor], width: int, height: int) -> Tensor:
    """All faces on white, each as a square in the middle of its cell, row by row from the left.

    At 720x480 one or two faces are 360 pixels wide, at (0, 60) and (360, 60), as the release draws them. Three to six
    are 240 wide: three in a row, four in two rows of two, five and six in two rows of three. Seven and eight are 180
    wide, in two rows of four. At other sizes the cells are the same fractions of the canvas.

    Args:
        crops: (S, S, 3) float of 0..1, RGB, square; one for each face.
        width, height: of the video, in pixels.

    Returns: (height, width, 3) float32 of 0..1, in whole 255ths.

    Raises:
        LumosXError: there is no crop, there are more than eight, one is not square, or a face would have no pixel.
    """
    if len(crops) not in _GRIDS:
        raise LumosXError(f"A canvas has 1 to {max(_GRIDS)} faces, but {len(crops)} were given. Leave some out.")
    columns, rows = _GRIDS[len(crops)]
    side = min(width // columns, height // rows)
    if side < 1:
        raise LumosXError(f"A canvas of {width}x{height} pixels has no room for {len(crops)} faces. Make it larger.")
    canvas = Image.new("RGB", (width, height), "white")
    for number, crop in enumerate(crops):
        if crop.ndim != 3 or crop.shape[2] != 3 or crop.shape[0] != crop.shape[1]:
            raise LumosXError(
                f"Face {number + 1} has shape {tuple(crop.shape)}, expected a square aligned crop (512, 512, 3)."
            )
        row, column = divmod(number, columns)
        left = column * width // columns + (width // columns - side) // 2
        top = row * height // rows + (height // rows - side) // 2
        canvas.paste(to_pil(crop).resize((side, side), Image.Resampling.BICUBIC), (left, top))
    return to_tensor(canvas)
