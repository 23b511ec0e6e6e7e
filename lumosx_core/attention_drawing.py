"""Heat maps over frames of a video: a row for each subject and each of its pictures, a column for each frame."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from PIL import Image, ImageDraw
from torch import Tensor

from .attention_record import AttentionRecord
from .attention_regions import subject_groups
from .contact_sheet import COLOURS, FAINT, PAGE, TEXT
from .fonts import font
from .pictures import to_pil

LABEL = 220  # pixels of width
CELL = 240
GAP = 6
DIMMED = 0.5  # of the frames' brightness below the heat
MOST_ROWS = 60


@dataclass(frozen=True, eq=False)
class _Row:
    """One line of the picture. heat: (T, h, w), 0..1."""

    title: str
    note: str
    colour: str
    heat: Tensor
    is_subject: bool


def shown_frames(latent_frames: int, columns: int) -> list[int]:
    """The latent frames of so many columns, or of as many as there are, evenly spread from the first to the last."""
    columns = min(columns, latent_frames)
    return [round(i * (latent_frames - 1) / max(1, columns - 1)) for i in range(columns)]


def draw_attention_map(
    record: AttentionRecord, video: int, frames: Tensor, shown: Sequence[int], scores: Sequence[float]
) -> Image.Image:
    """Draw from where in a video each subject and each picture is looked at.

    Each row is as bright as can be at its own brightest place in the video: rows are not to be compared in brightness,
    but in place. A subject has the colour that it has on the contact sheet.

    Args:
        frames: (C, H, W, 3), 0..1, the pictures below the heat: one for each column.
        shown: C latent frames, from `shown_frames`.
        scores: the binding score of each subject.

    Returns: RGB image; rows beyond the 60th are left out.
    """
    rows = list(_rows(record, video, scores))[:MOST_ROWS]
    height = max(1, round(CELL * frames.shape[1] / frames.shape[2]))
    cells = [to_pil(frame).convert("L").resize((CELL, height), Image.Resampling.BICUBIC) for frame in frames]
    cells = [cell.point(lambda value: round(DIMMED * value)).convert("RGB") for cell in cells]
    sheet = Image.new("RGB", (LABEL + (CELL + GAP) * len(cells), (height + GAP) * len(rows) + GAP), PAGE)
    draw = ImageDraw.Draw(sheet)
    for number, row in enumerate(rows):
        top = GAP + number * (height + GAP)
        _draw_label(draw, row, top, height)
        colour = Image.new("RGB", (CELL, height), row.colour)
        for column, (cell, frame) in enumerate(zip(cells, shown, strict=True)):
            heat = Image.fromarray((row.heat[frame] * 255).round().to(torch.uint8).numpy())
            heat = heat.resize((CELL, height), Image.Resampling.BILINEAR)
            sheet.paste(Image.composite(colour, cell, heat), (LABEL + column * (CELL + GAP), top))
    return sheet


def _rows(record: AttentionRecord, video: int, scores: Sequence[float]) -> Iterator[_Row]:
    """Subjects, each with its pictures below it, then background and objects."""
    mass = record.mass[video]
    for subject, group in enumerate(subject_groups(record.layout)):
        colour = COLOURS[subject % len(COLOURS)]
        heat = mass[list(group)].sum(dim=0)
        yield _Row(f"Subject {subject + 1}", f"binding {scores[subject]:.2f}", colour, _brightened(heat), True)
        for picture in group:
            yield _Row(record.labels[picture], "", colour, _brightened(mass[picture]), False)
    for picture in range(record.layout.standalone):
        yield _Row(record.labels[picture], "belongs to nobody", TEXT, _brightened(mass[picture]), False)


def _brightened(heat: Tensor) -> Tensor:
    """Between the smallest and the largest value of the video: 0..1."""
    lowest, highest = heat.min(), heat.max()
    return (heat - lowest) / (highest - lowest).clamp_min(1e-12)


def _draw_label(draw: ImageDraw.ImageDraw, row: _Row, top: int, height: int) -> None:
    draw.rectangle((0, top, 4, top + height - 1), fill=row.colour)
    size = 20 if row.is_subject else 16
    lines = _lines(row.title or "no phrase", size, LABEL - 28)[: max(1, (height - 24) // (size + 4))]
    for number, line in enumerate(lines):
        draw.text((16, top + number * (size + 4)), line, fill=row.colour if row.is_subject else TEXT, font=font(size))
    if row.note:
        draw.text((16, top + len(lines) * (size + 4) + 2), row.note, fill=FAINT, font=font(14))


def _lines(text: str, size: int, room: int) -> list[str]:
    """Text in lines of words; a word that is too long for a line is cut."""
    lines: list[str] = []
    for word in text.split():
        while font(size).getlength(word) > room:
            word = word[:-1]
        joined = f"{lines[-1]} {word}" if lines else word
        if lines and font(size).getlength(joined) <= room:
            lines[-1] = joined
        else:
            lines.append(word)
    return lines
