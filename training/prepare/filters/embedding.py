"""An embedding of a clip by a network for videos, by which near-duplicates are found, too. Rejects nothing."""

from __future__ import annotations

import numpy as np
import torch

from lumosx_core.evaluation.networks import VideoEmbedder

from ..near_duplicates.embedding_index import packed
from ..video_frames import Timeline, reduced
from .clip_filter import Verdict, even_frames

_FRAMES, _SIDE = 8, 256  # frames that are embedded, and pixels to which their shorter side is reduced before


class Embedding:
    """Embeds 8 frames of a clip, evenly over it, and stores the vector and the network's name."""

    name = "embedding"
    costly = True

    def __init__(self, embedder: VideoEmbedder):
        self._embedder = embedder

    def start(self, timeline: Timeline) -> EmbeddingMeasurement:
        return EmbeddingMeasurement(even_frames(timeline, _FRAMES), self._embedder)


class EmbeddingMeasurement:
    """Small copies of one clip's frames."""

    def __init__(self, wanted: list[int], embedder: VideoEmbedder):
        self.wanted = frozenset(wanted)
        self._embedder = embedder
        self._frames: list[np.ndarray] = []

    def add(self, number: int, frame: np.ndarray) -> None:
        self._frames.append(reduced(frame, _SIDE))

    def verdict(self) -> Verdict:
        vector = self._embedder.embed_video(torch.from_numpy(np.stack(self._frames)).float() / 255)
        return Verdict({"network": self._embedder.note.weights, "vector": packed(vector.numpy())})
