"""Aligned faces side by side, each with its number and name."""

from __future__ import annotations

from collections.abc import Sequence

from PIL import Image, ImageDraw
from torch import Tensor

from ..media.images import to_pil
from .contact_sheet import COLOURS, PAGE, TEXT
from .fonts import font

CELL = 224  # pixels of a face's side
GAP = 8
CAPTION = 30
COLUMNS = 4
FACE_COLOURS = (*COLOURS, "#D9D9D9")
"""A colour for each of at most eight faces."""


def draw_faces(crops: Sequence[Tensor], names: Sequence[str]) -> Image.Image:
    """Draw faces in rows of at most four, in their order.

    Args:
        crops: (S, S, 3) float of 0..1 each.
        names: one for each.
    """
    columns = min(COLUMNS, len(crops))
    rows = -(-len(crops) // columns)
    sheet = Image.new("RGB", (GAP + columns * (CELL + GAP), GAP + rows * (CELL + CAPTION + GAP)), PAGE)
    draw = ImageDraw.Draw(sheet)
    for number, (crop, name) in enumerate(zip(crops, names, strict=True)):
        row, column = divmod(number, columns)
        left, top = GAP + column * (CELL + GAP), GAP + row * (CELL + CAPTION + GAP)
        sheet.paste(to_pil(crop).resize((CELL, CELL), Image.Resampling.BICUBIC), (left, top))
        draw.rectangle(
            (left, top + CELL, left + CELL - 1, top + CELL + 3), fill=FACE_COLOURS[number % len(FACE_COLOURS)]
        )
        draw.text((left, top + CELL + 7), _cut(f"{number + 1}  {name}"), fill=TEXT, font=font(15))
    return sheet


def _cut(text: str) -> str:
    if font(15).getlength(text) <= CELL:
        return text
    while text and font(15).getlength(f"{text} ...") > CELL:
        text = text[:-1]
    return f"{text} ..."
