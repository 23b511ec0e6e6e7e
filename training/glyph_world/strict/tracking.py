"""Finds where the people and the object of a scene are in each frame of a clip, to a quarter of a pixel."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from ..clip import BODY, GAP
from ..drawing import FINE, OBJECT
from .composition import Corner, Figure, spread

APART = 10  # pixels between two people
CANDIDATES = 6  # columns considered for each person
REACH = 4  # pixels by which people move within a clip of half a second
LIFT = 5  # pixels by which feet may be off the ground


@dataclass(frozen=True, eq=False)
class Tracks:
    """Where everyone is.

    Args:
        people: for each frame, the corner of each person's body.
        thing: for each frame, the corner of the object; None without one.
    """

    people: list[list[Corner]]
    thing: list[Corner] | None


def track(frames: Tensor, people: Sequence[Figure], thing: Figure | None) -> Tracks:
    """Find the figures of people, and of an object, in a clip.

    People are where their figures fit best over the whole clip, apart from one another, and in each frame close to
    that. An object is looked for on the ground.

    Args:
        frames: (F, 3, H, W), 0..1.
    """
    corners = _follow(frames, people, BODY, LIFT)
    if thing is None:
        return Tracks(corners, None)
    return Tracks(corners, [corner for [corner] in _follow(frames, [thing], OBJECT, 2)])


def _follow(frames: Tensor, figures: Sequence[Figure], size: tuple[int, int], lift: int) -> list[list[Corner]]:
    """For each frame the corner of each figure, whose feet are at most `lift` pixels off the ground."""
    first = max(0, frames.shape[2] - GAP - size[1] - lift)
    rows = frames[:, :, first:]
    maps = [_whole_pixels(rows, figure, size) for figure in figures]
    columns = _columns([_over_time(each) for each in maps])
    phases = [_phases(figure, size) for figure in figures]
    return [
        [
            _refine(rows[number], phases[index], *_start(maps[index][number], column), first)
            for index, column in enumerate(columns)
        ]
        for number in range(len(frames))
    ]


def distances(frames: Tensor, kernels: Tensor) -> Tensor:
    """Mean squared error of sprites in the pixels of a clip over their opacity, at each place of their corner.

    Args:
        frames: (F, 3, H, W).
        kernels: (N, 4, h, w), colours multiplied with the opacity, and the opacity.

    Returns:
        (F, N, H - h + 1, W - w + 1).
    """
    colour, opacity = kernels[:, :3], kernels[:, 3:]
    plain = colour / opacity.clamp_min(1e-6)
    weights = torch.cat([opacity, -2 * colour], dim=1)
    values = torch.cat([frames.square().sum(1, keepdim=True), frames], dim=1)
    constant = (colour * plain).sum((1, 2, 3))
    total = 3 * opacity.sum((1, 2, 3))
    return (F.conv2d(values, weights) + constant[:, None, None]).clamp_min(0) / total[:, None, None]


def _whole_pixels(rows: Tensor, figure: Figure, size: tuple[int, int]) -> Tensor:
    """(F, H - h + 1, W - w + 1): distances with the corner on whole pixels."""
    return distances(rows, spread(figure.sheet[None, :4], (0, 0), size[1], size[0]))[:, 0]


def _over_time(maps: Tensor) -> Tensor:
    """(W - w + 1): the mean over frames of the best distance near each column."""
    best = maps.amin(dim=1)
    near = -F.max_pool1d(-best[:, None], 2 * REACH + 1, 1, REACH)[:, 0]
    # The middle of a plateau counts most: what is near is only a bonus over what is there.
    return (near + 0.1 * best).mean(0)


def _columns(costs: list[Tensor]) -> list[int]:
    """A column for each person, apart from one another, with the smallest sum of distances."""
    choices = []
    for cost in costs:
        remaining, candidates = cost.clone(), []
        for _ in range(CANDIDATES):
            x = int(remaining.argmin())
            candidates.append((cost[x].item(), x))
            remaining[max(0, x - APART // 2) : x + APART // 2 + 1] = float("inf")
        choices.append(candidates)

    def total(chosen: Sequence[tuple[float, int]]) -> float:
        places = sorted(x for _, x in chosen)
        crowded = sum(b - a < APART for a, b in itertools.pairwise(places))
        return sum(cost for cost, _ in chosen) + crowded  # distances are below 1

    return [x for _, x in min(itertools.product(*choices), key=total)]


def _start(distances_: Tensor, column: int) -> tuple[int, int]:
    """The best (row, column) of one frame near a column."""
    first = max(0, column - REACH)
    near = distances_[:, first : column + REACH + 1]
    best = int(near.argmin())
    return best // near.shape[1], first + best % near.shape[1]


def _phases(figure: Figure, size: tuple[int, int]) -> Tensor:
    """(FINE * FINE, 4, h + 1, w + 1): the figure moved down and right by fractions of a pixel."""
    corners = [(x / FINE, y / FINE) for y, x in itertools.product(range(FINE), repeat=2)]
    return torch.stack([spread(figure.sheet[:4], corner, size[1] + 1, size[0] + 1) for corner in corners])


def _refine(rows: Tensor, phases: Tensor, row: int, column: int, first: int) -> Corner:
    """The corner (left, top) that fits best within a pixel of (row, column), in quarters.

    Args:
        rows: (3, h, W), the frame below row `first`.
    """
    height, width = phases.shape[-2:]
    padded = F.pad(rows[None], (2, 3, 2, 3), mode="replicate")
    area = padded[:, :, row + 1 : row + 3 + height, column + 1 : column + 3 + width]
    fits = distances(area, phases)[0]  # phases, 3, 3: from one pixel above and left
    phase, place = divmod(int(fits.argmin()), 9)
    down, right = divmod(place, 3)
    y, x = divmod(phase, FINE)
    return column - 1 + right + x / FINE, first + row - 1 + down + y / FINE
