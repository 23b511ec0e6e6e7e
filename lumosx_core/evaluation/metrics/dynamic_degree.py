"""Dynamic degree: whether a video moves, by optical flow.

After the first 5 frames every round(fps / 8)-th is sampled. Of each pair of neighbours among these, the largest 5 % of
the flow's magnitudes are averaged; a pair moves if that exceeds 6 pixels in a video of 256 rows. A video is dynamic if
a quarter of them moves.
"""

from __future__ import annotations

import math
from itertools import pairwise

import torch

from ...errors import LumosXError
from ..measured_video import Protocol, Video
from ..networks import OpticalFlow
from ..results import DynamicScores

DROPPED = 5  # frames at the start
RATE = 8  # frames a second of the sampled ones
LARGEST = 0.05  # of the pixels, whose flow counts
MOVES, ROWS = 6.0, 256  # pixels in a video of so many rows (or columns, if it has fewer)
LEAST_FPS = 4  # at this rate and below, the released evaluation takes every 0th frame


def dynamic_degree(video: Video, network: OpticalFlow, protocol: Protocol = Protocol.CLEAN) -> DynamicScores:
    """Whether a video moves.

    Under CLEAN halves are rounded up, and a quarter of the pairs, but at least one, must move. REFERENCE rounds halves
    to even and takes a quarter of the number of sampled frames, which for two of them is none: everything is dynamic.

    Raises:
        LumosXError: 4 or fewer frames a second, fewer than two sampled frames, or a flow of another shape.
    """
    if video.fps <= LEAST_FPS:
        raise LumosXError(
            f"{video.name} has {video.fps:g} frames a second, expected more than {LEAST_FPS}: dynamic degree compares "
            f"{RATE} of a second. Use the video at the rate at which it was generated."
        )
    reference = protocol is Protocol.REFERENCE
    step = round(video.fps / RATE) if reference else _half_up(video.fps / RATE)
    sampled = list(range(DROPPED, len(video), step))
    if len(sampled) < 2:
        raise LumosXError(
            f"{video.name} has {len(video)} frames, of which {len(sampled)} would be compared after the first "
            f"{DROPPED}, expected two or more. Use a longer video."
        )
    needed = round(len(sampled) / 4) if reference else max(1, _half_up((len(sampled) - 1) / 4))
    threshold = MOVES * min(video.frames.shape[1:3]) / ROWS
    pairs = tuple(_magnitude(network, video, a, b) for a, b in pairwise(sampled))
    moving = sum(value > threshold for value in pairs)
    return DynamicScores(moving >= needed, needed, threshold, pairs, tuple(sampled))


def _magnitude(network: OpticalFlow, video: Video, first: int, second: int) -> float:
    flow = network.flow(video.frames[first], video.frames[second]).detach().cpu().float()
    if flow.shape[:1] != (2,) or flow.ndim != 3 or not bool(torch.isfinite(flow).all()):
        raise LumosXError(
            f"{network.note.name} returned a flow of shape {tuple(flow.shape)} with values that may not be numbers, "
            f"expected (2, height, width) of numbers. Check its weights."
        )
    lengths = flow.square().sum(dim=0).sqrt().flatten()
    count = int(len(lengths) * LARGEST)
    if count == 0:
        raise LumosXError(f"The flow has {len(lengths)} pixels, too few to take 5 % of them. Use a larger video.")
    return float(lengths.topk(count).values.mean())


def _half_up(value: float) -> int:
    return math.floor(value + 0.5)
