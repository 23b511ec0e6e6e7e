"""The background without the people and things in front of it, filled from what is seen around them.

Colours flow into the gap from its border, large to small (pull-push; Gortler, Grzeszczuk, Szeliski and Cohen, "The
Lumigraph", 1996, section 3.4), so a wall, a sky or a floor comes back; a pattern does not.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from ...errors import LumosXError
from ...media.images import FAINTEST
from .regions import Region

# Of the long side: around what is removed lie its shadow, its reflection and loose hair. At least three pixels, so
# that there is something to blend over.
MARGIN = 0.015
LEAST_MARGIN = 3
FILLED_PIXELS = 2**20  # larger photos are filled reduced: what flows from a border holds no more detail than this
RELAXATIONS = 24  # on each level: more changes less than one step of 8 bits

GRAIN_SAMPLES = 2**18  # pixels to learn the grain from
GRAIN_TILE = 512  # pixels; grain has no shapes that would show its repetition
MOST_GRAIN = 0.03  # of the range: stronger is not grain but texture, which noise would not imitate
# Brightness and two differences of colour, each of length 1: grain is mostly of brightness.
OPPONENT = ((3**-0.5, 3**-0.5, 3**-0.5), (2**-0.5, 0.0, -(2**-0.5)), (6**-0.5, -2 * 6**-0.5, 6**-0.5))


def background_mask(height: int, width: int, regions: Sequence[Region]) -> Tensor:
    """All that is in front of the background of a photo: its regions in one (height, width) float mask."""
    mask = torch.zeros(height, width)
    for region in regions:
        covered = region.box.crop(mask)
        torch.maximum(covered, region.opacity.to(covered), out=covered)
    return mask


def fill(image: Tensor, mask: Tensor) -> Tensor:
    """Remove what is masked and fill the gap smoothly from around it, with the grain of the photo.

    The mask is first grown by 1.5 % of the long side; over the outer half of this margin the fill blends into the
    photo. Outside the margin every pixel stays as it is; none under the mask is looked at. The same photo
    and mask always give the same fill. 20 million pixels take about 3 seconds on one core, and 600 MB, of which 240
    are the result.

    Args:
        image: (H, W, 3) float, 0..1.
        mask: (H, W), 0 where the background is seen, 1 where something is in front of it; also what is masked
            faintly is removed.

    Returns: (H, W, 3) float, 0..1; the image itself if nothing is masked.

    Raises:
        LumosXError: the mask has another size than the image, or leaves nothing to fill from.
    """
    if mask.shape != image.shape[:2]:
        raise LumosXError(
            f"The mask of the background has shape {tuple(mask.shape)}, the photo is {image.shape[0]} pixels high "
            f"and {image.shape[1]} wide. Give one mask of the photo's own size."
        )
    hidden = mask >= FAINTEST
    if not bool(hidden.any()):
        return image
    factor = math.ceil(math.sqrt(mask.numel() / FILLED_PIXELS))
    opacity = _margin(_reduced_mask(hidden, factor))
    known = (opacity == 0).float()
    if not bool(known.any()):
        raise LumosXError(
            f"People and objects cover {float(hidden.float().mean()):.0%} of the photo, and their margin the "
            f"rest: no background is left to fill from. Give an image of the background, or leave it out."
        )
    filled = _pull_push(_reduced_image(image, factor) * known[..., None], known)
    return _blend(image, filled, opacity, factor, _grain(image, opacity, factor))


def _reduced_mask(hidden: Tensor, factor: int) -> Tensor:
    """(H, W) bool -> (ceil(H / factor), ceil(W / factor)) float: 1 where any pixel of a block is hidden."""
    return F.max_pool2d(hidden[None].to(torch.float32), factor, ceil_mode=True)[0]


def _reduced_image(image: Tensor, factor: int) -> Tensor:
    """(H, W, 3) -> (ceil(H / factor), ceil(W / factor), 3): the mean of each block, also of those cut by the edge."""
    return F.avg_pool2d(image.permute(2, 0, 1).float(), factor, ceil_mode=True).permute(1, 2, 0)


def _margin(hidden: Tensor) -> Tensor:
    """How much of the fill is seen: 1 on the mask and the inner half of its margin, falling to 0 at the outer end."""
    reach = max(LEAST_MARGIN, round(MARGIN * max(hidden.shape)))
    grown, opacity = hidden[None], torch.zeros_like(hidden)
    for step in range(reach):
        grown = F.max_pool2d(grown, 3, 1, 1)
        if step >= reach // 2:
            opacity += grown[0] / (reach - reach // 2)
    return opacity


# The smooth part


def _pull_push(colours: Tensor, weights: Tensor) -> Tensor:
    """Fill (h, w, 3) colours where their (h, w) weights are below 1; they come multiplied with their weights.

    Pull: a level of half the size holds the mean of what is known of four pixels. Push: what is missing is taken from
    that level, once it is filled, and relaxed towards the mean of its neighbours, whose limit is as smooth as a
    soap film: it continues a gradient of light from one side to the other.
    """
    if weights.numel() == 1:
        return colours / weights[..., None]
    total = F.avg_pool2d(_planes(colours, weights), 2, ceil_mode=True) * 4
    # Saturated, as one known pixel of four is enough for a whole one.
    share = total[3].clamp(max=1)
    coarse = _pull_push((total[:3] * (share / total[3].clamp(min=1e-12))).permute(1, 2, 0), share)

    missing = (1 - weights)[None]
    known = colours.permute(2, 0, 1)
    smooth = F.interpolate(coarse.permute(2, 0, 1)[None], scale_factor=2, mode="bilinear")[0]
    smooth = smooth[:, : weights.shape[0], : weights.shape[1]]
    for _ in range(RELAXATIONS):
        smooth = known + missing * _mean_of_neighbours(smooth)
    return smooth.permute(1, 2, 0)


def _planes(colours: Tensor, weights: Tensor) -> Tensor:
    return torch.cat([colours.permute(2, 0, 1), weights[None]])


def _mean_of_neighbours(planes: Tensor) -> Tensor:
    """Of a pixel and the four beside it; beyond the image its edge goes on."""
    padded = F.pad(planes[None], (1, 1, 1, 1), mode="replicate")[0]
    total = padded[:, :-2, 1:-1] + padded[:, 2:, 1:-1]
    total += padded[:, 1:-1, :-2]
    total += padded[:, 1:-1, 2:]
    total += planes
    return total / 5


# The grain


def _grain(image: Tensor, opacity: Tensor, factor: int) -> Tensor:
    """A (tile, tile, 3) piece of noise with the grain of the photo where it is seen."""
    generator = torch.Generator().manual_seed(0)
    fine, soft = torch.randn(2, GRAIN_TILE, GRAIN_TILE, 3, generator=generator)
    for axis in (0, 1):  # sums of three neighbours: of pixels next to each other two thirds are common
        soft = (soft + soft.roll(1, axis) + soft.roll(-1, axis)) / 3**0.5
    sharp, whole = (_noise(image, opacity, factor, spacing) for spacing in (1, 4))
    noise = fine * sharp + soft * (whole**2 - sharp**2).clamp(min=0).sqrt()
    return noise @ torch.tensor(OPPONENT)


def _noise(image: Tensor, opacity: Tensor, factor: int, spacing: int) -> Tensor:
    """The standard deviation of the noise in the three opponent colours, between pixels `spacing` apart.

    The difference of two Laplacians leaves of a photo little but noise, whose deviation it multiplies by 6
    (Immerkaer, "Fast Noise Variance Estimation", 1996). The median of its size is not moved by edges that are left.
    Neighbours have much of a photo's noise in common, distant pixels none: two spacings tell how soft the grain is.
    """
    height, width = image.shape[0] - 2 * spacing, image.shape[1] - 2 * spacing
    if height < 1 or width < 1:
        return torch.zeros(3)
    stride = math.ceil(math.sqrt(height * width / GRAIN_SAMPLES))

    def shifted(row: int, column: int) -> Tensor:
        return image[row * spacing :, column * spacing :][:height:stride, :width:stride].float()

    taps = (1, -2, 1)
    difference = torch.zeros_like(shifted(0, 0))
    for i in range(3):
        for j in range(3):
            difference += taps[i] * taps[j] * shifted(i, j)
    rows = (torch.arange(0, height, stride) + spacing) // factor
    columns = (torch.arange(0, width, stride) + spacing) // factor
    seen = opacity[rows][:, columns] == 0
    if not bool(seen.any()):
        return torch.zeros(3)
    sizes = (difference[seen] @ torch.tensor(OPPONENT).T).abs()
    return (sizes.median(dim=0).values / 0.6745 / 6).clamp(max=MOST_GRAIN)


# Together


def _blend(image: Tensor, filled: Tensor, opacity: Tensor, factor: int, grain: Tensor) -> Tensor:
    """The fill with its grain over the photo, in bands of the grain's height, so that no copy but one is large."""
    result = image.clone()
    height, width = image.shape[:2]
    layers = _enlarged(torch.cat([filled, opacity[..., None]], dim=-1), 1, width, factor)
    grain = grain.repeat(1, math.ceil(width / GRAIN_TILE), 1)[:, :width]
    for top in range(0, height, GRAIN_TILE):
        band = result[top : top + GRAIN_TILE]
        rows = len(band)
        part = _enlarged(layers, 0, height, factor, top, rows)
        seen = part[..., 3:]
        fill_here = (part[..., :3] + grain[:rows]).clamp(0, 1)
        mixed = band * (1 - seen) + fill_here * seen
        band.copy_(torch.where(seen > 0, mixed.to(band), band))
    return result


def _enlarged(values: Tensor, axis: int, size: int, factor: int, start: int = 0, count: int | None = None) -> Tensor:
    """Linear interpolation between the centres of blocks along an axis, for `count` of `size` pixels from `start`."""
    pixels = torch.arange(start, start + (size if count is None else count))
    place = ((pixels + 0.5) / factor - 0.5).clamp(0, values.shape[axis] - 1)
    before = place.long()
    after = (before + 1).clamp(max=values.shape[axis] - 1)
    share = (place - before).reshape((-1, *(1,) * (values.ndim - 1 - axis)))
    return values.index_select(axis, before).lerp(values.index_select(axis, after), share)
