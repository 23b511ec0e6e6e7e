"""Consistency of a whole video: with its caption, with the ground truth, and of a person with themselves."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from ...errors import LumosXError
from ..measured_video import Protocol, Video
from ..networks import VideoEmbedder
from ..results import ConsistencyScores
from .face_crops import checked_vectors

FRAMES, SIDE = 8, 224  # of the videos that the network sees
_CUT_START, _CUT_SECONDS = 10, 5  # of the ground truth in the released evaluation


def consistency(
    video: Video,
    prompt: str,
    embedder: VideoEmbedder,
    truth: Video | None = None,
    protocol: Protocol = Protocol.CLEAN,
) -> ConsistencyScores:
    """ViCLIP-T and ViCLIP-V: cosine of the video to its prompt, and to the ground truth.

    Of both videos 8 frames are taken, every len // 8-th from the first, at 224x224 regardless of their proportions.
    Under REFERENCE the ground truth (alone) is first cut to its frames 10 to 5 * int(fps) - 1.

    Raises:
        LumosXError: a video has fewer than 8 frames, or none is left of the ground truth.
    """
    own = _embedded(embedder, video.frames, video.name)
    text = checked_vectors(embedder.embed_text(prompt).detach().cpu().float()[None], 1, embedder.note.name)[0]
    if truth is None:
        return ConsistencyScores(float(own @ text), None)
    frames = truth.frames
    if protocol is Protocol.REFERENCE:
        frames = frames[_CUT_START : _CUT_SECONDS * int(truth.fps)]
    return ConsistencyScores(float(own @ text), float(own @ _embedded(embedder, frames, truth.name)))


def evenly(frames: Tensor, name: str) -> Tensor:
    """(8, 224, 224, 3): what the network sees of (F, H, W, 3) frames."""
    stride = len(frames) // FRAMES
    if stride == 0:
        raise LumosXError(f"{name} has {len(frames)} frames to embed, expected at least {FRAMES}. Use a longer video.")
    chosen = frames[::stride][:FRAMES].permute(0, 3, 1, 2).float()
    return F.interpolate(chosen, size=(SIDE, SIDE), mode="bilinear", align_corners=False).permute(0, 2, 3, 1)


def _embedded(embedder: VideoEmbedder, frames: Tensor, name: str) -> Tensor:
    vector = embedder.embed_video(evenly(frames, name)).detach().cpu().float()
    return checked_vectors(vector[None], 1, embedder.note.name)[0]


def self_consistency(vectors: Tensor) -> float | None:
    """Subject consistency of VBench: from the second frame on, the mean of the cosines to the previous and to the first
    frame, each clipped at 0; then the mean over frames.

    Args:
        vectors: (F, d) of length 1, by DINO.

    Returns: None for fewer than two frames.
    """
    if len(vectors) < 2:
        return None
    previous = (vectors[1:] * vectors[:-1]).sum(dim=1).clamp_min(0)
    first = (vectors[1:] @ vectors[0]).clamp_min(0)
    return float(torch.stack([previous, first]).mean())
