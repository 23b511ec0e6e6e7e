"""A small chart of the misbinding matrices of one video, as a node shows it."""

from __future__ import annotations

from PIL import Image, ImageColor, ImageDraw

from ...drawing.contact_sheet import COLOURS, FAINT, PAGE, PANEL, TEXT, WARNING
from ...drawing.fonts import draw_text, text_length
from ..results import CaseScores, DimensionScores, FrameMatrix, IdentityScores, Label
from .sentences import title_of

WIDTH = 720
_MARGIN, _TITLE, _NAMES, _CELL_HEIGHT = 20, 24, 17, 40
_NAME_ROOM, _LABEL_ROOM = 190, 130
_MOST_SLOTS = 12  # of a matrix
_OWN, _OTHER = ImageColor.getrgb("#2FC48D"), ImageColor.getrgb("#F4693B")


def draw_binding_chart(scores: CaseScores) -> Image.Image:
    """A block for the similarity of faces, and one for each dimension of the misbinding matrix.

    In a matrix, rows are what was generated, columns the reference images. A cell has the mean similarity over frames;
    cells of the own subject are green, others red, the stronger, the higher. At the right of a row is its label.
    Blocks show their first 12 rows.

    Returns: RGB image, 720 pixels wide.
    """
    blocks = [_faces(scores.identity)] if scores.identity else []
    blocks += [_block(dimension) for dimension in scores.misbinding] or [_nothing(scores)]
    height = 2 * _MARGIN + sum(block.height for block in blocks) + _MARGIN * (len(blocks) - 1)
    chart = Image.new("RGB", (WIDTH, height), PAGE)
    top = _MARGIN
    for block in blocks:
        chart.paste(block, (_MARGIN, top))
        top += block.height + _MARGIN
    return chart


def mean_matrix(frames: tuple[FrameMatrix, ...], kind: str) -> list[list[float | None]]:
    """Each cell's mean over the frames that have it; None where none has.

    Args:
        kind: "similarity" or "difference".
    """
    stacks: list[list[list[float]]] = []
    for frame in frames:
        for i, row in enumerate(getattr(frame, kind)):
            for j, value in enumerate(row):
                while len(stacks) <= i:
                    stacks.append([])
                while len(stacks[i]) <= j:
                    stacks[i].append([])
                if value is not None:
                    stacks[i][j].append(value)
    return [[sum(cell) / len(cell) if cell else None for cell in row] for row in stacks]


def _faces(identity: IdentityScores) -> Image.Image:
    """A bar for each subject: the mean similarity of its face, a frame without it counts 0."""
    count = min(len(identity.subjects), _MOST_SLOTS)
    width = WIDTH - 2 * _MARGIN
    block = Image.new("RGB", (width, 58 + count * _CELL_HEIGHT), PANEL)
    draw = ImageDraw.Draw(block)
    draw_text(draw, (14, 10), f"Similarity of faces: {identity.arc:.2f}", TEXT, _TITLE)
    room = width - _NAME_ROOM - _LABEL_ROOM - 70
    for row in range(count):
        top = 50 + row * _CELL_HEIGHT
        subject, value, missed = identity.subjects[row], identity.arc_of[row], identity.missed[row]
        draw_text(draw, (14, top + 8), f"subject {subject + 1}", _colour(subject), _NAMES)
        left = _NAME_ROOM
        draw.rectangle((left, top + 10, left + room, top + 26), fill=PAGE)
        if value > 0:
            draw.rectangle((left, top + 10, left + round(room * min(1.0, value)), top + 26), fill=_OWN)
        draw_text(draw, (left + room + 12, top + 8), f"{value:.2f}", TEXT, 16)
        if missed:
            draw_text(draw, (width - _LABEL_ROOM - 10, top + 8), f"missed {missed:.0%}", WARNING, 16)
    return block


def _block(dimension: DimensionScores) -> Image.Image:
    count = min(len(dimension.slots), _MOST_SLOTS)
    width = WIDTH - 2 * _MARGIN
    cell = (width - _NAME_ROOM - _LABEL_ROOM - 24) // max(1, count)
    hidden = len(dimension.slots) - count
    height = 80 + count * _CELL_HEIGHT + (_CELL_HEIGHT if hidden else 0)
    block = Image.new("RGB", (width, height), PANEL)
    draw = ImageDraw.Draw(block)
    ok = sum(label.label is Label.OK for label in dimension.labels)
    draw_text(draw, (14, 10), f"{title_of(dimension.dimension)}: {ok} of {len(dimension.slots)} bound", TEXT, _TITLE)
    draw_text(draw, (14, 50), "generated", FAINT, 14)
    values = mean_matrix(dimension.frames, "similarity")
    for j in range(count):
        slot = dimension.slots[j]
        name = _cut(f"{slot.subject + 1} {slot.phrase}".strip(), cell - 6, 14)
        draw_text(draw, (_NAME_ROOM + j * cell + 3, 50), name, _colour(slot.subject), 14)
    for i in range(count):
        top = 74 + i * _CELL_HEIGHT
        slot, label = dimension.slots[i], dimension.labels[i]
        name = _cut(f"{slot.subject + 1} {slot.phrase}".strip(), _NAME_ROOM - 24, _NAMES)
        draw_text(draw, (14, top + 10), name, _colour(slot.subject), _NAMES)
        for j in range(count):
            value = values[i][j] if i < len(values) and j < len(values[i]) else None
            own = dimension.slots[j].subject == slot.subject
            _draw_cell(draw, (_NAME_ROOM + j * cell, top, cell, _CELL_HEIGHT), value, own)
        colour = TEXT if label.label is Label.OK else WARNING
        other = "" if label.other is None else f" {dimension.slots[label.other].subject + 1}"
        draw_text(
            draw, (width - _LABEL_ROOM - 10, top + 10), _cut(label.label.value + other, _LABEL_ROOM, 16), colour, 16
        )
    if hidden:
        draw_text(draw, (14, 74 + count * _CELL_HEIGHT + 8), f"{hidden} more are not shown", FAINT, 16)
    return block


def _draw_cell(draw: ImageDraw.ImageDraw, area: tuple[int, int, int, int], value: float | None, own: bool) -> None:
    left, top, width, height = area
    strength = 0.0 if value is None else min(1.0, max(0.0, value))
    ground = ImageColor.getrgb(PAGE)
    colour = tuple(
        round(one + (other - one) * strength * 0.75) for one, other in zip(ground, _OWN if own else _OTHER, strict=True)
    )
    draw.rectangle((left + 1, top + 1, left + width - 3, top + height - 3), fill=colour)
    text = "–" if value is None else f"{value:.2f}"
    if width >= 34:
        at = left + (width - text_length(text, 15)) / 2
        draw_text(draw, (at, top + 10), text, TEXT, 15)


def _nothing(scores: CaseScores) -> Image.Image:
    block = Image.new("RGB", (WIDTH - 2 * _MARGIN, 84), PANEL)
    reasons = [why for metric, why in scores.skipped.items() if metric.startswith("misbinding")]
    why = "The scene has fewer than two subjects." if scores.people < 2 else (reasons or ["Nothing was measured."])[0]
    draw = ImageDraw.Draw(block)
    draw_text(draw, (14, 10), "No misbinding matrix", TEXT, _TITLE)
    draw_text(draw, (14, 48), _cut(why, WIDTH - 2 * _MARGIN - 28, 16), FAINT, 16)
    return block


def _colour(subject: int) -> str:
    return COLOURS[subject % len(COLOURS)]


def _cut(text: str, room: float, size: int) -> str:
    """As much of a text as fits."""
    if text_length(text, size) <= room:
        return text
    while text and text_length(text + "…", size) > room:
        text = text[:-1]
    return text.rstrip() + "…"
