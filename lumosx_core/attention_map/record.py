"""Recording, while a video is sampled, how much each part of it looks at each reference image.

What counts is what an image shows, not the plain ground around it: every image has such a ground, and the video's
own background looks at all of them. A recording keeps running means only: no map of a single step or layer.

Shapes: B videos, N heads, T latent frames of h x w tokens, of which h' x w' are asked; R images of P = h*w tokens;
L = T*h*w + R*P tokens, d channels a head.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from ..models.lumosx.region_bias import RegionBias
from ..scene.layout import ReferenceLayout

MOST_QUERIES = 2400  # tokens of a video that are asked; the released size has 32,760
MOST_WEIGHTS = 2**24  # in memory at once, 64 MiB
GROUND, SHOWN = 0.3, 0.6  # distance from the rim, as a fraction of the largest, of what counts not at all and fully


@dataclass(frozen=True, eq=False)
class AttentionRecord:
    """What the videos of one run looked at.

    Args:
        mass: (B, R, T, h', w') float32 on the CPU, the fraction of a token's attention that goes to what an image
            shows: the mean over heads, and over the layers and steps that were recorded.
        seen: R times whether the image was seen in any of these.
        layout: how the R images are divided into groups.
        labels: the R phrases.
    """

    mass: Tensor
    seen: tuple[bool, ...]
    layout: ReferenceLayout
    labels: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class AttentionPass:
    """What a recording must know of one forward pass.

    Args:
        images: indices in the scene of the images that the network is given, R of them.
        frames: indices in the whole video of its latent frames, T of them: fewer than all in a context window.
        videos: which rows of the pass's batch are to be recorded: B, or a multiple of it, video by video.
        content: (R, P), from `picture_content`.
        key_bias, region_bias: as in `Relations`.
    """

    pictures: Sequence[int]
    frames: Sequence[int]
    videos: Sequence[int]
    content: Tensor
    key_bias: Tensor | None = None
    region_bias: RegionBias | None = None


class AttentionRecording:
    """Gathers the attention of one run; `add` may be called with any passes, layers and steps of it.

    Args:
        layout, labels: of the scene.
        videos: B.
        frames: T, of the whole video.
        grid: (h, w).
    """

    def __init__(
        self, layout: ReferenceLayout, labels: tuple[str, ...], videos: int, frames: int, grid: tuple[int, int]
    ):
        self.layout, self.labels, self.grid = layout, labels, grid
        self._rows, self._columns = asked_tokens(frames, grid)
        asked = (frames, len(self._rows), len(self._columns))
        self._sums = torch.zeros(videos, layout.pictures, *asked)
        self._counts = torch.zeros(layout.pictures, frames)

    def add(self, seen: AttentionPass, q: Tensor, k: Tensor) -> None:
        """Record one self-attention.

        Args:
            q: (rows of the batch, N, at least T*h*w, d), the video's queries first; positions applied.
            k: (rows of the batch, N, L, d).
        """
        height, width = self.grid
        tokens = torch.arange(len(seen.frames) * height * width).view(-1, height, width)
        tokens = tokens[:, self._rows][:, :, self._columns]
        asked = tokens.flatten()
        per_video = [  # slices: a list of rows would copy all queries and keys
            attention_to_pictures(q[row : row + 1], k[row : row + 1], asked, seen.content, seen.key_bias, region)
            for row, region in ((row, _of_row(seen.region_bias, row)) for row in seen.videos)
        ]
        mass = torch.cat(per_video).cpu()
        mass = mass.transpose(1, 2).unflatten(2, tokens.shape)  # (videos, R, frames, h', w')
        place = (torch.tensor(seen.pictures)[:, None], torch.tensor(seen.frames))
        for part in mass.split(len(self._sums)):
            index = (slice(None), *place)
            self._sums[index] += part
            self._counts[place] += 1

    def finish(self) -> AttentionRecord | None:
        """The means of all that was added; None if nothing was."""
        if not self._counts.any():
            return None
        mass = self._sums / self._counts.clamp_min(1)[:, :, None, None]
        return AttentionRecord(mass, tuple(self._counts.any(dim=1).tolist()), self.layout, self.labels)


def asked_tokens(frames: int, grid: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """The rows and columns of each frame that are asked: at the same distance each, and few enough."""
    stride = 1
    while frames * math.ceil(grid[0] / stride) * math.ceil(grid[1] / stride) > MOST_QUERIES and stride < max(grid):
        stride += 1
    rows, columns = (torch.arange(min(stride // 2, side - 1), side, stride) for side in grid)
    return rows, columns


@torch.no_grad()
def attention_to_pictures(
    q: Tensor,
    k: Tensor,
    tokens: Tensor,
    content: Tensor,
    key_bias: Tensor | None,
    region_bias: RegionBias | None = None,
) -> Tensor:
    """The fraction of the attention of some of the video's tokens that goes to what each image shows.

    The softmax is over all L keys, in float32.

    Args:
        q: (B, N, at least T*h*w, d).
        k: (B, N, L, d); the images' R*P tokens come last.
        tokens: (Q,), indices of the tokens that are asked.
        content: (R, P), from `picture_content`.
        key_bias: (L,), added to the logits; None: nothing is added.
        region_bias: of B videos, added to the logits as well.

    Returns:
        (B, Q, R) float32, the mean over heads, on the device of q.
    """
    heads, length = k.shape[1:3]
    content, tokens = content.to(q.device), tokens.to(q.device)
    bias = None if key_bias is None else key_bias.to(q.device, torch.float32)
    mass = torch.zeros(len(q), len(tokens), len(content), device=q.device)
    for video in range(len(q)):
        for head in range(heads):  # one at a time: at the released size a copy of all keys would be 280 MB
            keys = k[video, head].float().T / math.sqrt(q.shape[-1])
            asking = q[video, head, tokens].float()
            if region_bias is not None:
                asking = torch.cat([asking, region_bias.queries[video, tokens]], dim=-1)
                keys = torch.cat([keys, region_bias.keys])
            done = 0
            for part in asking.split(max(1, MOST_WEIGHTS // length)):
                logits = part @ keys
                if bias is not None:
                    logits += bias
                weights = logits.softmax(dim=-1)[:, -content.numel() :].unflatten(1, content.shape)
                mass[video, done : done + len(part)] += torch.einsum("qrp,rp->qr", weights, content)
                done += len(part)
    return mass / heads


def _of_row(bias: RegionBias | None, row: int) -> RegionBias | None:
    return None if bias is None else RegionBias(bias.queries[row : row + 1], bias.keys)


def picture_content(references: Tensor) -> Tensor:
    """How much of each token of each image is what the image shows, rather than the plain ground around it.

    The ground is what is usual on the rim: white where images are cut out on white, or are narrower than the canvas.
    A token counts the more, the further its latents are from it; an image without such a ground counts nearly whole.

    Args:
        references: (1 or B, 16, R, H, W) latents, H and W even.

    Returns:
        (R, P) float32, 0..1.
    """
    tokens = F.avg_pool2d(references[0].float().transpose(0, 1), 2)  # (R, 16, h, w)
    rim = torch.cat([tokens[:, :, 0], tokens[:, :, -1], tokens[:, :, 1:-1, 0], tokens[:, :, 1:-1, -1]], dim=-1)
    distance = (tokens - rim.median(dim=-1).values[:, :, None, None]).norm(dim=1).flatten(1)
    furthest = distance.amax(dim=1, keepdim=True)
    share = torch.where(furthest > 0, distance / furthest, 1.0)
    return ((share - GROUND) / (SHOWN - GROUND)).clamp(0, 1)
