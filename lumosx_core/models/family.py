"""A model family: the facts of a base model, and what pipeline, nodes, cache and trainer ask of it.

A second family (another base model, another way to bind references) implements `ModelFamily` in its own folder beside
`lumosx/`; nothing outside of that folder knows its channels, strides or file names.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import torch
from torch import Tensor, nn

from ..errors import LumosXError
from ..files.model_files import ModelFiles
from ..files.stored_tensor import StoredTensor
from ..sampling.solver import PredictClean
from ..scene.encoded import EncodedScene
from ..scene.scene import Scene

if TYPE_CHECKING:
    from .video_pipeline import VideoSettings

FaceSearch = Callable[[Tensor], Sequence[Any]]
"""Finds the faces of an (H, W, 3) photo of 0..1, each with `box`, `score` and five `landmarks`."""
StepCallback = Callable[[int, Tensor, Tensor], None]
"""Called after each step as (step, clean latents, latents)."""
Conditions = TypeVar("Conditions", bound="SceneConditions")

# Limits of one video: about those of the nodes' own inputs, far above what a model was trained on.
MOST_PIXELS_A_SIDE, MOST_FRAMES, MOST_STEPS = 8192, 8193, 10_000
SMALLEST_SHIFT, LARGEST_SHIFT = 0.001, 1000.0


@dataclass(frozen=True)
class ModelSpec:
    """The facts of a base model.

    Args:
        name: what messages call it.
        channels: of a latent.
        spatial_stride: pixels of a latent pixel, along each side.
        temporal_stride: frames of a latent frame; the first frame has one of its own.
        size_multiple: width and height are multiples of this many pixels.
        frames_per_second: that it was trained on.
        text_len: text tokens that it reads.
        width, height, frames: the size that it was trained on.
        steps, shift, cfg: of the released sampler.
    """

    name: str
    channels: int
    spatial_stride: int
    temporal_stride: int
    size_multiple: int
    frames_per_second: int
    text_len: int
    width: int
    height: int
    frames: int
    steps: int
    shift: float
    cfg: float

    def latent_frames(self, frames: int) -> int:
        """Latent frames of so many frames."""
        return (frames - 1) // self.temporal_stride + 1

    def latent_shape(self, batch: int, frames: int, height: int, width: int) -> tuple[int, int, int, int, int]:
        """(B, C, T, H, W) of the latents of videos of so many frames and pixels."""
        stride = self.spatial_stride
        return batch, self.channels, self.latent_frames(frames), height // stride, width // stride

    def check_size(self, width: int, height: int, frames: int) -> None:
        """Raise LumosXError unless a video of this size has a latent; the message names the nearest that has, or the
        limit.
        """
        multiple, stride = self.size_multiple, self.temporal_stride
        for name, value in (("width", width), ("height", height)):
            if value < multiple or value % multiple:
                below = max(multiple, value // multiple * multiple)
                raise LumosXError(
                    f"{name} {value} does not fit: it must be a multiple of {multiple}. Use {below} or "
                    f"{below + multiple}."
                )
            if value > MOST_PIXELS_A_SIDE:
                raise LumosXError(f"{name} {value} is too large: at most {MOST_PIXELS_A_SIDE} pixels are possible.")
        if frames > MOST_FRAMES:
            raise LumosXError(f"A length of {frames} frames is too long: at most {MOST_FRAMES} are possible.")
        if frames < 1 or (frames - 1) % stride:
            below = max(1, (frames - 1) // stride * stride + 1)
            raise LumosXError(
                f"A length of {frames} frames does not fit: it must be {stride}n + 1. Use {below} or {below + stride}."
            )

    def check_schedule(self, steps: int, shift: float) -> None:
        """Raise LumosXError for a number of steps or a shift without a schedule."""
        if steps < 1:
            raise LumosXError(f"steps is {steps}, expected 1 or more. The released model uses {self.steps}.")
        if steps > MOST_STEPS:
            raise LumosXError(f"steps is {steps}, expected at most {MOST_STEPS}. The released model uses {self.steps}.")
        if not 0 < shift < math.inf:
            raise LumosXError(f"shift is {shift}, expected more than 0. The released model uses {self.shift:g}.")
        if not SMALLEST_SHIFT <= shift <= LARGEST_SHIFT:
            raise LumosXError(
                f"shift is {shift:g}, expected {SMALLEST_SHIFT:g} to {LARGEST_SHIFT:g}. The released model uses "
                f"{self.shift:g}."
            )


@dataclass(frozen=True, eq=False)
class OpenNetwork:
    """A checkpoint that was opened and recognised once; its tensors are still in the file.

    Args:
        config: the family's own description of the network's sizes.
        tensors: native name -> tensor.
    """

    path: str | os.PathLike
    config: Any
    tensors: Mapping[str, StoredTensor]


class Tokenizer(Protocol):
    """The tokens of prompts and phrases."""

    def tokenize_prompt(self, prompt: str) -> list[int]:
        """Token ids of a prompt, closed by the end token."""
        ...

    def tokenize(self, phrase: str) -> list[int]:
        """Token ids of a phrase, closed by the end token; brackets in it are not weights."""
        ...

    def pieces(self, ids: Sequence[int]) -> list[str]:
        """The piece of text behind each token id, as sentencepiece writes it."""
        ...


class TextEncoder(Tokenizer, Protocol):
    """Prompts to embeddings."""

    def encode_all(self, prompts: Sequence[str]) -> list[tuple[list[int], Tensor]]:
        """For each prompt its n token ids and embeddings (n, text_dim)."""
        ...


class VideoAutoencoder(Protocol):
    """Pixels to latents and back; pixels are 0..1, latents normalised."""

    def encode_images(self, images: Tensor) -> Tensor:
        """(R, H, W, 3) -> (1, C, R, h, w): each image as one frame of its own."""
        ...

    def encode_videos(self, videos: Tensor) -> Tensor:
        """(B, F, H, W, 3) -> (B, C, T, h, w)."""
        ...

    def decode_frames(self, latents: Tensor) -> Tensor:
        """(1, C, T, h, w) -> (F, H, W, 3)."""
        ...


class SceneConditions(Protocol):
    """What a network is given of a scene, beside the text."""

    def to(self: Conditions, device: torch.device | str) -> Conditions:
        """The same on a device."""
        ...


class ScenePrompt(Protocol):
    """A scene whose prompt was read and found to fit."""

    @property
    def prompt(self) -> str:
        """The cleaned prompt."""
        ...


class ModelFamily(Protocol):
    """What pipeline, nodes, cache and trainer ask of a base model and its way to bind references.

    A video is made in this order: `open`, `check_settings`, `prepare_scene` (text encoder), `encode_scene` (VAE and
    other encoders), `build`, `sample`. Families of flow matching networks that see reference images as latents inherit
    the last ones from `FlowFamily`.
    """

    spec: ModelSpec
    lora_targets: tuple[str, ...]
    """Ends of the names of the linear layers that a LoRA trains by default."""
    options: Any
    """The switches of a forward pass at their released values."""

    def find_files(
        self,
        model: str | os.PathLike,
        vae: str | os.PathLike | None = None,
        text_encoder: str | os.PathLike | None = None,
        companions: Mapping[str, str | os.PathLike] | None = None,
    ) -> ModelFiles:
        """The files that a network goes with.

        Args:
            model: the network, or a folder that has all the files.
            vae, text_encoder: used instead of those in the folder.
            companions: further files and folders by kind, such as "face_encoder", used instead of those in the folder.

        Raises:
            LumosXError: a file is missing, or a kind of companion that the family does not have.
        """
        ...

    def detect(self, tensors: Mapping[str, Any]) -> Any:
        """The network's sizes from the names and shapes of its tensors.

        Raises:
            LumosXError: it is another model; the message says which.
        """
        ...

    def open(self, path: str | os.PathLike) -> OpenNetwork:
        """Open and recognise a checkpoint.

        Raises:
            LumosXError: it cannot be read, or is another model.
        """
        ...

    def check_settings(self, network: OpenNetwork, settings: VideoSettings) -> None:
        """Raise LumosXError for a size that this network was not made for."""
        ...

    def build(
        self, network: OpenNetwork, *, device: torch.device | str = "cpu", dtype: torch.dtype | None = None
    ) -> nn.Module:
        """The network with its weights on a device, in evaluation mode; dtype None: as stored."""
        ...

    def load_vae(self, path: str | os.PathLike, *, device: torch.device | str = "cpu") -> VideoAutoencoder:
        """Its VAE."""
        ...

    def load_text_encoder(self, path: str | os.PathLike, *, device: torch.device | str = "cpu") -> TextEncoder:
        """Its text encoder."""
        ...

    def scene_warnings(self, scene: Scene, prompt: str) -> list[str]:
        """What of a scene will probably disappoint, or is not used by this family: a sentence each, with its fix."""
        ...

    def prepare_scene(self, scene: Scene, prompt: str, tokenizer: Tokenizer) -> ScenePrompt:
        """Check a scene with its prompt, before anything large is loaded.

        Raises:
            LumosXError: the scene has nothing that this family uses, or the prompt does not fit to it or is too long.
        """
        ...

    def encode_scene(
        self,
        prepared: Any,
        vae: VideoAutoencoder,
        settings: VideoSettings,
        files: ModelFiles,
        device: torch.device,
        find_faces: FaceSearch,
    ) -> SceneConditions:
        """Encode the images of a scene for videos of these settings.

        Args:
            prepared: what `prepare_scene` returned.
            files: for the encoders that the family has beside its VAE.
            find_faces: called by families that crop faces out of photos themselves.
        """
        ...

    def sample(
        self,
        model: nn.Module,
        noise: Tensor,
        text: Tensor,
        negative_text: Tensor,
        scene: Any,
        settings: VideoSettings,
        callback: StepCallback,
    ) -> Tensor:
        """Turn noise into the latents of videos.

        Args:
            noise: (B, C, T, h, w), on the device that computes.
            text, negative_text: (1, n, text_dim).
            scene: what `encode_scene` returned, on the same device.

        Returns:
            (B, C, T, h, w) float32.
        """
        ...


class FlowModelFamily(ModelFamily, Protocol):
    """A family whose network predicts the velocity of flow matching and sees reference images as latents."""

    def velocity(
        self,
        model: nn.Module,
        latents: Tensor,
        timestep: Tensor,
        text: Tensor,
        scene: EncodedScene | None,
        options: Any,
    ) -> Tensor:
        """What the network predicts: noise minus clean latents, in the shape of `latents`.

        Args:
            latents: (B, C, T, h, w).
            timestep: (B,), 0 (clean) to 1000 (noise).
            text: (B, n, text_dim).
            scene: the reference images; None: none.
            options: switches as in `self.options`.
        """
        ...

    def prediction(
        self, model: nn.Module, text: Tensor, negative_text: Tensor, scene: EncodedScene, settings: VideoSettings
    ) -> PredictClean:
        """What the solver asks of the network in a run with these settings; arguments as in `sample`."""
        ...
