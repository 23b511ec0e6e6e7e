"""Which face owns which region, drawn over frames of a video: a row for all layers, and one for each layer."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from PIL import Image, ImageColor, ImageDraw
from torch import Tensor

from ..drawing.contact_sheet import FAINT, PAGE, TEXT
from ..drawing.face_row import FACE_COLOURS
from ..drawing.fonts import font
from ..media.images import to_pil
from .router_record import FaceShare, RouterRecord, face_shares

LABEL = 230  # pixels of width
CELLS = (240, 144)  # pixels of width: of the row of all layers, of a row of one layer
GAP = 6
DIMMED = 0.55  # of the frames' brightness below the colours
MOST_LAYERS = 42
LINE = 19  # pixels of a line of a label


def draw_router_map(record: RouterRecord, video: int, frames: Tensor, shown: Sequence[int]) -> Image.Image:
    """Draw the owners of the regions of one video.

    A region has the colour of the face with the largest weight. The colour is the stronger, the surer the router is:
    it is not there at all where all faces have the same weight.

    Args:
        frames: (C, H, W, 3), 0..1, the images below the colours: one for each column.
        shown: C latent frames, from `shown_frames`.

    Returns: RGB image; layers beyond the 42nd are left out.
    """
    rows = [("All layers", record.mean[video], CELLS[0])]
    layers = record.layers[:MOST_LAYERS]
    rows += [(f"Layer {layer}", record.weights[video, i], CELLS[1]) for i, layer in enumerate(layers)]
    drawn = [_row(title, weights, cell, record.names, frames, shown) for title, weights, cell in rows]
    height = GAP + sum(row.height + GAP for row in drawn)
    sheet = Image.new("RGB", (max(row.width for row in drawn), height), PAGE)
    top = GAP
    for row in drawn:
        sheet.paste(row, (0, top))
        top += row.height + GAP
    return sheet


def _row(
    title: str, weights: Tensor, cell: int, names: Sequence[str], frames: Tensor, shown: Sequence[int]
) -> Image.Image:
    """One row: its label with the numbers of each face, and a cell for each frame."""
    shares = face_shares(weights)
    height = max(1, round(cell * frames.shape[1] / frames.shape[2]))
    label = _label(title, shares, names if cell == CELLS[0] else ())
    row = Image.new("RGB", (LABEL + (cell + GAP) * len(shown), max(height, label.height)), PAGE)
    row.paste(label, (0, 0))
    for column, (frame, latent_frame) in enumerate(zip(frames, shown, strict=True)):
        picture = to_pil(frame).convert("L").resize((cell, height), Image.Resampling.BICUBIC)
        picture = picture.point(lambda value: round(DIMMED * value)).convert("RGB")
        row.paste(_tinted(picture, weights[:, latent_frame]), (LABEL + column * (cell + GAP), 0))
    return row


def _tinted(picture: Image.Image, weights: Tensor) -> Image.Image:
    """An image in the colours of the owners of (N, h, w) weights."""
    faces = len(weights)
    largest, owner = weights.max(dim=0)
    sure = (largest - 1 / faces) / (1 - 1 / faces) if faces > 1 else torch.ones_like(largest)
    for face in range(faces):
        opacity = torch.where(owner == face, 0.15 + 0.65 * sure, 0.0)
        mask = Image.fromarray((opacity.clamp(0, 1) * 255).round().to(torch.uint8).numpy())
        picture.paste(_colour(face), (0, 0), mask.resize(picture.size, Image.Resampling.NEAREST))
    return picture


def _label(title: str, shares: Sequence[FaceShare], names: Sequence[str]) -> Image.Image:
    """Title, and a line for each face: its fraction of the video and how sure the router is."""
    lines = [f"{100 * share.fraction:.0f} %   weight {share.sureness:.2f}" for share in shares]
    label = Image.new("RGB", (LABEL, 26 + LINE * len(lines) * (2 if names else 1)), PAGE)
    draw = ImageDraw.Draw(label)
    draw.text((14, 2), title, fill=TEXT, font=font(17))
    top = 26
    for face, line in enumerate(lines):
        if names:
            draw.text((28, top), _cut(f"{face + 1}  {names[face]}"), fill=_colour(face), font=font(14))
            top += LINE
        draw.rectangle((14, top + 3, 22, top + 13), fill=_colour(face))
        draw.text((28, top), line, fill=FAINT, font=font(13))
        top += LINE
    return label


def _colour(face: int) -> tuple[int, ...]:
    return ImageColor.getrgb(FACE_COLOURS[face % len(FACE_COLOURS)])


def _cut(text: str) -> str:
    whole = text
    while text and font(14).getlength(text) > LABEL - 40:
        text = text[:-1]
    return text if text == whole else f"{text[:-3]}..."
