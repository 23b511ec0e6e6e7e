"""A contact sheet of a scene: who wears what, and which words of the prompt each reference image is bound to."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image, ImageDraw
from torch import Tensor

from ..media.images import to_pil
from ..prompt.match import clusters, split_number
from ..prompt.near_miss import near_miss
from ..prompt.phrase_mask import PromptSpan, clean_prompt, words_meant
from ..scene.scene import Reference, Scene
from .fonts import draw_text, text_length, undrawable

# Okabe and Ito's colours, which colour-blind people tell apart; dark ones lightened, so that text shows on the page.
COLOURS = ("#56B4E9", "#E69F00", "#2FC48D", "#E08BC0", "#F0E442", "#F4693B", "#A49BFF")
PAGE, PANEL, CARD, TEXT, FAINT, WARNING = "#1B1C1F", "#27292D", "#FFFFFF", "#E8E8EA", "#9A9CA3", "#FF8A80"

WIDTHS = (1080, 1240, 1400, 1600, 1800, 2000)  # the first one that makes it a landscape
LANDSCAPE = 1.2  # width / height, at least
MOST_COLUMNS = 4
MARGIN = 24
PADDING = 18
CELL_HEIGHT = 190  # of an image
CELL_WIDTHS = (136, 260)  # of an image and its caption: narrowest and widest
GAP = 16
CAPTION_SIZE, CAPTION_LINE, NOTE_SIZE, NOTE_LINE = 19, 25, 16, 20
TITLE_SIZE, TITLE_LINE = 23, 44
PROMPT_SIZE, PROMPT_LINE = 22, 38
WARNING_SIZE, WARNING_LINE = 19, 28
MOST_PICTURES = 60
MOST_LINES = 60

_Piece = tuple[str, tuple[int, ...]]  # text and the groups it belongs to


@dataclass(frozen=True)
class _Cell:
    """One reference image with its caption, ready to be placed."""

    image: Image.Image
    caption: list[str]
    note: list[str]  # lines in small print
    note_colour: str
    colour: str
    width: int


@dataclass(frozen=True)
class _Panel:
    """A titled box of the sheet with reference images.

    Args:
        width: in pixels; boxes in one row of the sheet are widened to fill it.
    """

    title: str
    colour: str
    width: int
    cells: tuple[_Cell, ...] = ()


def draw_contact_sheet(scene: Scene, spans: Sequence[PromptSpan], warnings: Sequence[str] = ()) -> Image.Image:
    """Draw a scene in landscape: people side by side, then objects and background, then the prompt.

    Every group of reference images has a colour; its words in the prompt have the same one. A phrase that the prompt
    does not contain is marked, with what was probably meant.

    Args:
        spans: the prompt, from `prompt_spans` or `match_phrases_in_text`; empty if there is none yet.
        warnings: sentences, from `scene_warnings`.

    Returns: RGB image, 1080 to 2000 pixels wide, wider than high unless it holds very much; images beyond the 60th are
        only counted.
    """
    prompt = "".join(span.text for span in spans)
    cells = _cells(scene, prompt)
    for width in WIDTHS:
        rows = _sheet_rows(scene, cells, spans, warnings, width - 2 * MARGIN)
        height = sum(row.height + GAP for row in rows) - GAP + 2 * MARGIN
        if width >= LANDSCAPE * height:
            break
    sheet = Image.new("RGB", (width, height), PAGE)
    top = MARGIN
    for row in rows:
        sheet.paste(row, (MARGIN, top))
        top += row.height + GAP
    return sheet


def _sheet_rows(
    scene: Scene,
    cells: list[tuple[_Row, tuple[_Cell, ...]]],
    spans: Sequence[PromptSpan],
    warnings: Sequence[str],
    room: int,
) -> list[Image.Image]:
    prompt = "".join(span.text for span in spans)
    rows = [_row_of(row, room) for row in _panel_rows(_panels(scene, cells, room), room)]
    if spans:
        rows.append(_prompt_panel(scene, spans, room))
    notes = [*warnings, *_font_warnings([prompt, *(reference.phrase for reference in scene.references)])]
    if notes:
        rows.append(_warning_panel(notes, room))
    return rows


def _cells(scene: Scene, prompt: str) -> list[tuple[_Row, tuple[_Cell, ...]]]:
    """What is shown of each row, at most 60 images in all."""
    shown, left = [], MOST_PICTURES
    for row in _rows(scene)[:MOST_PICTURES]:
        cells = tuple(
            _cell(reference, group_colour(scene, group), prompt or None) for reference, group in row.pictures[:left]
        )
        left -= len(cells)
        if cells or not row.pictures:
            shown.append((row, cells))
    return shown


def _panels(scene: Scene, shown: list[tuple[_Row, tuple[_Cell, ...]]], room: int) -> list[_Panel]:
    columns = max(1, min(len(scene.subjects), MOST_COLUMNS))
    column = (room - GAP * (columns - 1)) // columns
    panels = []
    for row, cells in shown:
        natural = sum(cell.width + GAP for cell in cells) - GAP + 2 * PADDING
        title = round(text_length(row.title, TITLE_SIZE)) + 2 * PADDING
        # People of a scene have columns of the same width, so that they line up.
        wide = column if row.person and columns > 1 else min(max(natural, title), room)
        panels.append(_Panel(row.title, row.colour, wide, cells))
    if not scene.references:
        panels.append(_Panel("The scene has no reference images", FAINT, room))
    hidden = len(scene.references) - sum(len(cells) for _, cells in shown)
    if hidden:
        panels.append(_Panel(f"{hidden} more reference images are not shown", FAINT, room))
    return panels


def _panel_rows(panels: list[_Panel], room: int) -> list[list[_Panel]]:
    """Panels side by side as long as they fit."""
    rows: list[list[_Panel]] = []
    left = 0
    for panel in panels:
        if not rows or panel.width > left:
            rows.append([])
            left = room
        rows[-1].append(panel)
        left -= panel.width + GAP
    return rows


def _row_of(panels: list[_Panel], room: int) -> Image.Image:
    """Panels side by side, as wide as the sheet together and all of the same height."""
    spare = room - sum(panel.width for panel in panels) - GAP * (len(panels) - 1)
    widths = [panel.width + spare // len(panels) for panel in panels]
    widths[-1] += spare - spare // len(panels) * len(panels)
    lines = [_cell_lines(panel.cells, width) for panel, width in zip(panels, widths, strict=True)]
    height = max(map(_content_height, lines))
    row = Image.new("RGB", (room, _panel_height(height)), PAGE)
    left = 0
    for panel, width, cells in zip(panels, widths, lines, strict=True):
        image, draw, top = _panel(panel.title, panel.colour, width, height)
        for line in cells:
            at = PADDING
            for cell in line:
                _draw_cell(image, draw, cell, at, top)
                at += cell.width + GAP
            top += _line_height(line) + GAP
        row.paste(image, (left, 0))
        left += width + GAP
    return row


@dataclass(frozen=True)
class _Row:
    """A panel of the sheet: reference images, each with its group."""

    title: str
    colour: str
    person: bool
    pictures: list[tuple[Reference, int]]


def _rows(scene: Scene) -> list[_Row]:
    """Subjects first: they are what the eye looks for."""
    first_object, first_subject = len(scene.standalone) - len(scene.objects), len(scene.standalone)
    rows = []
    for group, subject in enumerate(scene.subjects, first_subject):
        pictures = [(reference, group) for reference in subject.references]
        rows.append(
            _Row(subject.title or f"Subject {group - first_subject + 1}", group_colour(scene, group), True, pictures)
        )
    if scene.objects:
        rows.append(
            _Row("Objects", TEXT, False, [(scene.objects[i], first_object + i) for i in range(len(scene.objects))])
        )
    if scene.background is not None:
        rows.append(_Row("Background", group_colour(scene, 0), False, [(scene.background, 0)]))
    return rows


def group_colour(scene: Scene, group: int) -> str:
    """The colour of a group (an index into `scene.layout.groups`); subjects take the first ones and keep theirs."""
    standalone = len(scene.standalone)
    place = group - standalone if group >= standalone else len(scene.subjects) + (group - 1) % standalone
    return COLOURS[place % len(COLOURS)]


# Images


def _cell(reference: Reference, colour: str, prompt: str | None) -> _Cell:
    image = _thumbnail(reference.image)
    width = max(CELL_WIDTHS[0], image.width)
    phrase = clean_prompt(reference.phrase)
    caption = _plain_lines(phrase, width, CAPTION_SIZE, most=3)
    note, note_colour = [], FAINT
    if not phrase:
        caption, note = [], _plain_lines("bound to no words", width, NOTE_SIZE, most=2)
    elif prompt is not None and not words_meant(phrase, prompt):
        meant = near_miss(split_number(phrase)[0], prompt)
        text = "not in the prompt" + (f'. Did you mean "{meant}"?' if meant else "")
        note, note_colour = _plain_lines(text, width, NOTE_SIZE, most=4), WARNING
    return _Cell(image, caption, note, note_colour, colour, width)


def _thumbnail(image: Tensor) -> Image.Image:
    height, width = image.shape[:2]
    # Four samples a pixel are plenty, and keep a huge image from being copied whole.
    ratio = min(CELL_HEIGHT / height, CELL_WIDTHS[1] / width)
    stride = max(1, int(1 / ratio / 4))
    size = max(1, round(width * ratio)), max(1, round(height * ratio))
    return to_pil(image[::stride, ::stride]).resize(size, Image.Resampling.LANCZOS)


def _cell_lines(cells: Sequence[_Cell], width: int) -> list[list[_Cell]]:
    lines: list[list[_Cell]] = []
    left = 0
    for cell in cells:
        if not lines or cell.width > left:
            lines.append([])
            left = width - 2 * PADDING
        lines[-1].append(cell)
        left -= cell.width + GAP
    return lines


def _line_height(line: list[_Cell]) -> int:
    return CELL_HEIGHT + 10 + max(len(cell.caption) * CAPTION_LINE + len(cell.note) * NOTE_LINE for cell in line)


def _content_height(lines: list[list[_Cell]]) -> int:
    return sum(_line_height(line) + GAP for line in lines) - GAP if lines else 0


def _draw_cell(panel: Image.Image, draw: ImageDraw.ImageDraw, cell: _Cell, left: int, top: int) -> None:
    draw.rectangle((left, top, left + cell.width - 1, top + CELL_HEIGHT - 1), fill=CARD)
    x, y = left + (cell.width - cell.image.width) // 2, top + (CELL_HEIGHT - cell.image.height) // 2
    panel.paste(cell.image, (x, y))
    draw.rectangle((left, top + CELL_HEIGHT, left + cell.width - 1, top + CELL_HEIGHT + 3), fill=cell.colour)
    top += CELL_HEIGHT + 10
    for text in cell.caption:
        draw_text(draw, (left, top), text, TEXT, CAPTION_SIZE)
        top += CAPTION_LINE
    for text in cell.note:
        draw_text(draw, (left, top), text, cell.note_colour, NOTE_SIZE)
        top += NOTE_LINE


def _panel_height(content: int) -> int:
    return PADDING + TITLE_LINE + content + (PADDING if content else 0)


def _panel(title: str, colour: str, width: int, content: int) -> tuple[Image.Image, ImageDraw.ImageDraw, int]:
    """An empty panel with its title in its colour, and where its content begins."""
    panel = Image.new("RGB", (width, _panel_height(content)), PANEL)
    draw = ImageDraw.Draw(panel)
    draw.rectangle((0, 0, 4, panel.height), fill=colour)
    draw_text(draw, (PADDING, PADDING - 4), title, colour, TITLE_SIZE)
    return panel, draw, PADDING + TITLE_LINE


# The prompt


def _prompt_panel(scene: Scene, spans: Sequence[PromptSpan], room: int) -> Image.Image:
    lines = _lines(spans, room - 2 * PADDING, PROMPT_SIZE, MOST_LINES)
    panel, draw, top = _panel("Prompt", TEXT, room, PROMPT_LINE * len(lines))
    for line in lines:
        left = float(PADDING)
        for text, groups in line:
            right = left + text_length(text, PROMPT_SIZE)
            colours = [group_colour(scene, group) for group in groups]
            draw_text(draw, (left, top), text, colours[0] if len(colours) == 1 else TEXT, PROMPT_SIZE)
            _underline(draw, left, right, top + 28, colours)
            left = right
        top += PROMPT_LINE
    return panel


def _underline(draw: ImageDraw.ImageDraw, left: float, right: float, y: int, colours: list[str]) -> None:
    """A line under words of a group; words of several groups have one in stripes of all their colours."""
    stripes = max(len(colours), round((right - left) / 12)) if len(colours) > 1 else len(colours)
    for i in range(stripes):
        edges = [round(left + (right - left) * j / stripes) for j in (i, i + 1)]
        draw.rectangle((edges[0], y, max(edges[0], edges[1] - 1), y + 2), fill=colours[i % len(colours)])


# Warnings


def _warning_panel(warnings: Sequence[str], room: int) -> Image.Image:
    lines = [
        line
        for warning in warnings
        for line in _plain_lines(f"- {warning}", room - 2 * PADDING, WARNING_SIZE, most=MOST_LINES)
    ][:MOST_LINES]
    panel, draw, top = _panel("Warnings", WARNING, room, WARNING_LINE * len(lines))
    for line in lines:
        draw_text(draw, (PADDING, top), line, TEXT, WARNING_SIZE)
        top += WARNING_LINE
    return panel


def _font_warnings(texts: Sequence[str]) -> list[str]:
    missing = undrawable("".join(texts))
    if not missing:
        return []
    return [
        f"No font on this machine has {len(missing)} of the characters, which are drawn as ? here: the video is not "
        f"affected. Install a font of the script, such as Noto Sans, to see them."
    ]


# Text


def _plain_lines(text: str, room: int, size: int, most: int) -> list[str]:
    return ["".join(part for part, _ in line) for line in _lines([PromptSpan(text)], room, size, most)]


def _lines(spans: Sequence[PromptSpan], room: int, size: int, most: int) -> list[list[_Piece]]:
    """Spans broken into lines of words; what does not fit into `most` lines becomes an ellipsis."""
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
        fits = sum(text_length(text, size) for text, _ in word) <= room
        for part in [word] if fits else [[(text[a:b], groups)] for text, groups in word for a, b in clusters(text)]:
            width = sum(text_length(text, size) for text, _ in part)
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
        while last and sum(text_length(text, size) for text, _ in last) + text_length("...", size) > room:
            last.pop()
        lines = [*lines[: most - 1], [*last, ("...", ())]]
    return lines
