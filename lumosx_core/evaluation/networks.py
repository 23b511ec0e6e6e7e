"""What metrics ask of networks. Any network that does it can be used; reports name the one that was.

Images are (H, W, 3) float tensors of 0..1 on the CPU, of any size. Faces, phrases and masks are found by the interfaces
of `auto_scene.detectors`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from torch import Tensor


@dataclass(frozen=True)
class NetworkNote:
    """What a report says about a network.

    Args:
        name: such as "CLIP ViT-L/14".
        weights: file or folder and the first 12 digits of the SHA-256 of its weights.
        of_the_paper: the weights are those with which the paper's figures were made.
    """

    name: str
    weights: str
    of_the_paper: bool


class ImageEmbedder(Protocol):
    """Images to vectors: a face embedder gets crops of faces, others whole images or crops of things."""

    @property
    def note(self) -> NetworkNote: ...

    def embed(self, images: Sequence[Tensor]) -> Tensor:
        """(N, d) float32 of length 1; (0, d) for no image."""


class TextImageEmbedder(ImageEmbedder, Protocol):
    """Images and texts in one space, such as CLIP."""

    def embed_text(self, texts: Sequence[str]) -> Tensor:
        """(N, d) float32 of length 1."""


class VideoEmbedder(Protocol):
    """Videos and texts in one space, such as VideoCLIP-XL."""

    @property
    def note(self) -> NetworkNote: ...

    def embed_video(self, frames: Tensor) -> Tensor:
        """(F, H, W, 3) -> (d,) float32 of length 1."""

    def embed_text(self, text: str) -> Tensor:
        """(d,) float32 of length 1."""


class OpticalFlow(Protocol):
    """Motion between two frames, such as RAFT."""

    @property
    def note(self) -> NetworkNote: ...

    def flow(self, first: Tensor, second: Tensor) -> Tensor:
        """(H, W, 3) twice -> (2, H, W): how many pixels to the right and down each pixel moves."""


class FeatureExtractor(Protocol):
    """Images to features whose length counts, such as those of Inception."""

    @property
    def note(self) -> NetworkNote: ...

    def features(self, images: Sequence[Tensor]) -> Tensor:
        """(N, d) float32; (0, d) for no image."""
