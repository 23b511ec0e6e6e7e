"""Films a glyph scene: frames, the reference images, and where everything is."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from .appearance import HATS, PROPS, Place, Thing
from .casting import GlyphPerson, GlyphScene
from .drawing import FINE, HAT, HEAD, OBJECT, PROP, SHIRT, draw_face, draw_garment, draw_sash, draw_thing, sprite

FRAMES_A_SECOND = 16
BODY = (22, 57)  # width and height of a person, in pixels
HEAD_AT, SHIRT_AT, HAT_AT, PROP_AT = (2, 6), (0, 23), (1, 0), (4, 42)  # corners within the body
GAP = 3  # rows of ground below the feet
OBJECT_AT = ((BODY[0] - OBJECT[0]) / 2, BODY[1] - OBJECT[1])
GROUND = 0.72  # the horizon, as a share of the height
TROUSERS = (52, 56, 70)
REFERENCE_SCALE = 4  # pixels of a reference image to a pixel of a clip

Box = tuple[float, float, float, float]
"""left, top, right, bottom in pixels"""


@dataclass(frozen=True, eq=False)
class GlyphClip:
    """A filmed scene.

    Args:
        frames: (F, H, W, 3) float32, 0..1.
        regions: for each frame and person, the boxes of "person", "face", "shirt", and of "hat" and "prop" if there.
    """

    frames: Tensor
    regions: list[list[dict[str, Box]]]


def film(scene: GlyphScene, frames: int = 9, height: int = 64, width: int = 80) -> GlyphClip:
    """Film a scene; people keep their size in pixels, whatever the frame's."""
    backdrop = draw_place(scene.place, height, width)
    figures = [_figure(person, scene.sashes) for person in scene.people]
    standing = None if scene.thing is None else sprite(draw_thing(scene.thing))
    film_: list[np.ndarray] = []
    regions: list[list] = []
    for frame in range(frames):
        picture = backdrop.copy()
        if standing is not None:
            paste(picture, standing, scene.thing_x * width - OBJECT[0] / 2, height - GAP - OBJECT[1])
        regions.append([])
        for person, figure in zip(scene.people, figures, strict=True):
            seconds = frame / FRAMES_A_SECOND
            left = (person.x + person.drift * seconds) * width - BODY[0] / 2
            left = min(max(left, 0), width - BODY[0])
            top = height - GAP - BODY[1] - 1.2 * abs(np.sin(np.pi * (2 * seconds + person.bounce)))
            left, top = paste(picture, figure, left, top)
            regions[-1].append(_regions(person, left, top))
        film_.append(picture)
    return GlyphClip(torch.from_numpy(np.stack(film_)).clamp(0, 1), regions)


def face_picture(person: GlyphPerson, height: int, width: int) -> Tensor:
    """The reference image of a face: cut out on white where it is on a person in the middle.

    Args:
        height, width: of a clip, in pixels; the image has their proportions and shows things in the clip's scale.

    Returns: (REFERENCE_SCALE * height, REFERENCE_SCALE * width, 3) float32 in 0..1.
    """
    return _in_place(draw_face(person.face, REFERENCE_SCALE), HEAD_AT, height, width)


def shirt_picture(person: GlyphPerson, height: int, width: int) -> Tensor:
    """The reference image of a shirt, as of a face."""
    return _in_place(draw_garment(person.shirt, REFERENCE_SCALE), SHIRT_AT, height, width)


def thing_picture(thing: Thing, height: int, width: int) -> Tensor:
    """The reference image of a hat, a prop or an object, as of a face."""
    at = HAT_AT if thing.kind in HATS else PROP_AT if thing.kind in PROPS else OBJECT_AT
    return _in_place(draw_thing(thing, REFERENCE_SCALE), at, height, width)


def place_picture(place: Place, height: int, width: int) -> Tensor:
    """The reference image of a background."""
    return torch.from_numpy(draw_place(place, height, width)).clamp(0, 1)


def draw_place(place: Place | None, height: int, width: int) -> np.ndarray:
    """(H, W, 3) float32 in 0..1; without a place a plain grey studio."""
    if place is None:
        return np.full((height, width, 3), 0.8, np.float32)
    above, below = (np.array(colour, np.float32) / 255 for colour in (place.above, place.below))
    picture = np.empty((height, width, 3), np.float32)
    horizon = round(GROUND * height)
    share = np.linspace(0, 1, horizon, dtype=np.float32)[:, None, None]
    picture[:horizon] = above * (1 - 0.25 * share) + 0.25 * share
    picture[horizon:] = below
    rows, columns = np.arange(height), np.arange(width)
    if place.kind == "beach":
        picture[horizon - 8 : horizon] = 0.5 * above + 0.5 * np.array((0.2, 0.4, 0.9), np.float32)
    elif place.kind == "meadow":
        picture[horizon:][:, columns % 16 < 6] *= 0.85
    elif place.kind == "room":
        picture[: horizon - 2][:, columns % 20 < 4] *= 0.85
        picture[horizon - 2 : horizon] *= 0.6
    elif place.kind == "street":
        picture[horizon + 6 : horizon + 8] = 0.95
        for left in range(2, width, 20):
            picture[14:horizon, left : left + 12] *= 0.8
    elif place.kind == "desert":
        hills = horizon - 6 - 5 * np.sin(columns / 9)
        picture[(rows[:, None] > hills) & (rows[:, None] < horizon)] = below * 0.9
    return picture


def part_names(person: GlyphPerson, sash: bool = False) -> list[str]:
    """The parts of a person from back to front: "legs", "shirt", "face", and "sash", "hat" and "prop" if there."""
    there = {"sash": sash, "hat": person.hat, "prop": person.prop}
    return [name for name in ("legs", "shirt", "sash", "face", "hat", "prop") if there.get(name, True)]


def draw_part(person: GlyphPerson, name: str) -> Image.Image:
    """One of a person's parts, RGBA on a sheet of the body's size in sprite pixels."""
    sheet = Image.new("RGBA", (FINE * BODY[0], FINE * BODY[1]), (0, 0, 0, 0))

    def put(image: Image.Image, at: tuple[float, float]) -> None:
        sheet.alpha_composite(image, (round(FINE * at[0]), round(FINE * at[1])))

    if name == "legs":
        legs = Image.new("RGBA", (FINE * 5, FINE * 14), (*TROUSERS, 255))
        put(legs, (5, 43))
        put(legs, (12, 43))
    elif name == "shirt":
        put(draw_garment(person.shirt), SHIRT_AT)
    elif name == "sash":
        put(draw_sash(), SHIRT_AT)
    elif name == "face":
        put(draw_face(person.face), HEAD_AT)
    elif name == "hat" and person.hat:
        put(draw_thing(person.hat), HAT_AT)
    elif name == "prop" and person.prop:
        put(draw_thing(person.prop), PROP_AT)
    return sheet


def _figure(person: GlyphPerson, sash: bool) -> np.ndarray:
    """The whole person as one sprite."""
    sheet = Image.new("RGBA", (FINE * BODY[0], FINE * BODY[1]), (0, 0, 0, 0))
    for name in part_names(person, sash):
        sheet.alpha_composite(draw_part(person, name))
    return sprite(sheet)


def paste(picture: np.ndarray, figure: np.ndarray, left: float, top: float) -> tuple[float, float]:
    """Paste a sprite onto (H, W, 3) at the nearest quarter of a pixel, and return where that is."""
    x, y = round(left * FINE), round(top * FINE)
    pad_x, pad_y = x % FINE, y % FINE
    rows = -(-(figure.shape[0] + pad_y) // FINE)
    columns = -(-(figure.shape[1] + pad_x) // FINE)
    fine = np.zeros((rows * FINE, columns * FINE, 4), np.float32)
    fine[pad_y : pad_y + figure.shape[0], pad_x : pad_x + figure.shape[1]] = figure
    small = fine.reshape(rows, FINE, columns, FINE, 4).mean(axis=(1, 3))
    first_row, first_column = (y - pad_y) // FINE, (x - pad_x) // FINE
    top_cut, left_cut = max(0, -first_row), max(0, -first_column)
    small = small[top_cut : picture.shape[0] - first_row, left_cut : picture.shape[1] - first_column]
    place = picture[first_row + top_cut :, first_column + left_cut :][: small.shape[0], : small.shape[1]]
    place *= 1 - small[..., 3:]
    place += small[..., :3]
    return x / FINE, y / FINE


def _regions(person: GlyphPerson, left: float, top: float) -> dict[str, Box]:
    def box(at: tuple[float, float], size: tuple[int, int]) -> Box:
        return left + at[0], top + at[1], left + at[0] + size[0], top + at[1] + size[1]

    regions = {"person": box((0, 0), BODY), "face": box(HEAD_AT, HEAD), "shirt": box(SHIRT_AT, SHIRT)}
    if person.hat:
        regions["hat"] = box(HAT_AT, HAT)
    if person.prop:
        regions["prop"] = box(PROP_AT, PROP)
    return regions


def _in_place(image: Image.Image, at: tuple[float, float], height: int, width: int) -> Tensor:
    """A drawing on white, at its place on a person in the middle."""
    white = Image.new("RGBA", (REFERENCE_SCALE * width, REFERENCE_SCALE * height), "white")
    left, top = width / 2 - BODY[0] / 2 + at[0], height - GAP - BODY[1] + at[1]
    white.alpha_composite(image, (round(REFERENCE_SCALE * left), round(REFERENCE_SCALE * top)))
    return torch.from_numpy(np.asarray(white.convert("RGB"), np.float32) / 255)
