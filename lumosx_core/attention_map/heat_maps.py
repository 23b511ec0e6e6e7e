"""Heat maps over frames of a video: a row for each subject and each of its images, a column for each frame."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from PIL import Image, ImageDraw
from torch import Tensor

from ..drawing.contact_sheet import COLOURS, FAINT, PAGE, TEXT
from ..drawing.fonts import font
from ..media.images import to_pil
from .binding import subject_groups
from .record import AttentionRecord

LABEL = 220  # pixels of width
CELL = 240
GAP = 6
DIMMED = 0.5  # of the frames' brightness below the heat
MOST_ROWS = 60
FOOTER = 26  # pixels below the rows, for the scale


@dataclass(frozen=True, eq=False)
class _Row:
    """One row of the sheet. mass: (T, h, w), the fraction of attention; note: a second line of the label."""

    title: str
    note: str
    colour: str
    mass: Tensor
    is_subject: bool


def shown_frames(latent_frames: int, columns: int) -> list[int]:
    """The latent frames of so many columns, or of as many as there are, evenly spread from the first to the last."""
    columns = min(columns, latent_frames)
    return [round(i * (latent_frames - 1) / max(1, columns - 1)) for i in range(columns)]


def draw_attention_map(
    record: AttentionRecord, video: int, frames: Tensor, shown: Sequence[int], scores: Sequence[float]
) -> Image.Image:
    """Draw from where in a video each subject and each image is looked at.

    All rows share one scale of brightness, so that an image which hardly any attention goes to stays dark; each row
    also gives its peak and its mean as a percentage of the attention. A subject has its colour of the contact sheet.

    Args:
        frames: (C, H, W, 3), 0..1, the images below the heat: one for each column.
        shown: C latent frames, from `shown_frames`.
        scores: the binding score of each subject.

    Returns: RGB image; rows beyond the 60th are left out.
    """
    rows = list(_rows(record, video, scores))[:MOST_ROWS]
    height = max(1, round(CELL * frames.shape[1] / frames.shape[2]))
    cells = [to_pil(frame).convert("L").resize((CELL, height), Image.Resampling.BICUBIC) for frame in frames]
    cells = [cell.point(lambda value: round(DIMMED * value)).convert("RGB") for cell in cells]
    scale = _full_brightness(rows)
    bottom = GAP + (height + GAP) * len(rows)
    sheet = Image.new("RGB", (LABEL + (CELL + GAP) * len(cells), bottom + FOOTER), PAGE)
    draw = ImageDraw.Draw(sheet)
    draw.text((16, bottom), f"full colour: {_percent(scale)} of the attention", fill=FAINT, font=font(14))
    for number, row in enumerate(rows):
        top = GAP + number * (height + GAP)
        _draw_label(draw, row, top, height)
        colour = Image.new("RGB", (CELL, height), row.colour)
        for column, (cell, frame) in enumerate(zip(cells, shown, strict=True)):
            values = (row.mass[frame] - row.mass.min()) / max(scale, _range(row))
            heat = Image.fromarray((values * 255).round().to(torch.uint8).numpy())
            heat = heat.resize((CELL, height), Image.Resampling.BILINEAR)
            sheet.paste(Image.composite(colour, cell, heat), (LABEL + column * (CELL + GAP), top))
    return sheet


def _rows(record: AttentionRecord, video: int, scores: Sequence[float]) -> Iterator[_Row]:
    """Subjects, each with its images below it, then background and objects."""
    mass = record.mass[video]
    for subject, group in enumerate(subject_groups(record.layout)):
        colour = COLOURS[subject % len(COLOURS)]
        yield _Row(f"Subject {subject + 1}", f"binding {scores[subject]:.2f}", colour, mass[list(group)].sum(0), True)
        for picture in group:
            yield _Row(record.labels[picture], "", colour, mass[picture], False)
    for picture in range(record.layout.standalone):
        yield _Row(record.labels[picture], "belongs to nobody", TEXT, mass[picture], False)


def _full_brightness(rows: Sequence[_Row]) -> float:
    """The fraction of attention above a row's minimum that is drawn in full colour: the largest of any subject.

    A background often gets more attention than all people together. It has a scale of its own then: beside it they
    would be dark.
    """
    return max((_range(row) for row in rows if row.is_subject), default=0.0) or 1e-12


def _range(row: _Row) -> float:
    return float(row.mass.max() - row.mass.min())


def _percent(fraction: float) -> str:
    return f"{100 * fraction:.{0 if fraction >= 0.0995 else 1}f} %"


def _draw_label(draw: ImageDraw.ImageDraw, row: _Row, top: int, height: int) -> None:
    draw.rectangle((0, top, 4, top + height - 1), fill=row.colour)
    size = 20 if row.is_subject else 16
    notes = [row.note] * bool(row.note) + [
        f"peak {_percent(float(row.mass.max()))}, mean {_percent(float(row.mass.mean()))}"
    ]
    lines = _lines(row.title or "no phrase", size, LABEL - 28)[: max(1, (height - 20 * len(notes)) // (size + 4))]
    for number, line in enumerate(lines):
        draw.text((16, top + number * (size + 4)), line, fill=row.colour if row.is_subject else TEXT, font=font(size))
    for number, note in enumerate(notes):
        draw.text((16, top + len(lines) * (size + 4) + 2 + 18 * number), note, fill=FAINT, font=font(14))


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
