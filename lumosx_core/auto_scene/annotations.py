"""Findings drawn over their photo: masks, boxes and names, each in its owner's colour."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageColor, ImageDraw, ImageFilter
from torch import Tensor

from ..drawing.contact_sheet import CARD, PAGE, TEXT, WARNING
from ..drawing.fonts import font
from ..media.images import to_pil
from .cutouts.regions import Box, Region

LARGEST, SMALLEST = 1280, 640  # the long side of the drawing
MOST_ENLARGED = 2
MOST_MARKS = 60
TINT = 0.42  # opacity of a mask's colour over the photo
LABEL_SIZE, NOTE_SIZE = 17, 14
LABEL_HEIGHT, NOTE_HEIGHT = 23, 20
TAG_PADDING = 5
GRID = 24  # pixels between the places tried for a tag
LINE = 3
FACE_WORTH = 5.0  # what is only in a box, such as a face, must be seen; a mask shows its colour around a tag
COUNT_HEIGHT = 30


@dataclass(frozen=True)
class Mark:
    """One thing that was found.

    Args:
        label: its name and whatever else its tag says.
        colour: such as "#56B4E9"; things of one owner have the same.
        box, region: where it is. With neither only the tag is drawn, in the upper left corner.
        note: a short warning under the label.
    """

    label: str
    colour: str
    box: Box | None = None
    region: Region | None = None
    note: str = ""


def note_of(warnings: Sequence[str]) -> str:
    """The note on the mark of something that was warned of."""
    return "look at the warnings" if warnings else ""


def draw_findings(image: Tensor, marks: Sequence[Mark]) -> Image.Image:
    """Draw marks over a photo: tinted masks with a contour, boxes, and tags that do not cover each other.

    Args:
        image: (H, W, 3) float, 0..1.
        marks: the first 60 are drawn, the others counted in a line below the photo.

    Returns: RGB image. Its long side is at most 1280 pixels; a photo below 640 is enlarged to that, at most twice.
    """
    canvas = _canvas(image)
    scale = canvas.width / image.shape[1], canvas.height / image.shape[0]
    drawn = marks[:MOST_MARKS]
    regions = [(mark, mark.region) for mark in drawn if mark.region is not None]
    for mark, region in sorted(regions, key=lambda pair: -pair[1].box.area):  # small ones on top
        _draw_region(canvas, region, mark.colour, scale)
    draw = ImageDraw.Draw(canvas)
    for mark in drawn:
        if mark.box is not None:
            _draw_box(draw, mark.box.scaled(*scale), mark.colour, canvas.size)
    _draw_tags(canvas, drawn, scale)
    return _counted(canvas, len(marks) - len(drawn)) if len(marks) > len(drawn) else canvas


def _canvas(image: Tensor) -> Image.Image:
    height, width = image.shape[:2]
    long_side = max(height, width)
    ratio = min(LARGEST / long_side, max(1.0, min(SMALLEST / long_side, MOST_ENLARGED)))
    # Four samples a pixel are plenty, and keep a huge image from being copied whole.
    stride = max(1, int(1 / ratio / 2))
    size = max(1, round(width * ratio)), max(1, round(height * ratio))
    return to_pil(image[::stride, ::stride]).resize(size, Image.Resampling.LANCZOS)


# Masks and boxes


def _draw_region(canvas: Image.Image, region: Region, colour: str, scale: tuple[float, float]) -> None:
    place = region.box.scaled(*scale).within(canvas.height, canvas.width)
    left, top = int(place.left), int(place.top)
    size = int(place.width), int(place.height)
    stride = max(1, int(1 / scale[0] / 2))
    opacity = (region.opacity[::stride, ::stride] * 255).round().byte().cpu().numpy()
    # A rim of nothing around it, so that the contour closes where the region ends.
    mask = Image.new("L", (size[0] + 2 * LINE, size[1] + 2 * LINE))
    mask.paste(Image.fromarray(opacity).resize(size, Image.Resampling.BILINEAR), (LINE, LINE))
    corner = left - LINE, top - LINE

    canvas.paste(colour, corner, mask.point(lambda value: round(value * TINT)))
    solid = mask.point(lambda value: 255 * (value >= 128))
    # A dark line outside the coloured one: one of the two stands out, whatever is below.
    canvas.paste(PAGE, corner, _ring(solid.filter(ImageFilter.MaxFilter(3)), solid))
    canvas.paste(colour, corner, _ring(solid, solid.filter(ImageFilter.MinFilter(2 * LINE + 1))))


def _ring(outer: Image.Image, inner: Image.Image) -> Image.Image:
    return Image.fromarray(np.asarray(outer) - np.asarray(inner))


def _draw_box(draw: ImageDraw.ImageDraw, box: Box, colour: str, size: tuple[int, int]) -> None:
    inside = box.within(size[1], size[0])
    corners = inside.left, inside.top, inside.right - 1, inside.bottom - 1
    draw.rectangle(corners, outline=PAGE, width=LINE + 1)
    draw.rectangle(corners, outline=colour, width=LINE - 1)


# Tags


def _draw_tags(canvas: Image.Image, marks: Sequence[Mark], scale: tuple[float, float]) -> None:
    draw = ImageDraw.Draw(canvas)
    targets = [_target(mark).scaled(*scale).within(canvas.height, canvas.width) for mark in marks]
    texts = [
        (_shortened(m.label, LABEL_SIZE, canvas.width), _shortened(m.note, NOTE_SIZE, canvas.width)) for m in marks
    ]
    worth = [(box, FACE_WORTH if mark.region is None else 1.0) for mark, box in zip(marks, targets, strict=True)]
    tags: list[Box] = []
    for mark, target, text in zip(marks, targets, texts, strict=True):
        goal = target if mark.region is None else _heart(mark.region, scale)
        tags.append(_free_place(_tag_size(*text), target, goal, worth, tags, canvas.size))
        _draw_leader(draw, tags[-1], goal, mark.colour)
    for mark, tag, text in zip(marks, tags, texts, strict=True):  # over all the lines
        _draw_tag(draw, tag, mark.colour, *text)


def _target(mark: Mark) -> Box:
    if mark.box is not None:
        return mark.box
    return Box(0, 0, 0, 0) if mark.region is None else mark.region.box


def _tag_size(label: str, note: str) -> tuple[int, int]:
    width = max(font(LABEL_SIZE).getlength(label), font(NOTE_SIZE).getlength(note))
    return round(width) + 2 * TAG_PADDING, LABEL_HEIGHT + (NOTE_HEIGHT if note else 0)


def _heart(region: Region, scale: tuple[float, float]) -> Box:
    """A pixel of the region next to its middle, which may lie beside it; in pixels of the canvas."""
    stride = max(1, max(region.opacity.shape) // 64)
    points = (region.opacity[::stride, ::stride] >= 0.5).nonzero().float() * stride
    if not len(points):
        return region.box.scaled(*scale)
    y, x = points[int((points - points.mean(dim=0)).norm(dim=1).argmin())].tolist()
    return Box(x, y, x + 1, y + 1).moved(region.left, region.top).scaled(*scale)


def _free_place(
    size: tuple[int, int],
    target: Box,
    goal: Box,
    worth: Sequence[tuple[Box, float]],
    tags: Sequence[Box],
    canvas: tuple[int, int],
) -> Box:
    """Where a tag goes: at its goal, free of other tags, and covering little of what was found.

    Tried are the corners of the target, the middle of the goal, and a grid over the whole image. The least cost
    wins: the fraction of the tag that covers other tags counts most, then the fractions of all targets that it would
    cover (times their worth), then the way from its middle to the goal, 150 pixels like one whole target.
    """
    width, height = size
    across, down = max(0, canvas[0] - width), max(0, canvas[1] - height)
    corners = [
        (left, top)
        for top in (target.top - height, target.bottom, target.top, target.bottom - height)
        for left in (target.left, target.right - width)
    ]
    middle = [(goal.centre[0] - width / 2, goal.centre[1] - height / 2)]
    grid = [(left, top) for top in range(0, down + 1, GRID) for left in range(0, across + 1, GRID)]
    corner = np.clip(np.rint(corners + middle + grid), 0, (across, down))
    places = np.hstack([corner, corner + size])
    middles = np.tile(corner + np.array(size) / 2, 2)
    covered = _covered(places, [box for box, _ in worth]) * [value / max(1.0, box.area) for box, value in worth]
    cost = 100 * _covered(places, tags).sum(axis=1) / (width * height) + covered.sum(axis=1) + _gap(middles, goal) / 150
    return Box(*places[int(cost.argmin())])


def _covered(places: np.ndarray, boxes: Sequence[Box]) -> np.ndarray:
    """(places, boxes): the area that each place has in common with each box."""
    other = np.array([(box.left, box.top, box.right, box.bottom) for box in boxes]).reshape(1, -1, 4)
    common = np.minimum(places[:, None, 2:], other[..., 2:]) - np.maximum(places[:, None, :2], other[..., :2])
    return common.clip(0).prod(axis=-1)


def _gap(places: np.ndarray, box: Box) -> np.ndarray:
    """(places,): how far each place is from a box, 0 where they touch."""
    x = np.maximum(box.left - places[:, 2], places[:, 0] - box.right).clip(0)
    y = np.maximum(box.top - places[:, 3], places[:, 1] - box.bottom).clip(0)
    return np.hypot(x, y)


def _draw_leader(draw: ImageDraw.ImageDraw, tag: Box, goal: Box, colour: str) -> None:
    """A line from a tag to what it belongs to, unless it is there already."""
    ends = []
    for low, high, tag_low, tag_high in (
        (goal.left, goal.right, tag.left, tag.right),
        (goal.top, goal.bottom, tag.top, tag.bottom),
    ):
        near = min(max((low + high) / 2, tag_low), tag_high - 1)
        ends.append((near, min(max(near, low), high)))
    (x0, x), (y0, y) = ends
    if max(abs(x - x0), abs(y - y0)) <= LABEL_HEIGHT / 2:
        return
    draw.line((x0, y0, x, y), fill=PAGE, width=LINE + 2)
    draw.ellipse((x - 6, y - 6, x + 6, y + 6), fill=PAGE)
    draw.line((x0, y0, x, y), fill=colour, width=LINE)
    draw.ellipse((x - 4, y - 4, x + 4, y + 4), fill=colour)


def _draw_tag(draw: ImageDraw.ImageDraw, tag: Box, colour: str, label: str, note: str) -> None:
    left, top, right, bottom = tag.left, tag.top, tag.right - 1, tag.bottom - 1
    draw.rectangle((left, top, right, bottom), fill=PAGE)
    draw.rectangle((left, top, right, top + LABEL_HEIGHT - 1), fill=colour)
    draw.text((left + TAG_PADDING, top + 1), label, fill=_readable_on(colour), font=font(LABEL_SIZE))
    draw.text((left + TAG_PADDING, top + LABEL_HEIGHT), note, fill=WARNING, font=font(NOTE_SIZE))


# Text


def _shortened(text: str, size: int, room: int) -> str:
    """The text on one line, its end an ellipsis where it would be wider than the image."""
    text = " ".join(text.split())
    room -= 2 * TAG_PADDING
    if font(size).getlength(text) <= room:
        return text
    while text and font(size).getlength(text + "...") > room:
        text = text[:-1]
    return text.rstrip() + "..."


def _readable_on(colour: str) -> str:
    """Dark letters on a light colour, light ones on a dark one."""
    red, green, blue = ImageColor.getrgb(colour)[:3]
    return PAGE if 0.299 * red + 0.587 * green + 0.114 * blue > 128 else CARD


def _counted(picture: Image.Image, hidden: int) -> Image.Image:
    page = Image.new("RGB", (picture.width, picture.height + COUNT_HEIGHT), PAGE)
    page.paste(picture)
    text = _shortened(f"{hidden} more findings are not shown", LABEL_SIZE, page.width)
    ImageDraw.Draw(page).text((TAG_PADDING, picture.height + 4), text, fill=TEXT, font=font(LABEL_SIZE))
    return page
