"""Recording, while a video is sampled, which face the router of Ingredients (CogVideoX) gives each part of it.

A recording keeps running means over the steps only, for each injection of its own.

Shapes: B videos, L injections (layers of the router), N faces, T latent frames of h x w tokens.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, eq=False)
class RouterRecord:
    """The router's weights in one run.

    Args:
        weights: (B, L, N, T, h, w) float32 on the CPU, the mean over the steps; they sum to 1 over the faces.
        layers: the index of each of the L injections.
        names: of the faces.
    """

    weights: Tensor
    layers: tuple[int, ...]
    names: tuple[str, ...]

    @property
    def mean(self) -> Tensor:
        """(B, N, T, h, w), the mean over the injections."""
        return self.weights.mean(dim=1)


@dataclass(frozen=True)
class FaceShare:
    """What a face has of a video.

    Args:
        fraction: of the tokens, those in which it has the largest weight, 0..1.
        sureness: its mean weight in these, from 1/N to 1; 0 if there are none.
    """

    fraction: float
    sureness: float


class RouterRecording:
    """Gathers the router's weights of one run; `add` may be called with any passes, injections and steps of it.

    Args:
        names: of the N faces.
        videos: B.
        frames, height, width: T, h, w.
    """

    def __init__(self, names: tuple[str, ...], videos: int, frames: int, height: int, width: int):
        self.names = names
        self._shape = videos, len(names), frames, height, width
        self._sums: dict[int, Tensor] = {}
        self._counts: dict[int, Tensor] = {}

    def add(self, layer: int, video: int, weights: Tensor) -> None:
        """Record one video's weights in one injection of one forward pass: (T*h*w, N)."""
        videos, faces, *grid = self._shape
        sums = self._sums.setdefault(layer, torch.zeros(self._shape))
        counts = self._counts.setdefault(layer, torch.zeros(videos))
        sums[video] += weights.float().cpu().T.reshape(faces, *grid)
        counts[video] += 1

    def finish(self) -> RouterRecord | None:
        """The means of all that was added; None if nothing was."""
        if not self._sums:
            return None
        layers = tuple(sorted(self._sums))
        means = [self._sums[layer] / self._counts[layer].clamp_min(1)[:, None, None, None, None] for layer in layers]
        return RouterRecord(torch.stack(means, dim=1), layers, self.names)


def face_shares(weights: Tensor) -> tuple[FaceShare, ...]:
    """What each face has of a video, of (N, T, h, w) weights."""
    largest, owner = weights.max(dim=0)
    shares = []
    for face in range(len(weights)):
        owned = owner == face
        sureness = float(largest[owned].mean()) if owned.any() else 0.0
        shares.append(FaceShare(float(owned.float().mean()), sureness))
    return tuple(shares)


def describe_router(record: RouterRecord, video: int) -> str:
    """A line on how to read the numbers, and one for each face."""
    faces = len(record.names)
    if faces == 1:
        return "There is one face, so all of the video is its own: the router has nothing to decide."
    lines = [
        f"Each token of the video goes to the face with the largest weight, the mean of {len(record.layers)} layers. "
        f"Undecided would be a weight of {1 / faces:.2f}."
    ]
    for number, (name, share) in enumerate(zip(record.names, face_shares(record.mean[video]), strict=True), 1):
        if share.fraction == 0:
            lines.append(f"Face {number} ({name}) has no region of the video.")
        else:
            lines.append(
                f"Face {number} ({name}) has {_percent(share.fraction)} of the video, with a weight of "
                f"{share.sureness:.2f} there."
            )
    return "\n".join(lines)


def _percent(fraction: float) -> str:
    return f"{100 * fraction:.{0 if fraction >= 0.0995 else 1}f} %"
