"""Known faces removed from the cutouts of garments: a segmenter that is shown a coat often takes the head as well."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from .regions import Face, Region

# Of a garment inside a face's box: more is on the face, such as glasses, a mask or a beard.
ON_THE_FACE = 0.5
# Of a face inside a garment: more is a face that was taken for a part of it. Less may be a brim, a scarf or hair, and
# is left, unless the garment is far below the face.
SWALLOWED = 0.5
FAR_BELOW = 1.0  # heights of the face, from its chin to the middle of the garment


def without_faces(region: Region, wearer: Face | None, others: Sequence[Face] = ()) -> Region:
    """A garment's region without faces, each an ellipse in its box; the region itself if none has to go.

    Args:
        region: with a hard or a soft edge.
        wearer: the face of whoever wears it; it stays where the garment is worn on the face or close to it.
        others: faces of other people: what they cover is never a garment. They go wherever they are, unless the
            garment lies on one of them.
    """
    kept = region
    for face in [*([wearer] if wearer else []), *others]:
        if not _lies_on(region, face) and (face is not wearer or _is_swallowed(region, face)):
            kept = _without(kept, face)
    # A region that is nothing but faces says more about the faces than about the garment.
    return kept if bool(kept.solid.any()) else region


def face_share_in(face: Face, region: Region) -> float:
    """The fraction of a face, an ellipse in its box, inside a region: 0..1."""
    return min(1.0, float((region.opacity * _ellipse(region, face)).sum()) / max(1.0, _area(face)))


def _lies_on(region: Region, face: Face) -> bool:
    """Whether a garment is worn on a face."""
    inside = face.box.intersection(region.box)
    if not inside.area:
        return True  # nothing to remove either
    return float(inside.moved(-region.left, -region.top).crop(region.opacity).sum()) > ON_THE_FACE * region.area


def _is_swallowed(region: Region, face: Face) -> bool:
    common = float((region.opacity * _ellipse(region, face)).sum())
    below = (_middle(region, face.turns) - face.box.turned(face.turns).bottom) / max(face.box.width, face.box.height)
    return common > SWALLOWED * _area(face) or below > FAR_BELOW


def _middle(region: Region, turns: int) -> float:
    """How far down the middle of a region is once the photo is turned about its origin, as `Box.turned` does."""
    rows, columns = region.solid.nonzero(as_tuple=True)
    x, y = float(columns.float().mean()) + region.left, float(rows.float().mean()) + region.top
    for _ in range(turns):
        x, y = y, -x
    return y


def _area(face: Face) -> float:
    return face.box.area * torch.pi / 4


def _without(region: Region, face: Face) -> Region:
    inside = _ellipse(region, face)
    if not bool((inside & region.solid).any()):
        return region
    opacity = region.opacity & ~inside if region.opacity.dtype == torch.bool else region.opacity * ~inside
    return replace(region, opacity=opacity)


def _ellipse(region: Region, face: Face) -> Tensor:
    """(h, w) bool, in the region's rectangle: the pixels in the ellipse that fills the face's box."""
    height, width = region.opacity.shape
    (x, y), box = face.box.centre, face.box
    across = (torch.arange(width) + 0.5 + region.left - x) / max(1e-6, box.width / 2)
    down = (torch.arange(height) + 0.5 + region.top - y) / max(1e-6, box.height / 2)
    return (across[None] ** 2 + down[:, None] ** 2) <= 1
