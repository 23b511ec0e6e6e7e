"""A contact sheet of a scene: who wears what, and which words of the prompt each picture is bound to."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image, ImageDraw
from torch import Tensor

from .fonts import font
from .phrases import PromptSpan, clean_prompt, split_number
from .pictures import to_pil
from .scene import Reference, Scene

# Okabe and Ito's colours, which colour-blind people tell apart; dark ones lightened, so that text shows on the page.
COLOURS = ("#56B4E9", "#E69F00", "#2FC48D", "#E08BC0", "#F0E442", "#F4693B", "#A49BFF")
PAGE, PANEL, CARD, TEXT, FAINT, WARNING = "#1B1C1F", "#27292D", "#FFFFFF", "#E8E8EA", "#9A9CA3", "#FF8A80"

WIDTH = 1080
MARGIN = 28
PADDING = 18
CELL_HEIGHT = 190  # of a picture
CELL_WIDTHS = (130, 340)  # of a picture and its caption: narrowest and widest
GAP = 18
CAPTION_SIZE, PROMPT_SIZE = 17, 19
PROMPT_LINE = 36
MOST_PICTURES = 60
MOST_LINES = 60

_Piece = tuple[str, tuple[int, ...]]  # text and the groups it belongs to


@dataclass(frozen=True)
class _Cell:
    """One picture with its caption, ready to be placed."""

    image: Image.Image
    caption: list[str]
    note: tuple[str, str] | None  # a line in small print and its colour
    colour: str
    width: int


def draw_contact_sheet(scene: Scene, spans: Sequence[PromptSpan]) -> Image.Image:
    """Draw a scene: a row for each subject, its face first, then the objects and the background, then the prompt.

    Every group of pictures has a colour; its words in the prompt have the same one. A phrase that the prompt does not
    contain is marked.

    Args:
        spans: the prompt, from `prompt_spans` or `match_phrases_in_text`; empty if there is none yet.

    Returns: RGB image, 1080 pixels wide, as high as needed; pictures beyond the 60th are only counted.
    """
    panels = []
    left = MOST_PICTURES
    for row in _rows(scene)[:MOST_PICTURES]:
        cells = [
            _cell(reference, group_colour(scene, group), _words_of(group, spans))
            for reference, group in row.pictures[:left]
        ]
        left -= len(cells)
        if cells or not row.pictures:
            panels.append(_row_panel(row.title, row.colour, cells))
    if not scene.references:
        panels.append(_row_panel("The scene has no pictures", FAINT, []))
    if not left and len(scene.references) > MOST_PICTURES:
        hidden = len(scene.references) - MOST_PICTURES
        panels.append(_row_panel(f"{hidden} more pictures are not shown", FAINT, []))
    if spans:
        panels.append(_prompt_panel(scene, spans))

    sheet = Image.new("RGB", (WIDTH, sum(panel.height + GAP for panel in panels) - GAP + 2 * MARGIN), PAGE)
    top = MARGIN
    for panel in panels:
        sheet.paste(panel, (MARGIN, top))
        top += panel.height + GAP
    return sheet


@dataclass(frozen=True)
class _Row:
    """A row of the sheet: pictures, each with its group."""

    title: str
    colour: str
    pictures: list[tuple[Reference, int]]


def _rows(scene: Scene) -> list[_Row]:
    """Subjects first: they are what the eye looks for."""
    first_object, first_subject = len(scene.standalone) - len(scene.objects), len(scene.standalone)
    rows = []
    for group, subject in enumerate(scene.subjects, first_subject):
        pictures = [(reference, group) for reference in subject.references]
        rows.append(_Row(f"Subject {group - first_subject + 1}", group_colour(scene, group), pictures))
    if scene.objects:
        rows.append(_Row("Objects", TEXT, [(scene.objects[i], first_object + i) for i in range(len(scene.objects))]))
    if scene.background is not None:
        rows.append(_Row("Background", group_colour(scene, 0), [(scene.background, 0)]))
    return rows


def group_colour(scene: Scene, group: int) -> str:
    """The colour of a group (an index into `scene.layout.groups`); subjects take the first ones and keep theirs."""
    standalone = len(scene.standalone)
    place = group - standalone if group >= standalone else len(scene.subjects) + (group - 1) % standalone
    return COLOURS[place % len(COLOURS)]


# Pictures


def _words_of(group: int, spans: Sequence[PromptSpan]) -> str | None:
    """The words of the prompt that a group is bound to, a line each; None without a prompt."""
    return "".join(span.text if group in span.groups else "\n" for span in spans) if spans else None


def _cell(reference: Reference, colour: str, words: str | None) -> _Cell:
    image = _thumbnail(reference.image)
    width = max(CELL_WIDTHS[0], image.width)
    phrase = clean_prompt(reference.phrase)
    caption = ["".join(text for text, _ in line) for line in _lines([PromptSpan(phrase)], width, CAPTION_SIZE, most=3)]
    note = None
    if not phrase:
        caption, note = [], ("bound to no words", FAINT)
    elif words is not None and phrase not in words and split_number(phrase)[0] not in words:
        note = ("not in the prompt", WARNING)
    return _Cell(image, caption, note, colour, width)


def _thumbnail(image: Tensor) -> Image.Image:
    height, width = image.shape[:2]
    # Four samples a pixel are plenty, and keep a huge picture from being copied whole.
    ratio = min(CELL_HEIGHT / height, CELL_WIDTHS[1] / width)
    stride = max(1, int(1 / ratio / 4))
    size = max(1, round(width * ratio)), max(1, round(height * ratio))
    return to_pil(image[::stride, ::stride]).resize(size, Image.Resampling.LANCZOS)


def _row_panel(title: str, colour: str, cells: list[_Cell]) -> Image.Image:
    lines: list[list[_Cell]] = []
    room = 0
    for cell in cells:
        if cell.width + GAP > room:
            lines.append([])
            room = WIDTH - 2 * MARGIN - 2 * PADDING
        lines[-1].append(cell)
        room -= cell.width + GAP
    heights = [CELL_HEIGHT + 10 + max(_caption_height(cell) for cell in line) for line in lines]
    panel, draw, top = _panel(title, colour, sum(heights) + GAP * max(0, len(lines) - 1))
    for line, height in zip(lines, heights, strict=True):
        left = PADDING
        for cell in line:
            _draw_cell(panel, draw, cell, left, top)
            left += cell.width + GAP
        top += height + GAP
    return panel


def _draw_cell(panel: Image.Image, draw: ImageDraw.ImageDraw, cell: _Cell, left: int, top: int) -> None:
    draw.rectangle((left, top, left + cell.width - 1, top + CELL_HEIGHT - 1), fill=CARD)
    x, y = left + (cell.width - cell.image.width) // 2, top + (CELL_HEIGHT - cell.image.height) // 2
    panel.paste(cell.image, (x, y))
    draw.rectangle((left, top + CELL_HEIGHT, left + cell.width - 1, top + CELL_HEIGHT + 3), fill=cell.colour)
    top += CELL_HEIGHT + 10
    for text in cell.caption:
        draw.text((left, top), text, fill=TEXT, font=font(CAPTION_SIZE))
        top += 22
    if cell.note:
        draw.text((left, top + 1), cell.note[0], fill=cell.note[1], font=font(14))


def _caption_height(cell: _Cell) -> int:
    return 22 * len(cell.caption) + (18 if cell.note else 0)


def _panel(title: str, colour: str, content: int) -> tuple[Image.Image, ImageDraw.ImageDraw, int]:
    """An empty panel with its title in its colour, and where its content begins."""
    top = PADDING + 22 + (18 if content else 0)
    panel = Image.new("RGB", (WIDTH - 2 * MARGIN, top + content + PADDING), PANEL)
    draw = ImageDraw.Draw(panel)
    draw.rectangle((0, 0, 4, panel.height), fill=colour)
    draw.text((PADDING, PADDING - 3), title, fill=colour, font=font(20))
    return panel, draw, top


# The prompt


def _prompt_panel(scene: Scene, spans: Sequence[PromptSpan]) -> Image.Image:
    room = WIDTH - 2 * MARGIN - 2 * PADDING
    lines = _lines(spans, room, PROMPT_SIZE, MOST_LINES)
    panel, draw, top = _panel("Prompt", TEXT, PROMPT_LINE * len(lines))
    for line in lines:
        left = float(PADDING)
        for text, groups in line:
            right = left + font(PROMPT_SIZE).getlength(text)
            colours = [group_colour(scene, group) for group in groups]
            draw.text((left, top), text, fill=colours[0] if len(colours) == 1 else TEXT, font=font(PROMPT_SIZE))
            _underline(draw, left, right, top + 25, colours)
            left = right
        top += PROMPT_LINE
    return panel


def _underline(draw: ImageDraw.ImageDraw, left: float, right: float, y: int, colours: list[str]) -> None:
    """A line under words of a group; words of several groups have one in stripes of all their colours."""
    stripes = max(len(colours), round((right - left) / 12)) if len(colours) > 1 else len(colours)
    for i in range(stripes):
        edges = [round(left + (right - left) * j / stripes) for j in (i, i + 1)]
        draw.rectangle((edges[0], y, max(edges[0], edges[1] - 1), y + 2), fill=colours[i % len(colours)])


# Text


def _lines(spans: Sequence[PromptSpan], room: int, size: int, most: int) -> list[list[_Piece]]:
    """Spans broken into lines of words; what does not fit into `most` lines becomes an ellipsis."""
    length = font(size).getlength
    words: list[list[_Piece]] = [[]]  # a space is a word of its own
    for span in spans:
        for text in re.findall(r"\s|\S+", span.text):
            if text.isspace():
                words += [[(" ", span.groups)], []]
            else:
                words[-1].append((text, span.groups))

    lines: list[list[_Piece]] = [[]]
    used = 0.0
    for word in words:
        # A word longer than a line, such as a sentence of a language without spaces, breaks anywhere.
        fits = sum(length(text) for text, _ in word) <= room
        for part in [word] if fits else [[(letter, groups)] for text, groups in word for letter in text]:
            width = sum(length(text) for text, _ in part)
            if used + width > room:
                if lines[-1] and lines[-1][-1][0] == " ":  # no underline into the margin
                    lines[-1].pop()
                lines.append([])
                used = 0.0
            if used or [text for text, _ in part] != [" "]:
                lines[-1] += part
                used += width
    if len(lines) > most:
        last = [(letter, groups) for text, groups in lines[most - 1] for letter in text]
        while last and sum(length(text) for text, _ in last) + length("...") > room:
            last.pop()
        lines = [*lines[: most - 1], [*last, ("...", ())]]
    return lines
