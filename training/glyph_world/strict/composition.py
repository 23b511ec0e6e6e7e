"""Composes the frames that a scene should show, with people and the object where a clip has them.

Each figure is kept apart from what is behind and in front of it, so that the frame with another figure in its place is
found without drawing the rest again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from typing import Any

import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from ..appearance import Place, Thing
from ..casting import GlyphPerson, GlyphScene
from ..clip import BODY, draw_part, draw_place, part_names
from ..drawing import FINE, HEAD, draw_thing, sprite

SOFTNESS = 1.3
"""Standard deviation in pixels of the blur with which lumosx-tiny's VAE returns a sharp clip: a drawing is compared
after the same blur, since what it removes tells nothing about what was generated."""

BLUR = HEAD[0] // 2  # pixels, odd: a blur that leaves no likeness
AROUND = 5  # pixels

Corner = tuple[float, float]
"""left, top in pixels"""


@dataclass(frozen=True, eq=False)
class Figure:
    """A person or an object as a sheet in sprite pixels.

    Args:
        sheet: (4 + parts, h, w): colours multiplied with the opacity, opacity, and the opacity of each visible part.
        parts: names of the parts.
    """

    sheet: Tensor
    parts: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class Placed:
    """A figure in its frame.

    Args:
        colour: (3, H, W), multiplied with the opacity.
        opacity: (H, W).
        parts: (parts, H, W), the opacity of each part.
        behind: (3, H, W), the frame up to this figure.
        clear: (H, W), the fraction of each pixel that nothing in front of the figure hides.
        corner: where it is.
    """

    colour: Tensor
    opacity: Tensor
    parts: Tensor
    behind: Tensor
    clear: Tensor
    corner: Corner

    @property
    def visible(self) -> Tensor:
        """(parts, H, W), of each part what nothing hides."""
        return self.parts * self.clear

    def columns(self) -> slice:
        """The columns that this figure, and the blur of others in its place, can reach."""
        left = max(0, int(self.corner[0]) - AROUND)
        return slice(left, left + BODY[0] + 2 * AROUND)

    def cropped(self) -> Placed:
        """Only those columns."""
        columns = self.columns()
        return Placed(
            self.colour[..., columns],
            self.opacity[..., columns],
            self.parts[..., columns],
            self.behind[..., columns],
            self.clear[..., columns],
            (self.corner[0] - columns.start, self.corner[1]),
        )


@dataclass(frozen=True, eq=False)
class Composition:
    """A frame as it should be.

    Args:
        frame: (3, H, W).
        people: in the order of the scene.
        thing: the scene's object.
    """

    frame: Tensor
    people: list[Placed]
    thing: Placed | None

    @cached_property
    def softened(self) -> Tensor:
        """(3, H, W), as a good VAE gives the frame back."""
        return soften(self.frame)

    @cached_property
    def blurring(self) -> Tensor:
        """(3, H, W), how the softened frame differs if it is also blurred by a square of half a head."""
        padded = F.pad(self.frame[None], (BLUR // 2,) * 4, mode="replicate")
        return soften(F.avg_pool2d(padded, BLUR, 1)[0]) - self.softened

    def covered(self) -> Tensor:
        """(H, W), the opacity of people and object together."""
        clear = torch.ones_like(self.frame[0])
        for placed in (*self.people, *([self.thing] if self.thing else [])):
            clear = clear * (1 - placed.opacity)
        return 1 - clear


def draw_parts(person: GlyphPerson, sash: bool = False) -> dict[str, Tensor]:
    """The parts of a person from back to front, each (4, h, w): sprites, their channels first."""
    return {name: _sheet(draw_part(person, name)) for name in part_names(person, sash)}


def figure_of(parts: Mapping[str, Tensor]) -> Figure:
    """A person of these parts."""
    first = next(iter(parts.values()))
    sheet = first.new_zeros(4 + len(parts), *first.shape[1:])
    for number, part in enumerate(parts.values()):
        sheet *= 1 - part[3]
        sheet[:4] += part
        sheet[4 + number] += part[3]
    return Figure(sheet, tuple(parts))


def thing_figure(thing: Thing) -> Figure:
    """Draw an object."""
    return Figure(_sheet(draw_thing(thing)))


def part_of(person: GlyphPerson, part: str, value: Any) -> Tensor:
    """Another face, shirt, hat or prop as this person would have it; as of `draw_parts`."""
    return _sheet(draw_part(replace(person, **{part: value}), part))


def backdrop(place: Place | None, height: int, width: int) -> Tensor:
    """A background as (3, H, W)."""
    return torch.from_numpy(draw_place(place, height, width)).permute(2, 0, 1)


def spread(sheets: Tensor, corner: Corner, height: int, width: int) -> Tensor:
    """Sheets on an empty frame: (..., channels, h, w) in sprite pixels -> (..., channels, H, W) in pixels.

    Args:
        corner: rounded to a quarter of a pixel.
    """
    x, y = (round(each * FINE) for each in corner)
    left, top = x // FINE, y // FINE
    rows, columns = (-(-(side + phase % FINE) // FINE) for side, phase in zip(sheets.shape[-2:], (y, x), strict=True))
    beyond = (columns * FINE - sheets.shape[-1] - x % FINE, rows * FINE - sheets.shape[-2] - y % FINE)
    fine = F.pad(sheets, (x % FINE, beyond[0], y % FINE, beyond[1]))
    small = F.avg_pool2d(fine.reshape(-1, *fine.shape[-3:]), FINE)
    # A negative padding cuts off what is outside of the frame.
    small = F.pad(small, (left, width - left - columns, top, height - top - rows))
    return small.reshape(*sheets.shape[:-2], height, width)


def compose(
    scene: GlyphScene,
    figures: Sequence[Figure],
    corners: Sequence[Corner],
    thing: tuple[Figure, Corner] | None,
    height: int,
    width: int,
) -> Composition:
    """Compose one frame.

    Args:
        figures, corners: of the people.
        thing: the object and its corner.
    """
    frame = backdrop(scene.place, height, width)
    pasted = []
    for figure, corner in [*([thing] if thing else []), *zip(figures, corners, strict=True)]:
        layer = spread(figure.sheet, corner, height, width)
        pasted.append((layer, frame, corner))
        frame = frame * (1 - layer[3]) + layer[:3]
    clear = torch.ones(height, width)
    placed = []
    for layer, behind, corner in reversed(pasted):
        placed.append(Placed(layer[:3], layer[3], layer[4:], behind, clear, corner))
        clear = clear * (1 - layer[3])
    placed.reverse()
    return Composition(frame.clamp(0, 1), placed[bool(thing) :], placed[0] if thing else None)


def change(placed: Placed, others: Sequence[Figure], corner: Corner | None = None) -> Tensor:
    """How the frame differs if it shows other figures of the same size in place of this one: (N, 3, H, W).

    Args:
        corner: where the others are; None: in the same place.
    """
    height, width = placed.opacity.shape
    layers = spread(torch.stack([other.sheet[:4] for other in others]), corner or placed.corner, height, width)
    return placed.clear * (layers[:, :3] - placed.colour - placed.behind * (layers[:, 3:] - placed.opacity))


def removal(placed: Placed) -> Tensor:
    """How the frame differs without this figure: (3, H, W)."""
    return placed.clear * (placed.behind * placed.opacity - placed.colour)


def soften(images: Tensor, deviation: float = SOFTNESS) -> Tensor:
    """Blur (..., H, W) with a Gaussian; edges are repeated."""
    down, across = (_gaussian(side, deviation) for side in images.shape[-2:])
    return down @ images @ across.T


@lru_cache(maxsize=8)
def _gaussian(side: int, deviation: float) -> Tensor:
    """(side, side): the weights of all pixels of a line in each blurred one."""
    reach = int(3 * deviation + 0.5)
    offsets = torch.arange(-reach, reach + 1)
    weights = torch.exp(-0.5 * (offsets / deviation).square())
    rows = torch.arange(side)[:, None].expand(-1, len(offsets))
    matrix = torch.zeros(side, side)
    matrix.index_put_((rows, (rows + offsets).clamp(0, side - 1)), (weights / weights.sum()).expand(side, -1), True)
    return matrix


def _sheet(image: Image.Image) -> Tensor:
    return torch.from_numpy(sprite(image)).permute(2, 0, 1).contiguous()
